"""The page on this machine that the browser comes back to with the code."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

LONGEST_HEAD = 16_384
HEAD_SECONDS = 10.0
_PAGE = "<!doctype html><meta charset=utf-8><title>Hermes</title><p>{}</p>"


class Landed(NamedTuple):
    """``error``: the server's code for what went wrong; then there is no ``code``."""

    code: str
    error: str = ""
    sentence: str = ""


def landed(query: str, state: str) -> Landed | None:
    """What a redirect's query says; None if it is not the answer to our question."""
    members = {name: values[0] for name, values in parse_qs(query).items()}
    if not hmac.compare_digest(members.get("state", "").encode(), state.encode()):
        return None
    if "error" in members:
        return Landed("", members["error"], members.get("error_description", ""))
    return Landed(members["code"]) if members.get("code") else None


class LandingPage:
    """``arrival`` is done with the first redirect that carries ``state``. All else is answered and left."""

    def __init__(self, path: str, state: str) -> None:
        self._path = path or "/"
        self._state = state
        self.arrival: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def open(self, port: int) -> AsyncIterator[int]:
        """Gives the port, a free one for 0. Raises OSError: it is taken."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=LONGEST_HEAD)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, text = self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"))
                body = _PAGE.format(text).encode()
                fields = (
                    f"HTTP/1.1 {status}",
                    "Content-Type: text/html; charset=utf-8",
                    f"Content-Length: {len(body)}",
                    "Cache-Control: no-store",
                    "Referrer-Policy: no-referrer",
                    "Connection: close",
                )
                writer.write("\r\n".join(fields).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a browser opens connections that it never uses
        finally:
            writer.close()

    def _answer(self, request_line: str) -> tuple[str, str]:
        method, _, rest = request_line.partition(" ")
        url = urlsplit(rest.rpartition(" ")[0])
        if method != "GET" or url.path != self._path:
            return "404 Not Found", "There is nothing here."
        found = landed(url.query, self._state)
        if found is None:
            return "400 Bad Request", "This is not the login that Hermes waits for."
        if not self.arrival.done():
            self.arrival.set_result(found)
        if found.error:
            return "200 OK", "The login was refused. Hermes says more in its terminal."
        return "200 OK", "You are logged in. This page can be closed."
