"""A command of an isolated plugin: its code runs in a sandbox of its own, with the user's terminal."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from typing import Any

import click
import msgspec

from hermes.app import App
from hermes.plugins.channel import Channel
from hermes.plugins.guest import CommandRequest, LoadRequest
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.kernel_server import KernelServer
from hermes.plugins.sandbox import Sandbox


def isolated_command(name: str, plugin: IndexedPlugin, target: str, about: str) -> click.Command:
    """Stands in for it here: whatever is behind its name is for the one in the sandbox to read."""

    @click.pass_context
    def run(ctx: click.Context, arguments: tuple[str, ...]) -> None:
        root = ctx.find_root()
        ctx.exit(
            asyncio.run(_run(plugin, target, ctx.command_path, arguments, root.params.get("profile") or "", root.obj))
        )

    return click.Command(
        name,
        callback=run,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        add_help_option=False,
        short_help=about,
    )


async def _run(
    plugin: IndexedPlugin, target: str, program: str, arguments: tuple[str, ...], profile: str, out: Any
) -> int:
    """The exit code of the command."""
    async with App(profile=profile) as app:
        data = app.home.plugin_data / plugin.name
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        load = LoadRequest(plugin=plugin, scope=app.scope, data_root=str(app.home.plugin_data))
        request = CommandRequest(
            load=load, target=target, program=program, arguments=arguments, connection=theirs.fileno()
        )
        sandbox = Sandbox(
            plugin.permissions,
            code=[plugin.place],
            path=plugin.import_path,
            data=[data],
            workspace=app.workspace,
        )
        server = KernelServer(frozenset({plugin.name}), app.plugins, app.checked_host, app.log)
        await asyncio.get_running_loop().create_connection(lambda: Channel(server, lambda error: None), sock=ours)
        command = sandbox.command("hermes.cli.command_host", msgspec.json.encode(request).decode(), terminal=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's to answer
        try:
            process = subprocess.Popen(  # noqa: ASYNC220
                command, stdout=out.fileno(), env=sandbox.environment(), pass_fds=[theirs.fileno()]
            )
            theirs.close()
            await asyncio.to_thread(process.wait)
        finally:
            signal.signal(signal.SIGINT, before)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
