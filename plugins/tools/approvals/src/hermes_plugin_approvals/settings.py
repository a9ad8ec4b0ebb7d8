"""The plugin's section of the configuration, as values."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec

from hermes.contracts.errors import ConfigError
from hermes.contracts.verdict import Decision


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tool: str
    decision: Decision
    match: str | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Literal["manual", "smart", "off"] = "manual"
    timeout: float = 60.0
    judge_timeout: Annotated[float, msgspec.Meta(gt=0, le=25)] = 20.0
    rules: tuple[Rule, ...] = ()
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


def parse_settings(values: dict[str, Any]) -> Settings:
    """Checks the section.

    Raises:
        ConfigError: it says which key is wrong.
    """
    if values.get("mode") is False:
        values = {**values, "mode": "off"}  # YAML 1.1 reads a bare `off` as false
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"approvals in config.yaml: {error}.", hint="Mend it: hermes config edit") from None


def matches(pattern: str, texts: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for text in texts)


def denies(pattern: str, tool: str, texts: tuple[str, ...]) -> bool:
    """``glob`` on a command or tool, or ``tool:glob``. Without a wildcard it stands for what starts with its words."""
    named, colon, rest = pattern.partition(":")
    if colon and fnmatchcase(tool, named) and _covers(rest.strip(), texts):
        return True
    return fnmatchcase(tool, pattern) or _covers(pattern, texts)


def _covers(pattern: str, texts: tuple[str, ...]) -> bool:
    if matches(pattern, texts):
        return True
    plain = not any(char in pattern for char in "*?[")
    return plain and any(text.startswith(f"{pattern} ") for text in texts)
