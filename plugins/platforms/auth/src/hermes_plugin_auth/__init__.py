"""The command ``hermes auth``, and what renews tokens; see `commands` and `refresher`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hermes import PluginContext, Provision, hookimpl

if TYPE_CHECKING:
    from .refresher import OAuthRefresher


@hookimpl
def provide() -> list[Provision]:
    return [Provision("token_refresher", "oauth", _refresher)]


def _refresher(ctx: PluginContext) -> OAuthRefresher:
    from .refresher import OAuthRefresher

    return OAuthRefresher(ctx.clock)
