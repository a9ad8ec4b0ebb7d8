"""Server-sent events, from bytes that may be cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which a stream may begin with."""


class EventStream:
    """Feed it bytes; it gives the ``data`` of each event, lines joined with a line feed. Comments are dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        whole_lines = b"\n" in data or b"\r" in data or self._rest.endswith(b"\r")
        self._rest += data
        if not self._started:
            if len(self._rest) < len(_MARK) and _MARK.startswith(bytes(self._rest)):
                return
            self._started = True
            self._rest = self._rest.removeprefix(_MARK)
        if not whole_lines:
            return
        lines = bytes(self._rest).splitlines(keepends=True)
        # A carriage return at the very end may be the first half of a line end.
        self._rest = bytearray(lines.pop() if lines and not lines[-1].endswith(b"\n") else b"")
        yield from self._read(lines)

    def finish(self) -> Iterator[bytes]:
        """The stream has ended: an event whose blank line is missing still counts."""
        rest, self._rest = bytes(self._rest), bytearray()
        yield from self._read([rest, b""] if rest else [b""])

    def _read(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for ended in lines:
            line = ended.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                data, self._data = b"\n".join(self._data), []
                yield data
