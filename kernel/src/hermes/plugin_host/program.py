"""The program: it speaks frames on a socket that it finds as standard input, and serves the plugins it is sent."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket
import sys
import threading
from collections.abc import AsyncIterator

import msgspec

from hermes.contracts.errors import PluginError
from hermes.plugins.border import (
    decode,
    describe,
    encode,
    serve_call,
    serve_stream,
)
from hermes.plugins.channel import Channel
from hermes.plugins.framing import EMPTY, Target
from hermes.plugins.guest import Hello, LoadRequest
from hermes.plugins.manifest import API

from .guest import Guest


class GuestServer:
    """Answers the kernel's calls."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.open: Channel

    async def channel(self) -> Channel:
        return self.open

    async def call(self, target: Target, body: msgspec.Raw) -> bytes:
        match target:
            case ("hello",):
                return encode(_settle_in(decode(body, Hello)))
            case ("load", name):
                guest = Guest(decode(body, LoadRequest), self)
                loaded = await guest.load()
                self.guests[name] = guest
                return encode(loaded)
            case ("unload", name):
                await self.guests.pop(name).unload()
                return EMPTY
            case ("hook", name, attribute):
                return await self.guests[name].hook(attribute, body)
            case ("tool", name, tool):
                return await self.guests[name].tool(tool, body)
            case ("make", name, contract, provided):
                guest = self.guests[name]
                return describe(await guest.made(contract, provided), guest.contract(contract))
            case ("made", name, contract, provided, method):
                guest = self.guests[name]
                return await serve_call(await guest.made(contract, provided), guest.contract(contract), method, body)
        raise PluginError(f"A plugin host does not know the call {'.'.join(target)}.")

    async def stream(self, target: Target, body: msgspec.Raw) -> AsyncIterator[bytes]:
        if len(target) != 5 or target[0] != "made":
            raise PluginError(f"A plugin host does not know the stream {'.'.join(target)}.")
        _, name, contract, provided, method = target
        guest = self.guests[name]
        made = await guest.made(contract, provided)
        items = serve_stream(made, guest.contract(contract), method, body)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    def cast(self, target: Target, body: msgspec.Raw) -> None:
        """There is nothing that is told to a plugin host without an answer; what a newer kernel tells is dropped."""


def _settle_in(hello: Hello) -> Hello:
    """Does what has to be done before any plugin is imported."""
    import resource

    from hermes import __version__

    if hello.memory_mb:
        limit = hello.memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if hello.egress is not None:
        from hermes.plugins.egress import relay

        relay(*hello.egress)
    return Hello(api=API, version=__version__)


def take_connection() -> socket.socket:
    """The socket on standard input, which plugins then no longer find there: they get an empty one, and 1 is 2."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return connection


def end_with(connection: socket.socket) -> None:
    """Ends this process when the kernel's end is closed, also while a plugin keeps the loop busy."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLHUP | select.POLLRDHUP)

    def wait() -> None:
        poller.poll()
        os._exit(0)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


async def serve(connection: socket.socket) -> None:
    gc.freeze()
    gc.enable()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    server = GuestServer()
    _, server.open = await loop.create_connection(
        lambda: Channel(server, lambda error: ended.set_result(None)), sock=connection
    )
    await ended


def main() -> None:
    connection = take_connection()
    end_with(connection)
    try:
        asyncio.run(serve(connection))
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
