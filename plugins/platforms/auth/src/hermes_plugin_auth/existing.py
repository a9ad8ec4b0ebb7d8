"""Logins that other programs keep on this machine, copied only when that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hermes import ConfigError

from .tokens import Tokens, end_of


class Existing(NamedTuple):
    """``program`` keeps the login in ``file``."""

    program: str
    file: Path
    tokens: Tokens


def _claude_code(data: dict[str, Any]) -> Tokens:
    found = data["claudeAiOauth"]
    return Tokens(str(found["accessToken"]), str(found["refreshToken"]), float(found["expiresAt"]) / 1000)


def _codex(data: dict[str, Any]) -> Tokens:
    found = data["tokens"]
    access = str(found["access_token"])
    return Tokens(access, str(found["refresh_token"]), end_of(access))


class _Place(NamedTuple):
    program: str
    variable: str
    folder: str
    file: str
    read: Callable[[dict[str, Any]], Tokens]


PLACES = {
    "anthropic": _Place("Claude Code", "CLAUDE_CONFIG_DIR", ".claude", ".credentials.json", _claude_code),
    "openai-codex": _Place("Codex", "CODEX_HOME", ".codex", "auth.json", _codex),
}


def existing(provider: str, environ: Mapping[str, str]) -> Existing:
    """Raises ConfigError: there is none."""
    place = PLACES.get(provider)
    if place is None:
        raise ConfigError(
            f'No program is known that keeps a login for "{provider}".',
            hint=f"--import works for: {', '.join(PLACES)}. Else: hermes auth login {provider}",
        )
    file = Path(environ.get(place.variable) or Path.home() / place.folder) / place.file
    try:
        return Existing(place.program, file, place.read(msgspec.json.decode(file.read_bytes(), type=dict[str, Any])))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else "holds no login"
        raise ConfigError(
            f"{file}, where {place.program} keeps its login, {why}.", hint=f"Log in here: hermes auth login {provider}"
        ) from None
