"""Chooses where a model call goes, makes it, and makes it again or elsewhere when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from hermes.config.schema import Settings
from hermes.contracts.errors import ConfigError, ErrorInfo, PolicyDenied, ProviderError, nearest
from hermes.contracts.events import Event, ModelFinished, ModelRetry
from hermes.contracts.hookspecs import ModelAnswer, ModelCall
from hermes.contracts.host import Clock
from hermes.contracts.messages import Usage
from hermes.contracts.provider import Endpoint, ModelRequest, Provider, ProviderQuery, ProviderSpec
from hermes.contracts.scope import Scope
from hermes.plugins.hooks import Hooks
from hermes.plugins.manager import PluginManager

from .answer import AnswerBuilder
from .catalog import cost_of, known_models, model_info
from .credentials import FindSecret, endpoint_of, find_credential, key_names
from .retry import next_step


class Target(NamedTuple):
    """A model, at a provider, at an address, with a key."""

    provider: str
    model: str
    spec: ProviderSpec
    endpoint: Endpoint

    @property
    def window(self) -> int:
        return model_info(self.spec, self.model).context_window


class Spent(NamedTuple):
    """What one model call cost, also one that failed."""

    target: Target
    usage: Usage
    cost_usd: float | None


class Router:
    """Knows the providers of manifests and settings. ``specs`` are those of manifests, by id."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, ProviderSpec],
        plugins: PluginManager,
        find_secret: FindSecret,
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self._find = find_secret
        self._clock = clock
        self._jitter = jitter
        self.specs = dict(specs)
        for name, own in settings.providers.items():
            self.specs[name] = _laid_over(self.specs.get(name), own, name)

    def split(self, model: str) -> tuple[str, str]:
        """``provider:model`` into its halves, where the first is a provider; many models have colons too."""
        provider, colon, rest = model.partition(":")
        return (provider, rest) if colon and provider in self.specs else ("", model)

    async def target(self, scope: Scope, *, provider: str = "", model: str = "") -> Target:
        """What ``-m`` and ``--provider``, the settings and the keys found come to.

        Raises:
            ConfigError: no such provider, no model, no key; each with what to do.
        """
        chosen = self._settings.model
        prefix, model = self.split(model)
        provider = provider or prefix
        configured = not provider and bool(chosen.provider)
        provider = provider or chosen.provider or await self._first_with_key(scope)
        spec = await self._spec(provider, model, scope)
        if not model and (configured or provider == chosen.provider or not chosen.provider):
            model = self.split(chosen.default)[1]
        if not model:
            known = known_models(spec)
            if not known:
                raise ConfigError(
                    f'No model is chosen for the provider "{provider}".',
                    hint=f"Name one: -m {provider}:MODEL, or: hermes config set model.default MODEL",
                )
            model = known[0].id
        base_url = chosen.base_url if provider == chosen.provider or not chosen.provider else ""
        endpoint = await endpoint_of(provider, spec, scope, self._find, base_url=base_url)
        return Target(provider, model, spec, endpoint)

    async def fallbacks(self, scope: Scope) -> list[Target]:
        return [await self.target(scope, model=name) for name in self._settings.fallback_providers]

    async def provider(self, target: Target) -> Provider:
        found: Provider = await self._plugins.provided("transport", target.spec.transport)
        return found

    async def keys_found(self, scope: Scope) -> list[tuple[str, str]]:
        """The providers whose key is found and where, in order of preference."""
        found = []
        for name, spec in sorted(self.specs.items(), key=lambda item: (item[1].priority, item[0])):
            credential = await find_credential(spec, scope, self._find)
            if credential is not None:
                found.append((name, credential.source))
        return found

    async def _first_with_key(self, scope: Scope) -> str:
        if found := await self.keys_found(scope):
            return found[0][0]
        if len(self._settings.providers) == 1:
            return next(iter(self._settings.providers))
        variables = sorted({name for spec in self.specs.values() for name in key_names(spec)})
        raise ConfigError(
            f"No provider is chosen, and no key is found (looked for: {', '.join(variables) or 'none'}).",
            hint="Export one of these, put it into the home's .env, or name a provider: -m PROVIDER:MODEL. "
            "To look around without one: hermes demo",
        )

    async def _spec(self, provider: str, model: str, scope: Scope) -> ProviderSpec:
        spec = self.specs.get(provider)
        if spec is None:
            await self._plugins.start()
            spec = await self._plugins.hooks.resolve_provider(
                ProviderQuery(provider=provider, model=model, scope=scope)
            )
        if spec is None:
            raise ConfigError(_no_provider(provider, list(self.specs)))
        if not spec.transport:
            raise ConfigError(
                f'The provider "{provider}" has no transport.',
                hint=f"Set providers.{provider}.transport, e.g. chat_completions",
            )
        return spec

    def ask(self, target: Target, fallbacks: list[Target], request: ModelRequest, hooks: Hooks) -> ModelAsk:
        """A model call that is about to be made. ``request`` is written for ``target``."""
        return ModelAsk(self, target, fallbacks, request, hooks)


