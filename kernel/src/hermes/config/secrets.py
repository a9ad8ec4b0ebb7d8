"""Where secrets are found: the environment, the home's ``.env``, and whatever a plugin adds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from hermes.contracts.errors import ConfigError

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


class SecretLayers:
    """Secrets by name, first layer first. A blank value hides the layers behind it and counts as unset."""

    def __init__(self, *layers: tuple[str, Mapping[str, str]]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, environ: Mapping[str, str], env_file: Path) -> SecretLayers:
        """The process's environment before the home's ``.env``."""
        return cls(("env", environ), (str(env_file), read_env_file(env_file)))

    def get(self, name: str) -> tuple[str, str] | None:
        """The value and where it was found, e.g. ``env:SOME_KEY``; both blank where a blank value hides the rest;
        None if no layer has it.
        """
        for source, values in self._layers:
            if name in values:
                value = values[name].strip()
                return value, f"{source}:{name}" if value else ""
        return None

    def values(self) -> list[str]:
        """Everything that a name marks as a secret, for redaction."""
        found = {value for _, layer in self._layers for name, value in layer.items() if SECRET_NAME.search(name)}
        return sorted(value for value in found if len(value) > 7 and not os.path.exists(value))
