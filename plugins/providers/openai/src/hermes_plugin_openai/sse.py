"""Server-sent events, from bytes that may be cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator


class EventStream:
    """Feed it bytes; it gives the ``data`` of each event, lines joined with a line feed. Comments are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        text = self._rest + data
        if not self._started:
            if len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return
            self._started = True
            text = text.removeprefix(b"\xef\xbb\xbf")
        lines = text.splitlines(keepends=True)
        # A carriage return at the very end may be the first half of a line end.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))

    def finish(self) -> Iterator[bytes]:
        """The stream has ended: an event whose blank line is missing still counts."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._line(rest.rstrip(b"\r\n"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif line == b"data":
            self._data.append(b"")
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            yield data
