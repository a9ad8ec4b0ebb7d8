"""Secrets in the system's keyring, where the vault then keeps only that they are there."""

from __future__ import annotations

import asyncio
from types import ModuleType

import msgspec

from hermes import AuthenticationFailed, ConfigError, StoredCredential

SERVICE = "hermes-auth"
RECOMMENDED = 1
"""The priority from which the library itself calls a backend recommended; what stores plain text has less."""


async def opened(credential: StoredCredential) -> StoredCredential:
    """Raises AuthenticationFailed: it is not in the keyring any more."""
    text = await _call("get_password", credential.id)
    try:
        found = msgspec.json.decode(text or "", type=dict[str, str])
        return msgspec.structs.replace(credential, secret=found["secret"], refresh=found["refresh"])
    except (msgspec.DecodeError, KeyError):
        way = "login" if credential.kind == "oauth" else "add"
        raise AuthenticationFailed(
            f"{credential.provider}: the keyring has no secret for {credential.label or credential.id}.",
            provider=credential.provider,
            hint=f"hermes auth remove {credential.id} - then: hermes auth {way} {credential.provider} --keyring",
        ) from None


async def sealed(credential: StoredCredential) -> StoredCredential:
    text = msgspec.json.encode({"secret": credential.secret, "refresh": credential.refresh}).decode()
    await _call("set_password", credential.id, text)
    return msgspec.structs.replace(credential, secret="", refresh="", place="keyring")


async def forget(credential: StoredCredential) -> None:
    """Nothing happens where the keyring has it no more."""
    if await _call("get_password", credential.id) is not None:
        await _call("delete_password", credential.id)


async def _call(method: str, *arguments: str) -> str | None:
    """In a thread: a keyring may ask the person to unlock it. Raises ConfigError: there is none that can be used."""
    keyring = usable()

    def work() -> str | None:
        answer: str | None = getattr(keyring, method)(SERVICE, *arguments)
        return answer

    try:
        return await asyncio.to_thread(work)
    except keyring.errors.KeyringError as error:
        raise ConfigError(
            f"The system's keyring does not work: {error or type(error).__name__}.",
            hint="Unlock it and try again, or leave out --keyring: the home's auth.json is for this user alone.",
        ) from None


def usable() -> ModuleType:
    """The library, if it has a backend that keeps secrets secret. Raises ConfigError."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise ConfigError(
            "The library for the system's keyring is not installed.", hint='pip install "hermes-plugin-auth[keyring]"'
        ) from None
    backend = keyring.get_keyring()
    if backend.priority < RECOMMENDED:
        raise ConfigError(
            f"This machine has no keyring that can be used (found: {backend.name}).",
            hint="Start one, such as GNOME Keyring or KWallet, with a D-Bus session; "
            "or leave out --keyring: the home's auth.json is for this user alone.",
        )
    return keyring
