"""What the commands do to the vault."""

from __future__ import annotations

import secrets
import sys
from typing import NamedTuple

import click
import msgspec

from hermes import App, ConfigError, OAuthSpec, ProviderSpec, RefreshRequest, StoredCredential

from .browser import Person, opener
from .status import provider_named, stored

LONGEST_KEY = 16_384


class Wanted(NamedTuple):
    """What options of ``add`` and ``login`` say of the entry."""

    label: str
    user: str
    keyring: bool


async def add(app: App, name: str, secret: str, wanted: Wanted) -> StoredCredential:
    """Raises ConfigError: there is no such provider, the key is none, or it is there already."""
    provider, spec = provider_named(app, name)
    if not secret or not secret.isprintable() or " " in secret or len(secret) > LONGEST_KEY:
        raise ConfigError("That is no key: a key is one word.", hint=f"Try again: hermes auth add {provider}")
    for entry in stored(app, provider):
        if entry.user == wanted.user and secret in (entry.secret, entry.refresh):
            raise ConfigError(f"This key is there already, as {entry.id}.", hint=f"See: hermes auth list {provider}")
    lasting = spec.oauth is not None and bool(spec.oauth.exchange_url)
    credential = StoredCredential(
        id=secrets.token_hex(4),
        provider=provider,
        label=wanted.label,
        kind="oauth" if lasting else "key",
        secret="" if lasting else secret,
        refresh=secret if lasting else "",
        user=wanted.user,
        added=app.clock.now(),
    )
    return await keep(app, credential, keyring=wanted.keyring)


async def log_in(app: App, name: str, flow: str, wanted: Wanted, *, browser: bool) -> StoredCredential:
    """Raises a `ProviderError` if it did not come to a login."""
    provider, oauth = _spoken(app, name)
    if wanted.keyring:
        _check_keyring()
    from . import device, pkce
    from .refresher import OAuthRefresher
    from .tokens import OAuthServer, check_addresses

    check_addresses(provider, oauth)
    hint = f"Try again: hermes auth login {provider}"
    person = Person(lambda text: click.echo(text, err=True), opener(app.environ, wanted=browser))
    server = OAuthServer(provider)
    try:
        way = device if (flow or oauth.flow) == "device" else pkce
        tokens = await way.log_in(server, oauth, app.clock, person, hint)
    finally:
        await server.close()
    credential = _entry(app, provider, wanted)
    if oauth.exchange_url:
        credential = msgspec.structs.replace(credential, refresh=tokens.access)
        request = RefreshRequest(credential=credential, oauth=oauth)
        credential = await OAuthRefresher(app.clock).refresh(request)
    else:
        credential = msgspec.structs.replace(
            credential, secret=tokens.access, refresh=tokens.refresh, expires=tokens.expires
        )
    return await keep(app, credential, keyring=wanted.keyring)


async def copy_existing(app: App, name: str, wanted: Wanted) -> StoredCredential:
    """Raises ConfigError: no other program has a login for the provider."""
    from .existing import existing

    provider, _ = _spoken(app, name)
    found = existing(provider, app.environ)
    credential = msgspec.structs.replace(
        _entry(app, provider, wanted),
        secret=found.tokens.access,
        refresh=found.tokens.refresh,
        expires=found.tokens.expires,
    )
    kept = await keep(app, credential, keyring=wanted.keyring)
    click.echo(f"Copied the access token and the refresh token of {found.program} from {found.file}.", err=True)
    click.echo(
        f"Some servers take a refresh token only once: where {found.program} then asks for a new login, give Hermes "
        f"one of its own: hermes auth login {provider}",
        err=True,
    )
    return kept


def _spoken(app: App, name: str) -> tuple[str, OAuthSpec]:
    provider, spec = provider_named(app, name)
    if spec.oauth is None:
        able = sorted(other for other, its in app.router.specs.items() if its.oauth is not None)
        raise ConfigError(
            f'There is no login for the provider "{provider}": it takes a key.',
            hint=f"hermes auth add {provider}{_key_page(spec)}. Logins: {', '.join(able) or 'none installed'}",
        )
    return provider, spec.oauth


def _key_page(spec: ProviderSpec) -> str:
    return f" - keys are made at {spec.key_url}" if spec.key_url else ""


def _entry(app: App, provider: str, wanted: Wanted) -> StoredCredential:
    """The login's entry: the one of the same label and user again, else a new one."""
    for entry in stored(app, provider):
        if (entry.kind, entry.label, entry.user) == ("oauth", wanted.label, wanted.user):
            return msgspec.structs.replace(entry, place="file", added=app.clock.now())
    return StoredCredential(
        id=secrets.token_hex(4),
        provider=provider,
        label=wanted.label,
        kind="oauth",
        user=wanted.user,
        added=app.clock.now(),
    )


async def keep(app: App, credential: StoredCredential, *, keyring: bool) -> StoredCredential:
    """Stores it; what is new does not rest."""
    if keyring:
        from .ring import sealed

        credential = await sealed(msgspec.structs.replace(credential, place="keyring"))
    app.vault.put(credential)
    app.router.credentials.pools.rests.end([credential.id])
    return credential


async def forget(app: App, entries: list[StoredCredential]) -> None:
    for entry in entries:
        if entry.place == "keyring":
            from .ring import forget as forget_in_keyring

            await forget_in_keyring(entry)
        app.vault.remove(entry.id)
    app.router.credentials.pools.rests.end([entry.id for entry in entries])


def _check_keyring() -> None:
    """Before anybody logs in, not after."""
    from .ring import usable

    usable()


def asked_key(provider: str) -> str:
    """Without an echo where a person types it, else the first line of stdin."""
    if sys.stdin.isatty():
        answer: str = click.prompt(f"Key for {provider}", hide_input=True, err=True)
        return answer.strip()
    return sys.stdin.readline().strip()
