"""A plugin in a host, in the form in which the manager takes one in this process."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from hermes.contracts.errors import PluginError
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE, HookOptions, hookimpl
from hermes.contracts.host import PluginContext
from hermes.contracts.messages import TextPart
from hermes.contracts.service import Provision
from hermes.contracts.tool import ToolEntry, ToolOutcome

from .border import contract_of, decode, encode, hook_arguments, hook_result, remote
from .channel import Channel, ChannelClosed
from .guest import HookMark, Loaded, ToolInvocation

if TYPE_CHECKING:
    from .isolated import PluginHost

BEHIND_SECONDS = 3.0
"""How long an observer of events that is far behind may take for the next one."""
MOST_EVENTS = 512
"""Events on their way to an observer before the next one waits."""


class RemoteHooks:
    """Has a plugin's hooks as a module would. Two of them are never equal, as the registry wants it."""


class RemotePlugin:
    """``contract`` gives the type of a contract that a plugin here defines."""

    def __init__(self, host: PluginHost, name: str, loaded: Loaded, contract: Callable[[str], type | None]) -> None:
        self.host = host
        self.name = name
        self.hooks = RemoteHooks()
        for mark in loaded.hooks:
            setattr(self.hooks, mark.attribute, _hook(host, name, mark))
        self.provisions = [
            Provision(kind, provided, _maker(host, name, kind, provided, contract))
            for kind, provided in loaded.provisions
        ]
        self.tools: dict[str, ToolEntry] = loaded.tools

    async def call_tool(self, entry: ToolEntry, ctx: PluginContext, arguments: dict[str, Any]) -> ToolOutcome:
        assert ctx.call is not None
        channel = await self.host.channel()
        body = encode(ToolInvocation(call=ctx.call, arguments=arguments))
        try:
            answer = await channel.call(("tool", self.name, entry.name), body)
        except ChannelClosed:
            text = f'The process of the plugin "{self.name}" ended while {entry.name} ran; its effect is unknown.'
            return ToolOutcome(content=(TextPart(text),), is_error=True, effect_unknown=True)
        return decode(answer, ToolOutcome)  # type: ignore[no-any-return]


def _hook(host: PluginHost, plugin: str, mark: HookMark) -> Callable[..., Any]:
    target = ("hook", plugin, mark.attribute)
    decoder = msgspec.msgpack.Decoder(hook_result(mark.hook))

    async def call(**values: Any) -> Any:
        channel = await host.channel()
        try:
            return decoder.decode(await channel.call(target, encode(values)))
        except msgspec.ValidationError as error:
            raise PluginError(f"it answered what {mark.hook} cannot use: {error}", plugin=plugin) from None

    function = _Events(host, target).tell if mark.hook == "on_event" else call

    async def hook(**values: Any) -> Any:
        return await function(**values)

    hook.__name__ = mark.attribute
    names = tuple(name for name in mark.arguments if name != "ctx")
    if unknown := set(names) - set(hook_arguments(mark.hook).__struct_fields__):
        raise PluginError(f"{mark.attribute} takes {', '.join(unknown)}, which {mark.hook} does not have.")
    marked = hookimpl(tryfirst=mark.tryfirst, trylast=mark.trylast, specname=mark.hook)(hook)
    options = HookOptions(deadline=mark.deadline, tools=mark.tools, events=mark.events, arguments=names)
    setattr(marked, HOOK_OPTIONS_ATTRIBUTE, options)
    return marked


class _Events:
    """Events on their way to an observer: sent in order, without waiting for each to be looked at."""

    def __init__(self, host: PluginHost, target: tuple[str, ...]) -> None:
        self._host = host
        self._target = target
        self._under_way: collections.deque[asyncio.Future[Any]] = collections.deque()
        self._channel: Channel | None = None

    async def tell(self, **values: Any) -> None:
        """Raises what an earlier event came to, where it failed. Who does not keep up loses its process."""
        channel, before = await self._host.channel(), self._channel
        self._channel = channel
        if before is not None and before is not channel:
            lost = sum(not future.done() or future.exception() is not None for future in self._under_way)
            self._under_way.clear()
            self._send(channel, values)
            if lost:
                raise PluginError(f"its process ended, and with it what it was doing with {lost} events")
            return
        if len(self._under_way) >= MOST_EVENTS:
            await asyncio.wait([self._under_way[0]], timeout=BEHIND_SECONDS)
            if not self._under_way[0].done():
                self._under_way.clear()
                self._host.kill()
                raise PluginError(f"it is {MOST_EVENTS} events behind; its process is ended")
        self._send(channel, values)
        while self._under_way[0].done():
            self._under_way.popleft().result()

    def _send(self, channel: Channel, values: dict[str, Any]) -> None:
        future = channel.begin(self._target, encode(values))
        future.add_done_callback(_retrieved)
        self._under_way.append(future)


def _maker(
    host: PluginHost, plugin: str, contract: str, name: str, type_of: Callable[[str], type | None]
) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def make() -> Any:
        channel = await host.channel()
        kind = contract_of(contract) or type_of(contract)
        description = await channel.call(("make", plugin, contract, name))
        return remote(host, ("made", plugin, contract, name), kind, description)

    return make


def _retrieved(future: asyncio.Future[Any]) -> None:
    """The next event tells of it; there may be none."""
    if not future.cancelled():
        future.exception()