class ModelAsk:
    """One model call, with its repetitions. Iterate `events`; then read ``answer``, ``target`` and ``spent``."""

    def __init__(
        self, router: Router, target: Target, fallbacks: list[Target], request: ModelRequest, hooks: Hooks
    ) -> None:
        self._router = router
        self._fallbacks = list(fallbacks)
        self._request = request
        self._hooks = hooks
        self.target = target
        self.answer = AnswerBuilder()
        self.spent: list[Spent] = []

    async def events(self) -> AsyncIterator[Event]:
        """The model's events, and `ModelRetry` where a call is repeated.

        Raises:
            ProviderError: the last attempt's.
            PolicyDenied: a plugin vetoed the call.
        """
        router, attempt, total = self._router, 0, 0
        while True:
            attempt += 1
            total += 1
            self.answer = AnswerBuilder()
            call = self._call(total)
            if (vetoed := await self._hooks.pre_api_request(call)) is not None:
                plugin, veto = vetoed
                raise PolicyDenied(f'The plugin "{plugin}" stopped the model call: {veto.reason}')
            try:
                async for event in self._attempt(call):
                    yield event
                return
            except ProviderError as error:
                self._book()
                info = ErrorInfo.of(error)
                await self._hooks.on_api_error(call, info)
                step = next_step(
                    error,
                    attempt=attempt,
                    retries=router._settings.agent.retries,
                    has_fallback=bool(self._fallbacks),
                    jitter=router._jitter,
                )
                if step.action == "stop":
                    raise
                if step.action == "fall_back":
                    self.target, attempt = self._fallbacks.pop(0), 0
                yield ModelRetry(
                    error=info,
                    attempt=total + 1,
                    seconds=step.seconds,
                    provider=self.target.provider,
                    model=self.target.model,
                    restart=self.answer.shown,
                )
                if step.seconds:
                    await router._clock.sleep(step.seconds)

    async def _attempt(self, call: ModelCall) -> AsyncIterator[Event]:
        clock = self._router._clock
        provider = await self._router.provider(self.target)
        request = msgspec.structs.replace(
            self._request, id=call.id, endpoint=self.target.endpoint, model=self.target.model
        )
        started, first = clock.monotonic(), None
        async with aclosing(provider.stream(request)) as stream:  # type: ignore[type-var]
            async for event in stream:
                if first is None:
                    first = clock.monotonic() - started
                self.answer.add(event)
                yield event
        self._book()
        finished = self.answer.finished or ModelFinished(reason="stop")
        response = ModelAnswer(
            parts=self.answer.parts(),
            finish=finished.reason,
            usage=self.answer.usage,
            seconds=clock.monotonic() - started,
            first_token_seconds=first,
            request_id=finished.request_id,
            model=finished.model,
        )
        await self._hooks.post_api_request(call, response)

    def _book(self) -> None:
        usage = self.answer.usage
        cost = cost_of(usage, model_info(self.target.spec, self.target.model))
        self.spent.append(Spent(self.target, usage, cost))

    def _call(self, attempt: int) -> ModelCall:
        request = self._request
        return ModelCall(
            id=f"{request.id}.{attempt}" if attempt > 1 else request.id,
            session_id=request.session_id,
            turn_id=request.turn_id,
            provider=self.target.provider,
            model=self.target.model,
            base_url=self.target.endpoint.base_url,
            messages=len(request.messages),
            tools=len(request.tools),
            attempt=attempt,
            last=request.messages[-1].parts if request.messages else (),
        )


def _laid_over(known: ProviderSpec | None, own: ProviderSpec, name: str) -> ProviderSpec:
    """The user's fields over a known provider's; a new endpoint has to name its transport and address."""
    if known is None:
        return own
    blank = ProviderSpec()
    changed = {
        field: getattr(own, field)
        for field in ProviderSpec.__struct_fields__
        if getattr(own, field) != getattr(blank, field)
    }
    return msgspec.structs.replace(known, **changed)


def _no_provider(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    meant = f' Did you mean "{near}"?' if near else f" There are: {', '.join(sorted(known))}."
    return f'No provider "{name}".{meant} Others come with: pip install hermes-plugin-{near or name}'
