"""Which keys there are, where each was found, and which is used next."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from hermes import App, ProviderSpec, Scope, StoredCredential
from hermes.logs.redact import stub
from hermes.models.credentials import key_names


class KeyState(NamedTuple):
    """``expires`` and ``resting_until``: seconds since the epoch; 0: never, and not at all."""

    id: str
    source: str
    kind: str
    label: str
    user: str
    place: str
    stub: str
    expires: float
    renewed: bool
    resting_until: float
    resting_why: str
    next: bool


class ProviderState(NamedTuple):
    provider: str
    strategy: str
    keys: list[KeyState]


def provider_named(app: App, name: str) -> tuple[str, ProviderSpec]:
    """A provider by its id or another name of it. Raises ConfigError: there is none."""
    provider = app.router.routing.named(name)
    spec = app.router.specs.get(provider)
    if spec is None:
        raise app.router.routing.unknown(app.redact(name))  # a key may stand where the provider was forgotten
    return provider, spec


def stored(app: App, provider: str = "") -> list[StoredCredential]:
    """What was added, for whomever; of one provider or of all."""
    return [entry for entry in app.vault.all() if provider in ("", entry.provider)]


def ids(app: App, provider: str) -> list[str]:
    """Of every key that the provider could have, those of variables too."""
    spec = app.router.specs.get(provider, ProviderSpec())
    return [*(f"{provider}/{name}" for name in key_names(spec)), *(entry.id for entry in stored(app, provider))]


async def states(app: App, providers: Iterable[str], user: str) -> list[ProviderState]:
    """Of those of the providers for which a key is found."""
    scope = Scope(home=app.scope.home, workspace=app.scope.workspace, user=user)
    found = [await _state(app, provider, scope) for provider in sorted(providers)]
    return [state for state in found if state.keys]


async def _state(app: App, provider: str, scope: Scope) -> ProviderState:
    credentials = app.router.credentials
    strategy = app.settings.credential_pool_strategies.get(provider, "fill_first")
    keys = await credentials.all(provider, app.router.specs[provider], scope)
    chosen = credentials.pools.choose(provider, keys, strategy)
    known = {entry.id: entry for entry in app.vault.all()}
    states = []
    for key in keys:
        entry = known.get(key.id, StoredCredential(id=key.id, provider=provider))
        rest = credentials.pools.rests.of(key.id)
        states.append(
            KeyState(
                id=key.id,
                source=key.source,
                kind=entry.kind,
                label=entry.label,
                user=entry.user,
                place="" if key.id not in known else entry.place,
                stub=shown(key.key, entry),
                expires=entry.expires,
                renewed=bool(entry.refresh) or (entry.kind == "oauth" and entry.place == "keyring"),
                resting_until=rest.until if rest else 0.0,
                resting_why=app.redact(rest.reason) if rest else "",
                next=chosen is not None and key.id == chosen.id,
            )
        )
    return ProviderState(provider, strategy, states)


def shown(secret: str, entry: StoredCredential) -> str:
    """What may be seen of a secret. What only a renewal brings is not there yet."""
    return stub(secret) if secret else "in the keyring" if entry.place == "keyring" else "not fetched yet"


def as_dict(state: ProviderState) -> dict[str, Any]:
    return {**state._asdict(), "keys": [key._asdict() for key in state.keys]}


def lines(state: ProviderState, now: float) -> list[str]:
    """The state, for people."""
    several = f" ({len(state.keys)} keys, {state.strategy})" if len(state.keys) > 1 else ""
    return [f"{state.provider}{several}", *(_line(key, state, now) for key in state.keys)]


def _line(key: KeyState, state: ProviderState, now: float) -> str:
    said = [key.kind if key.kind == "key" else "login", key.stub]
    if key.user:
        said.append(f"only for {key.user}")
    if key.expires > now:
        said.append(f"until {moment(key.expires)}{', then renewed' if key.renewed else ''}")
    elif key.expires:
        then = "renewed at the next call" if key.renewed else "log in again"
        said.append(f"ended {moment(key.expires)}; {then}")
    if key.resting_until:
        said.append(f"rests until {moment(key.resting_until)}: {key.resting_why}")
    mark = "→" if key.next and state.strategy != "random" else " "
    return f"  {mark} {key.id:10} {key.source:28} {' · '.join(said)}"


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
