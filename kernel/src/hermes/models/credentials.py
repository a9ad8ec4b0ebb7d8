"""Finds the key of a provider, in a scope, and makes the endpoint it belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from hermes.contracts.errors import ConfigError
from hermes.contracts.provider import Endpoint, ProviderSpec
from hermes.contracts.scope import Scope

FindSecret = Callable[[str, Scope], Awaitable[tuple[str, str]]]
"""A name and a scope to the value and where it was found; blank when unset."""


class Credential(NamedTuple):
    key: str
    source: str


def key_names(spec: ProviderSpec) -> list[str]:
    return [spec.key_env] if isinstance(spec.key_env, str) else list(spec.key_env)


async def find_credential(spec: ProviderSpec, scope: Scope, find: FindSecret) -> Credential | None:
    """The first of the provider's keys that is set; None if none is."""
    for name in key_names(spec):
        value, source = await find(name, scope)
        if value:
            return Credential(value, source)
    return None


async def endpoint_of(
    provider: str, spec: ProviderSpec, scope: Scope, find: FindSecret, *, base_url: str = ""
) -> Endpoint:
    """Where requests to the provider go, and with which key.

    ``base_url`` overrides the provider's own and its variable.

    Raises:
        ConfigError: the provider takes a key and none is set, or its address is none.
    """
    names = key_names(spec)
    credential = await find_credential(spec, scope, find)
    if credential is None and names:
        raise ConfigError(
            f'No key for the provider "{provider}" (looked for: {", ".join(names)}).',
            hint=f"Put {names[0]}=… into the home's .env file, or export it.",
        )
    if not base_url and spec.base_url_env:
        base_url, _ = await find(spec.base_url_env, scope)
    address = base_url or spec.base_url
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ConfigError(
            f'The address of the provider "{provider}" is no URL: {address!r}.',
            hint=f"Set providers.{provider}.base_url to something like https://host/v1",
        )
    return Endpoint(
        provider=provider,
        base_url=address.rstrip("/"),
        key=credential.key if credential else "",
        key_source=credential.source if credential else "",
        headers=spec.headers,
        carrier=spec.carrier,
        quirks=spec.quirks,
    )
