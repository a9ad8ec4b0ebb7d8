"""Chooses where a model call goes, and with which key."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hermes.config.load import merge
from hermes.config.schema import Settings
from hermes.contracts.errors import ConfigError, PluginError, ProviderError
from hermes.contracts.host import Clock
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRule, ModelsQuery, Provider, ProviderQuery, ProviderSpec
from hermes.contracts.scope import Scope
from hermes.plugins.hooks import Hooks
from hermes.plugins.manager import PluginManager
from hermes.plugins.manifest import RouteEntry

from .ask import Check, ModelAsk, Write
from .catalog import Catalog, LiveList, known_models
from .credentials import Credentials, body_of, endpoint_of, laid_over
from .pool import OUT_OF_MONEY, RATE_LIMITED, REFUSED, Credential
from .retry import class_of
from .routing import Choice, Routing

RESTS = {"rate": RATE_LIMITED, "money": OUT_OF_MONEY, "auth": REFUSED}


class Target(NamedTuple):
    """A model, at a provider, at an address, with a key."""

    provider: str
    model: str
    spec: ProviderSpec
    endpoint: Endpoint
    scope: Scope
    why: str = ""
    credential: Credential | None = None
    body: Mapping[str, Any] = {}
    """Members that every request has."""
    window: int = 0
    """Tokens; 0: unknown."""
    failure: ProviderError | None = None
    """Why no key can be used now, though there are some; a call to the target begins with it."""

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"


class Router:
    """Knows the providers of manifests and settings. ``specs`` are those of manifests; ``off``: see `Routing`."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, ProviderSpec],
        orders: Mapping[str, Sequence[RouteEntry]],
        plugins: PluginManager,
        credentials: Credentials,
        catalog: Catalog,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        off: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.credentials = credentials
        self.catalog = catalog
        self.clock = clock
        self.jitter = jitter
        self.specs = dict(specs)
        for name, own in settings.providers.items():
            self.specs[name] = laid_over(self.specs.get(name), own)
        self.routing = Routing(
            settings.model, self.specs, list(settings.providers), orders, credentials, off, variables
        )

    def split(self, model: str) -> tuple[str, str]:
        """``provider:model`` into its halves, where the first is a provider; many models have colons too."""
        return self.routing.split(model)

    async def target(self, scope: Scope, *, provider: str = "", model: str = "") -> Target:
        """What ``-m`` and ``--provider``, the settings and the keys found come to.

        Raises:
            ConfigError: no such provider, no model, no key; each with what to do.
        """
        choice = await self.routing.choose(scope, provider=provider, model=model)
        spec = await self._spec(choice.provider, choice.model, scope)
        return await self._target(choice, spec, choice.model or self._default_model(choice.provider, spec), scope)

    async def lister(self, scope: Scope, provider: str) -> Target:
        """The provider without a model, to be asked for its list; see `models`.

        Raises:
            ConfigError: as of `target`.
        """
        provider = self.routing.named(provider)
        return await self._target(Choice(provider, "", ""), await self._spec(provider, "", scope), "", scope)

    async def fallback(self, name: str, scope: Scope) -> Target:
        """One of ``fallback_providers``: what stands before its first colon has to be a provider."""
        provider, model = self.split(name)
        if not provider and ":" in name:
            raise self.routing.unknown(name.partition(":")[0])
        return await self.target(scope, provider=provider, model=model)

    async def _target(
        self, choice: Choice, spec: ProviderSpec, model: str, scope: Scope, credential: Credential | None = None
    ) -> Target:
        """``credential``: the one to use; None: one is chosen."""
        provider = choice.provider
        base_url = self.routing.address_for(provider)
        spec = await self._ruled(spec, model, scope, elsewhere=bool(base_url))
        failure = None
        try:
            credential = credential or await self.credentials.choose(provider, spec, scope)
        except ProviderError as error:
            credential, failure = (await self.credentials.all(provider, spec, scope))[0]._replace(key=""), error
        endpoint = await endpoint_of(provider, spec, scope, self.credentials, credential, base_url=base_url)
        return Target(
            provider,
            model,
            spec,
            endpoint,
            scope,
            choice.why,
            credential,
            await body_of(spec, scope, self.credentials.find),
            self.catalog.window(provider, spec, model),
            failure,
        )

    def _default_model(self, provider: str, spec: ProviderSpec) -> str:
        if model := self.routing.default_of(provider):
            return model
        known = known_models(spec)
        if not known:
            raise ConfigError(
                f'No model is chosen for the provider "{provider}".',
                hint=f"Name one: -m {provider}:MODEL, or: hermes config set model.default MODEL",
            )
        return known[0].id

    async def _ruled(self, spec: ProviderSpec, model: str, scope: Scope, *, elsewhere: bool) -> ProviderSpec:
        """The provider as it is for this model."""
        if not spec.rules:
            return spec
        if not elsewhere and spec.base_url_env:
            elsewhere = bool((await self.credentials.find(spec.base_url_env, scope))[0])
        for rule in spec.rules:
            if _matches(rule, model) and not (rule.own_address and elsewhere):
                transport = rule.transport or spec.transport
                spec = msgspec.structs.replace(
                    spec,
                    transport=transport,
                    quirks={**spec.quirks, **rule.quirks} if transport == spec.transport else rule.quirks,
                    body=merge(spec.body, rule.body),
                )
        return spec

    async def provider(self, target: Target) -> Provider:
        """The wire that the target speaks.

        Raises:
            ConfigError: no plugin provides it. PluginError: one does, and cannot.
        """
        transport = target.spec.transport
        try:
            found: Provider = await self.plugins.provided("transport", transport)
        except PluginError as error:
            if transport not in self.plugins.names("transport"):
                raise ConfigError(f'The provider "{target.provider}": {error}', hint=error.hint) from None
            raise
        return found

    async def keys_found(self, scope: Scope) -> list[tuple[str, str]]:
        """The providers whose key is found and where, in order of preference."""
        return await self.routing.keys_found(scope)

    async def models(self, target: Target, *, refresh: bool = False) -> LiveList:
        """What the provider lists; asked for at most once a day, unless ``refresh``.

        Raises:
            ProviderError: it does not answer, or has no list.
        """
        address = target.endpoint.base_url
        if not refresh and (kept := self.catalog.fresh(target.provider, address)) is not None:
            return kept
        if target.failure is not None:
            raise target.failure
        provider = await self.provider(target)
        listed = await provider.models(ModelsQuery(endpoint=target.endpoint))
        return self.catalog.keep(target.provider, address, listed.models)

    async def another_key(self, target: Target, error: ProviderError) -> Target | None:
        """The same model with another key, where there is one that does not rest; the one that failed rests."""
        failed = target.credential
        keys = await self.credentials.all(target.provider, target.spec, target.scope)
        if failed is None or target.failure is not None or len(keys) < 2:
            return None
        rests = self.credentials.pools.rests
        rests.lay(failed.id, error.retry_after or RESTS.get(class_of(error), RATE_LIMITED), str(error)[:200])
        if all(rests.of(key.id) is not None for key in keys):
            return None
        return await self.again(target)

    async def renewed(self, target: Target) -> Target | None:
        """The same with a new token; None where there is nothing to renew.

        Raises:
            ProviderError: only a new login helps.
        """
        if target.credential is None or target.failure is not None or not target.credential.token:
            return None
        credential = await self.credentials.ready(target.credential, target.spec, refused=True)
        return await self.again(target, credential)

    async def again(self, target: Target, credential: Credential | None = None) -> Target:
        """The same model with this key, or with the one that is to be used now; at the address where it is good."""
        spec = await self._spec(target.provider, target.model, target.scope)
        choice = Choice(target.provider, target.model, target.why)
        return await self._target(choice, spec, target.model, target.scope, credential)

    async def _spec(self, provider: str, model: str, scope: Scope) -> ProviderSpec:
        spec = self.specs.get(provider)
        if spec is None:
            await self.plugins.start()
            spec = await self.plugins.hooks.resolve_provider(ProviderQuery(provider=provider, model=model, scope=scope))
        if spec is None:
            raise self.routing.unknown(provider)
        if not spec.transport:
            raise ConfigError(
                f'The provider "{provider}" has no transport.',
                hint=f"Set providers.{provider}.transport, e.g. chat_completions",
            )
        return spec

    def ask(
        self,
        target: Target,
        fallbacks: Sequence[str],
        write: Write,
        hooks: Hooks,
        *,
        check: Check | None = None,
    ) -> ModelAsk:
        """A model call that is about to be made. ``write`` makes its request, for whichever target it goes to."""
        return ModelAsk(self, target, fallbacks, write, hooks, check)

    async def cheapest(self, target: Target, *, needs: frozenset[str] = frozenset()) -> str:
        """The provider's cheapest model that takes these inputs (``image``, ``audio``, ``file``); the target's own if
        no other is known to be cheaper.
        """
        today = time.strftime("%Y-%m-%d", time.gmtime(self.clock.now()))
        own = (await self.catalog.model(target.provider, target.spec, target.model)).info
        best, least = target.model, _price(own)
        for listed in known_models(target.spec):
            info = (await self.catalog.model(target.provider, target.spec, listed.id)).info
            capable = info.inputs is None or needs <= set(info.inputs)
            if capable and not (info.retires and info.retires <= today) and _price(info) < least:
                best, least = info.id, _price(info)
        return best


def _matches(rule: ModelRule, model: str) -> bool:
    try:
        return re.match(rule.match, model) is not None
    except re.error as error:
        raise ConfigError(
            f"A rule's match is no regular expression: {rule.match!r}: {error}.", hint="Mend it in providers: rules."
        ) from None


def _price(info: ModelInfo) -> float:
    """Of a million tokens read and a quarter of that written, in US dollars; unknown is dearer than anything."""
    if info.input_usd is None or info.output_usd is None:
        return math.inf
    return info.input_usd + info.output_usd / 4
