"""The environment of commands: an allowlist, so that the agent's own secrets stay with the agent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

ALLOWED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TZ", "TMPDIR"}
    | {"COLUMNS", "LINES", "PWD", "VIRTUAL_ENV"}
)
ALLOWED_PREFIXES = ("LC_",)

_EXPORT = re.compile(
    r"""declare -\w+ (?P<name>\w+)=(?:"(?P<plain>(?:[^"\\]|\\.)*)"|\$'(?P<ansi>(?:[^'\\]|\\.)*)')""", re.S
)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)", re.S)
_CONTROLS = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "E": "\x1b", "e": "\x1b"}


def child_environment(
    parent: Mapping[str, str], passthrough: Sequence[str], added: Mapping[str, str]
) -> dict[str, str]:
    """What a command sees: the harmless variables of ``parent``, those named in ``passthrough``, and ``added``."""
    names = ALLOWED.union(passthrough)
    kept = {name: value for name, value in parent.items() if name in names or name.startswith(ALLOWED_PREFIXES)}
    return {**kept, **added}


def parse_exports(text: str) -> dict[str, str]:
    """The variables in the output of bash's ``export -p``."""
    found: dict[str, str] = {}
    for match in _EXPORT.finditer(text):
        if match["plain"] is not None:
            found[match["name"]] = re.sub(r'\\([$`"\\])', r"\1", match["plain"])
        else:
            found[match["name"]] = _ESCAPE.sub(_unescape, match["ansi"])
    return found


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if code.isdigit() else _CONTROLS.get(code, code)
