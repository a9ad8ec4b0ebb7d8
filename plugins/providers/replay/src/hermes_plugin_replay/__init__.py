"""The provider ``replay``: plays a recorded conversation, and records one."""

from __future__ import annotations

from hermes import ModelAnswer, ModelCall, PluginContext, Provision, hookimpl


@hookimpl
def provide() -> list[Provision]:
    return [Provision("transport", "replay", _player)]


def _player() -> object:
    from .player import Player

    return Player()


@hookimpl
async def post_api_request(request: ModelCall, response: ModelAnswer, ctx: PluginContext) -> None:
    file = (await ctx.config())["record"]
    if file and request.provider != "replay":
        from .cassette import append_call

        append_call(file, request, response)
