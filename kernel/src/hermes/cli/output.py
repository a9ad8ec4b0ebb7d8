"""Standard output is the command's own: nothing that a plugin or a child prints gets into it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator


class Output:
    """Keeps descriptor 1 for itself and points 1 at standard error, before anything is loaded."""

    def __init__(self) -> None:
        self.is_terminal = os.isatty(1)
        sys.stdout.flush()
        self._stream = io.TextIOWrapper(
            io.FileIO(os.dup(1), "w"), encoding="utf-8", errors="replace", write_through=True
        )
        os.dup2(2, 1)
        sys.stdout = self._stream

    def fileno(self) -> int:
        """Of the command's own output."""
        return self._stream.fileno()

    def write(self, text: str) -> None:
        self._stream.write(text)

    def line(self, text: str = "") -> None:
        self._stream.write(text + "\n")

    def flush(self) -> None:
        self._stream.flush()

    @contextlib.contextmanager
    def protected(self) -> Iterator[None]:
        """While plugins run: what they print goes to standard error."""
        with contextlib.redirect_stdout(sys.stderr):
            yield


def complain(text: str) -> None:
    """A line for the person, on standard error."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()
