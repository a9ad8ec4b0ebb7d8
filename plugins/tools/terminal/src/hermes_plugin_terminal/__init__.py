"""The local terminal backend, and the tools ``terminal`` and ``process``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from hermes.contracts.host import PluginContext

    from .journal import Journal
    from .local import LocalTerminal


async def _local(ctx: PluginContext) -> LocalTerminal:
    from .local import LocalTerminal

    config = await ctx.config()
    backend = LocalTerminal(shell=config["shell"], passthrough=tuple(config["env_passthrough"]))
    ctx.on_unload(backend.shutdown)
    return backend


def _journal() -> Journal:
    from .journal import Journal

    return Journal()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("terminal", "local", _local), Provision("terminal_journal", "terminal", _journal))
