"""The contracts as tables of types, and the proxies and servers that are made of them.

A contract is a `Protocol`; each of its methods takes one struct and gives one, or a stream of them. That is all that is
needed to call it in another process.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from hermes.contracts import hookspecs
from hermes.contracts.errors import PluginError
from hermes.contracts.events import AnyEvent, Event

from .channel import Channel
from .framing import Target

CONTRACTS = {
    "transport": "provider:Provider",
    "terminal": "terminal:TerminalBackend",
    "memory": "memory:MemoryProvider",
    "context_engine": "memory:ContextEngine",
    "model_catalog": "credential:ModelCatalog",
    "store": "store:SessionStore",
    "platform": "platform:PlatformAdapter",
    "secret_source": "service:SecretSource",
    "service": "service:Service",
}
"""The kernel's own, by the names that manifests use: a module of `hermes.contracts`, imported when it is asked for, and
the contract in it. Others are plugins' (``contracts:`` in the manifest).
"""

encode = msgspec.msgpack.encode


class Method(NamedTuple):
    """How a method is called. ``Any`` where a plugin's contract is not known: then plain values cross."""

    argument: Any
    result: Any
    streams: bool


def decode(body: msgspec.Raw, kind: Any) -> Any:
    return msgspec.msgpack.decode(body, type=kind)


@functools.cache
def contract_of(name: str) -> type | None:
    """The type of one of the kernel's contracts; None: it is none of these."""
    if name not in CONTRACTS:
        return None
    module, _, contract = CONTRACTS[name].partition(":")
    kind: type = getattr(importlib.import_module(f"hermes.contracts.{module}"), contract)
    return kind


@functools.cache
def methods_of(contract: type) -> dict[str, Method]:
    """The methods of a `Protocol`, by name."""
    found = {}
    for name, function in vars(contract).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            hints = typing.get_type_hints(function)
            result = hints.pop("return")
            streams = typing.get_origin(result) is AsyncIterator
            argument = next(iter(hints.values()), Any)
            found[name] = Method(argument, typing.get_args(result)[0] if streams else result, streams)
    return found


@functools.cache
def attributes_of(contract: type) -> dict[str, Any]:
    """The values that a contract declares beside its methods, such as ``capabilities``: name → type."""
    return typing.get_type_hints(contract)


@functools.cache
def hook_arguments(hook: str) -> Any:
    """The arguments of a hook as one struct type; all optional, for a plugin that takes fewer."""
    hints = typing.get_type_hints(getattr(hookspecs, hook))
    fields = [
        (name, AnyEvent if kind is Event else kind, msgspec.UNSET) for name, kind in hints.items() if name != "return"
    ]
    return msgspec.defstruct(f"{hook}_arguments", fields)


@functools.cache
def hook_result(hook: str) -> Any:
    """What a hook answers, as values cross the border."""
    returned = typing.get_type_hints(getattr(hookspecs, hook))["return"]
    kinds = [_settled(kind) for kind in typing.get_args(returned) if typing.get_origin(kind) is not Awaitable]
    return functools.reduce(lambda one, other: one | other, kinds) if kinds else None


@functools.cache
def hook_kinds(hook: str) -> tuple[Any, ...]:
    """The classes that a hook's answer may be of; none where only None makes sense."""
    returned = typing.get_type_hints(getattr(hookspecs, hook))["return"]
    kinds = [kind for kind in typing.get_args(returned) if typing.get_origin(kind) is not Awaitable]
    return tuple(typing.get_origin(kind) or kind for kind in kinds if kind is not type(None))


def _settled(kind: Any) -> Any:
    if typing.get_origin(kind) is Iterable:
        (item,) = typing.get_args(kind)
        return tuple.__class_getitem__((item, ...))
    return kind


class Caller(Protocol):
    """Gets a channel that is open; a host that died is started again first."""

    async def channel(self) -> Channel: ...


class Remote:
    """An object in another process. Its methods are those of its contract; its attributes were sent along."""

    def __init__(
        self, caller: Caller, target: Target, contract: type | None, attributes: dict[str, Any], methods: list[str]
    ) -> None:
        self.__dict__.update(attributes)
        known = methods_of(contract) if contract is not None else {name: Method(Any, Any, False) for name in methods}
        for name, method in known.items():
            make = _streamed if method.streams else _called
            setattr(self, name, make(caller, (*target, name), method))


def _called(caller: Caller, target: Target, method: Method) -> Callable[[Any], Awaitable[Any]]:
    decoder = msgspec.msgpack.Decoder(method.result)

    async def call(argument: Any) -> Any:
        channel = await caller.channel()
        return decoder.decode(await channel.call(target, encode(argument)))

    return call


def _streamed(caller: Caller, target: Target, method: Method) -> Callable[[Any], AsyncIterator[Any]]:
    decoder = msgspec.msgpack.Decoder(method.result)

    async def stream(argument: Any) -> AsyncIterator[Any]:
        channel = await caller.channel()
        items = channel.stream(target, encode(argument))
        try:
            async for item in items:
                yield decoder.decode(item)
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    return stream


class Described(msgspec.Struct, frozen=True):
    """What a made object tells of itself to whoever will call it from elsewhere."""

    attributes: dict[str, msgspec.Raw] = {}
    methods: list[str] = []


def describe(made: Any, contract: type | None) -> bytes:
    """`Described`, encoded."""
    attributes = {}
    if contract is not None:
        for name in attributes_of(contract):
            attributes[name] = msgspec.Raw(encode(getattr(made, name)))
    methods = [name for name in dir(made) if name[0] != "_" and callable(getattr(made, name))] if not contract else []
    return encode(Described(attributes, methods))


def remote(caller: Caller, target: Target, contract: type | None, description: msgspec.Raw) -> Remote:
    """The stand-in for an object that `describe` described."""
    described = decode(description, Described)
    kinds = attributes_of(contract) if contract is not None else {}
    attributes = {name: decode(body, kinds.get(name, Any)) for name, body in described.attributes.items()}
    return Remote(caller, target, contract, attributes, described.methods)


def method_of(contract: type | None, name: str) -> Method:
    """Raises PluginError: the contract has no such method."""
    if contract is None:
        return Method(Any, Any, False)
    method = methods_of(contract).get(name)
    if method is None:
        raise PluginError(f"{contract.__name__} has no method {name!r}.")
    return method


async def serve_call(made: Any, contract: type | None, name: str, body: msgspec.Raw) -> bytes:
    """Calls a method of an object here for somebody elsewhere."""
    method = method_of(contract, name)
    answer = getattr(made, name)(decode(body, method.argument))
    return encode(await answer if inspect.isawaitable(answer) else answer)


async def serve_stream(made: Any, contract: type | None, name: str, body: msgspec.Raw) -> AsyncIterator[bytes]:
    """The same for a method that gives a stream."""
    items = getattr(made, name)(decode(body, method_of(contract, name).argument))
    try:
        async for item in items:
            yield encode(item)
    finally:
        if hasattr(items, "aclose"):
            await items.aclose()
