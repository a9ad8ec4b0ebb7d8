"""Server-sent events, from bytes that may be cut anywhere."""

from __future__ import annotations

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which a stream may begin with."""


class EventStream:
    """Feed it bytes; it gives the ``data`` of each event, lines joined with a line feed. Comments are dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        # A carriage return at the very end may be the first half of a line end.
        whole_lines = b"\n" in data or b"\r" in data or self._rest.endswith(b"\r")
        if self._rest or not self._started:
            self._rest += data
            if not self._started:
                if len(self._rest) < len(_MARK) and _MARK.startswith(self._rest):
                    return []
                self._started = True
                self._rest = self._rest.removeprefix(_MARK)
            if not whole_lines:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        elif not whole_lines:
            self._rest += data
            return []
        lines = data.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            self._rest += lines.pop()
        return self._read(lines)

    def finish(self) -> list[bytes]:
        """The stream has ended: an event whose blank line is missing still counts."""
        rest, self._rest = bytes(self._rest), bytearray()
        return self._read([rest, b""] if rest else [b""])

    def _read(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for ended in lines:
            line = ended.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return found
