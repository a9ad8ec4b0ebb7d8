"""The `PluginContext` of a plugin's command, the same whether it runs in Hermes's process or in a sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from hermes.contracts.host import PluginContext

Answer = TypeVar("Answer")
PLUGIN, CONNECT = "hermes.plugin", "hermes.connect"
"""Keys of ``click.Context.meta``: whose command it is; how a sandbox reaches the kernel."""


def with_context(work: Callable[[PluginContext], Awaitable[Answer]]) -> Answer:
    """Runs ``work`` with the plugin's context and gives its answer. To be called in a plugin's click command."""
    ctx = click.get_current_context()
    connect = ctx.meta.get(CONNECT)
    if connect is not None:
        answer: Answer = connect(work)
        return answer
    plugin = ctx.meta[PLUGIN]
    profile = ctx.find_root().params.get("profile") or ""

    import asyncio

    from hermes.app import App

    async def run() -> Answer:
        async with App(profile=profile) as app:
            return await work(app.context(plugin))

    return asyncio.run(run())
