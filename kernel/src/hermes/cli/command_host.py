"""The program in which the command of an isolated plugin runs; see `isolated_command`."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import msgspec

from hermes.contracts.errors import HermesError
from hermes.contracts.host import PluginContext
from hermes.plugin_host.guest import Guest
from hermes.plugin_host.program import GuestServer
from hermes.plugins.channel import Channel
from hermes.plugins.guest import CommandRequest
from hermes.plugins.loader import load_target

from .context import CONNECT, PLUGIN
from .output import complain

Answer = TypeVar("Answer")


def connect(request: CommandRequest, work: Callable[[PluginContext], Awaitable[Answer]]) -> Answer:
    """Runs ``work`` with a context whose calls go to the kernel."""

    async def run() -> Answer:
        server = GuestServer()
        connection = socket.socket(fileno=os.dup(request.connection))
        loop = asyncio.get_running_loop()
        _, server.open = await loop.create_connection(lambda: Channel(server, lambda error: None), sock=connection)
        return await work(Guest(request.load, server).context)

    return asyncio.run(run())


def run(request: CommandRequest) -> int:
    command: Any = load_target(request.load.plugin, request.target)
    assert isinstance(command, click.Command), f"{request.target} is no click command"
    with command.make_context(request.program, list(request.arguments)) as ctx:
        ctx.meta[PLUGIN] = request.load.plugin.name
        ctx.meta[CONNECT] = lambda work: connect(request, work)
        code = command.invoke(ctx)
    return code if isinstance(code, int) else 0


def main() -> None:
    gc.enable()
    try:
        code = run(msgspec.json.decode(sys.argv[-1], type=CommandRequest))
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        complain("Interrupted.")
        code = 130
    except BrokenPipeError:
        code = 141
    except HermesError as error:
        complain(f"hermes: {error}")
        if error.hint:
            complain(f"  {error.hint}")
        code = error.exit_code
    sys.stdout.flush()
    os._exit(code)
