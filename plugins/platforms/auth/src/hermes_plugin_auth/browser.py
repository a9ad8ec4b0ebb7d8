"""The person's side of a login: the browser that is opened, and the line that is pasted."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from typing import NamedTuple

Tell = Callable[[str], None]


class Person(NamedTuple):
    """``tell`` shows a line; ``open_page`` opens a page where that can be done, and says nothing where it cannot."""

    tell: Tell
    open_page: Callable[[str], None]


def opener(environ: Mapping[str, str], *, wanted: bool) -> Callable[[str], None]:
    """A browser that runs in this terminal would take it away, so there has to be a screen, or one that is named."""
    screen = sys.platform == "darwin" or any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))

    def open_page(url: str) -> None:
        if wanted and screen:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    return open_page


async def pasted_line() -> str:
    """The next line of stdin; blank at its end. Cancelled, it leaves stdin as it was."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), ready.set)
    except (OSError, ValueError, io.UnsupportedOperation):  # a file, or none: nothing there keeps anyone waiting
        return sys.stdin.readline().strip()
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline().strip()
