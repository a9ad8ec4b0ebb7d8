"""Finds a provider's keys, in a scope, and makes the endpoint they belong to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hermes.config.load import merge, nested, read_value
from hermes.contracts.credential import RefreshRequest, StoredCredential, Strategy, TokenRefresher
from hermes.contracts.errors import AuthenticationFailed, ConfigError, RateLimited
from hermes.contracts.host import Clock
from hermes.contracts.provider import Endpoint, ProviderSpec
from hermes.contracts.scope import Scope

from .pool import REFUSED, Credential, Pools
from .vault import Vault

FindSecret = Callable[[str, Scope], Awaitable[tuple[str, str]]]
"""A name and a scope to the value and where it was found; blank when unset."""

EARLY = 300.0
"""Seconds before its end at which a token is renewed."""
_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def key_names(spec: ProviderSpec) -> list[str]:
    return [spec.key_env] if isinstance(spec.key_env, str) else list(spec.key_env)


def variables(spec: ProviderSpec) -> list[str]:
    """Every variable that a key, or what serves in its place, is looked for in."""
    wanted = [spec.options_env.get(option, []) for option in spec.key_options]
    return [*key_names(spec), *(name for names in wanted for name in ([names] if isinstance(names, str) else names))]


async def find_options(spec: ProviderSpec, scope: Scope, find: FindSecret) -> dict[str, tuple[str, str]]:
    """The options that variables set, each with where it was found."""
    found = {}
    for option, names in spec.options_env.items():
        for name in [names] if isinstance(names, str) else names:
            value, source = await find(name, scope)
            if value:
                found[option] = (value, source)
                break
    return found


class Credentials:
    """Of all providers. ``refresher`` gives the plugin that renews tokens; it raises where there is none."""

    def __init__(
        self,
        find: FindSecret,
        vault: Vault,
        pools: Pools,
        *,
        strategies: Mapping[str, Strategy],
        refresher: Callable[[], Awaitable[TokenRefresher]],
        learn: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self.find = find
        self.vault = vault
        self.pools = pools
        self._strategies = strategies
        self._refresher = refresher
        self._learn = learn
        self._clock = clock
        self._exchanged: dict[str, StoredCredential] = {}

    async def source(self, provider: str, spec: ProviderSpec, scope: Scope) -> str:
        """Where a key is found, without a network; blank if none is."""
        keys = await self.all(provider, spec, scope)
        if keys:
            return keys[0].source
        options = await find_options(spec, scope, self.find)
        return next((options[option][1] for option in spec.key_options if option in options), "")

    async def all(self, provider: str, spec: ProviderSpec, scope: Scope) -> list[Credential]:
        """What could be used: the first of the variables that is set, then what was added to the vault.

        What is the user's own comes before what everyone has.
        """
        own: list[Credential] = []
        shared: list[Credential] = []
        for stored in self.vault.of(provider, scope.user):
            name = f"auth:{stored.label or stored.id}"
            key = Credential(stored.secret, name, stored.id, stored.kind == "oauth", stored.base_url)
            (own if stored.user else shared).append(key)
        for name in key_names(spec):
            value, source = await self.find(name, scope)
            if value:
                key = Credential(value, source, id=f"{provider}/{name}")
                everyones = msgspec.structs.replace(scope, user="", session="")
                if not own or await self.find(name, everyones) != (value, source):
                    return [key, *own, *shared]
                return [*own, key, *shared]
        return [*own, *shared]

    async def choose(self, provider: str, spec: ProviderSpec, scope: Scope) -> Credential | None:
        """The key to use now, renewed if its end is near; None if there is none at all.

        Raises:
            RateLimited: there are several, and all of them rest.
            AuthenticationFailed: it has to be logged in again.
        """
        keys = await self.all(provider, spec, scope)
        while keys:
            chosen = self.pools.choose(provider, keys, self._strategies.get(provider, "fill_first"))
            if chosen is None:
                raise self._all_rest(provider, keys)
            try:
                return await self.ready(chosen, spec)
            except AuthenticationFailed as error:
                if len(keys) == 1:
                    raise
                self.pools.rests.lay(chosen.id, REFUSED, str(error)[:200])
        return None

    async def ready(self, credential: Credential, spec: ProviderSpec, *, refused: bool = False) -> Credential:
        """The credential as a request carries it. ``refused``: what it carried is not accepted any more."""
        self._learn(credential.key)
        stored = next((entry for entry in self.vault.all() if entry.id == credential.id), None)
        if stored is None:
            if spec.oauth is None or not spec.oauth.exchange_url:
                return credential
            stored = self._exchanged.get(credential.key) or StoredCredential(
                id=credential.id, provider=credential.id.partition("/")[0], kind="oauth", refresh=credential.key
            )
            if refused or self._ends(stored):
                assert spec.oauth is not None
                refresher = await self._refresher()
                stored = await refresher.refresh(RefreshRequest(credential=stored, oauth=spec.oauth))
                self._exchanged[stored.refresh] = self._exchanged[stored.secret] = stored
            carried = credential._replace(key=stored.secret, token=True, base_url=stored.base_url)
        else:
            if stored.place == "keyring":
                stored = await (await self._refresher()).opened(stored)
            if stored.kind == "oauth" and spec.oauth is not None and (refused or self._ends(stored)):
                stored = await self._renewed(stored, spec)
            carried = credential._replace(key=stored.secret, base_url=stored.base_url)
        self._learn(carried.key)
        return carried

    def _ends(self, stored: StoredCredential) -> bool:
        return not stored.secret or bool(stored.expires and stored.expires - EARLY < self._clock.now())

    async def _renewed(self, stored: StoredCredential, spec: ProviderSpec) -> StoredCredential:
        """Under a lock across processes: what another one has renewed meanwhile is taken as it is."""
        assert spec.oauth is not None
        async with self.vault.waited(f"refresh-{stored.id}"):
            now = next((entry for entry in self.vault.all() if entry.id == stored.id), stored)
            refresher = await self._refresher()
            if now.place == "keyring":
                now = await refresher.opened(now)
            if now.secret != stored.secret:
                return now
            renewed = await refresher.refresh(RefreshRequest(credential=now, oauth=spec.oauth))
            kept = await refresher.sealed(renewed) if renewed.place == "keyring" else renewed
            await asyncio.to_thread(self.vault.put, kept)
            return renewed

    def _all_rest(self, provider: str, keys: list[Credential]) -> RateLimited:
        now = self._clock.now()
        rests = [rest for key in keys if (rest := self.pools.rests.of(key.id)) is not None]
        soonest = min((rest.until - now for rest in rests), default=0.0)
        return RateLimited(
            f"{provider}: all {len(keys)} keys rest; the first is back in {_span(soonest)} ({rests[0].reason}).",
            provider=provider,
            retry_after=soonest,
            hint=f"See: hermes auth status {provider} - to try them all the same: hermes auth reset {provider}",
        )


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


async def endpoint_of(
    provider: str,
    spec: ProviderSpec,
    scope: Scope,
    credentials: Credentials,
    credential: Credential | None,
    *,
    base_url: str = "",
) -> Endpoint:
    """Where requests to the provider go with that key.

    ``base_url`` overrides the provider's own and its variable.

    Raises:
        ConfigError: the provider takes a key and none is set, or its address is none.
    """
    found = await find_options(spec, scope, credentials.find)
    options = {**spec.options, **{option: value for option, (value, _) in found.items()}}
    names = variables(spec)
    instead = next((option for option in spec.key_options if options.get(option)), "")
    if credential is None and not instead and not spec.key_optional and (names or spec.oauth):
        raise _no_key(provider, spec, names)
    named = f"model.base_url, or providers.{provider}.base_url,"
    if not base_url and spec.base_url_env:
        base_url, source = await credentials.find(spec.base_url_env, scope)
        named = source if base_url else named
    address = base_url or (credential.base_url if credential else "") or _filled(provider, spec, options)
    if not address and spec.base_url_env:
        raise ConfigError(
            f'The provider "{provider}" has no address.',
            hint=f"Set {spec.base_url_env}, or providers.{provider}.base_url, to something like https://host/v1",
        )
    if address and not _is_url(address):
        raise ConfigError(
            f'The address of the provider "{provider}" is no URL: {shown_address(address)!r}.',
            hint=f"Set {named} to something like https://host/v1, without a query",
        )
    return Endpoint(
        provider=provider,
        base_url=address.rstrip("/"),
        key=credential.key if credential else "",
        key_source=credential.source if credential else found[instead][1] if instead in found else "",
        headers={**spec.headers, **await _from_environment(spec.header_env, scope, credentials.find)},
        carrier=spec.carrier,
        quirks=spec.quirks,
        options=options,
        token=credential.token if credential else False,
        billing_url=spec.billing_url,
        key_url=spec.key_url,
    )


def _is_url(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and not any(map(str.isspace, address))
        and not (parts.query or parts.fragment)
    )


def shown_address(address: str) -> str:
    """An address as it may be shown: without a password."""
    return re.sub(r"(?<=://)[^/?#]*@", "***@", address)


async def body_of(spec: ProviderSpec, scope: Scope, find: FindSecret) -> dict[str, Any]:
    """The members that every request has, with those that variables set."""
    body: dict[str, Any] = dict(spec.body)
    for member, text in (await _from_environment(spec.body_env, scope, find)).items():
        value = read_value(text)
        if member.endswith("order") and isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        body = merge(body, nested(member, value))
    return body


async def _from_environment(wanted: Mapping[str, str], scope: Scope, find: FindSecret) -> dict[str, str]:
    found = {name: (await find(variable, scope))[0] for name, variable in wanted.items()}
    return {name: value for name, value in found.items() if value}


def _filled(provider: str, spec: ProviderSpec, options: Mapping[str, str]) -> str:
    """The address with its options. An option that could lead to another host is refused."""
    for option in re.findall(r"\{(\w+)\}", spec.base_url):
        value = options.get(option, "")
        if not _OPTION.fullmatch(value):
            where = spec.options_env.get(option, f"providers.{provider}.options.{option}")
            where = where if isinstance(where, str) else " or ".join(where)
            raise ConfigError(
                f'The provider "{provider}" needs a {option}; {value!r} is none.' if value
                else f'The provider "{provider}" needs a {option}.',
                hint=f"Set {where}.",
            )  # fmt: skip
    return spec.base_url.format_map(options) if "{" in spec.base_url else spec.base_url


def _no_key(provider: str, spec: ProviderSpec, names: list[str]) -> ConfigError:
    looked = f" (looked for: {', '.join(names)})" if names else ""
    ways = [f"Put {names[0]}=… into the home's .env file, or export it."] if names else []
    if spec.oauth is not None:
        ways.append(f"Log in: hermes auth login {provider}")
    elif spec.key_url:
        ways.append(f"Keys are made at {spec.key_url}")
    return ConfigError(f'No key for the provider "{provider}"{looked}.', hint=" ".join(ways))


def laid_over(known: ProviderSpec | None, own: ProviderSpec) -> ProviderSpec:
    """The user's fields over a known provider's."""
    if known is None:
        return own
    blank = ProviderSpec()
    changed = {
        field: getattr(own, field)
        for field in ProviderSpec.__struct_fields__
        if getattr(own, field) != getattr(blank, field)
    }
    if "models" in changed:
        changed["prices_of"] = own.prices_of
    return msgspec.structs.replace(known, **changed)
