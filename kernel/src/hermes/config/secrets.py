"""Where secrets are found: the environment, the home's ``.env``, and whatever a plugin adds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hermes.contracts.errors import ConfigError
from hermes.contracts.scope import Scope

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*")
SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)


def read_env_file(path: Path) -> dict[str, str]:
    """``NAME=value`` lines; quotes are stripped, ``#`` starts a comment.

    Raises:
        ConfigError: a line is no assignment, or the file cannot be read. The line's text is not shown.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint=f"chmod 600 {path}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{path}:{number}: not a NAME=value line.", hint="Mend the line and retry.")
        values[match["name"]] = _unquoted(match["value"])
    return values


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return re.split(r"\s+#", value, maxsplit=1)[0]


class ScopedSecrets:
    """Secrets by name, for a scope. A blank value hides the layers behind it and counts as unset.

    First what was given with a session, then the user's own file ``users/<id>/.env``, then the process's environment,
    then the home's ``.env``.
    """

    def __init__(self, environ: Mapping[str, str], env_file: Path, users: Path) -> None:
        self._layers: list[tuple[str, Mapping[str, str]]] = [
            ("env", environ),
            (str(env_file), read_env_file(env_file)),
        ]
        self._users = users
        self._of_users: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._of_sessions: dict[str, Mapping[str, str]] = {}

    def give(self, session_id: str, values: Mapping[str, str]) -> None:
        """The session's own secrets."""
        if values:
            self._of_sessions[session_id] = dict(values)

    def get(self, name: str, scope: Scope) -> tuple[str, str] | None:
        """The value and where it was found, e.g. ``env:SOME_KEY``; both blank where a blank value hides the rest;
        None if no layer has it.
        """
        for source, values in self._of(scope):
            if name in values:
                value = values[name].strip()
                return value, f"{source}:{name}" if value else ""
        return None

    def _of(self, scope: Scope) -> Iterator[tuple[str, Mapping[str, str]]]:
        if scope.session in self._of_sessions:
            yield "session", self._of_sessions[scope.session]
        if scope.user:
            yield self._of_user(scope.user)
        yield from self._layers

    def _of_user(self, user: str) -> tuple[str, Mapping[str, str]]:
        """Read once. The name of the folder is the principal's id, quoted where it is no plain name."""
        if user not in self._of_users:
            folder = re.sub(r"[^A-Za-z0-9_@:+-]", lambda match: f"%{ord(match[0]):02X}", user)
            file = self._users / folder / ".env"
            self._of_users[user] = (str(file), read_env_file(file))
        return self._of_users[user]

    def values(self) -> list[str]:
        """Everything that a name marks as a secret, for redaction."""
        found = {value for _, layer in self._layers for name, value in layer.items() if SECRET_NAME.search(name)}
        return sorted(value for value in found if len(value) > 7 and not looks_like_path(value))


def looks_like_path(value: str) -> bool:
    """Some variables whose names speak of credentials name a file that has them."""
    return os.path.exists(value) or (value.startswith(("/", "~/", "./")) and value.endswith((".json", ".pem", ".p12")))
