"""What a manifest may not be: huge, deep, a riddle to the YAML reader, or a pattern that never ends."""

from __future__ import annotations

import re
from typing import Any

from hermes.contracts.errors import PluginError

MOST_BYTES = 256 * 1024
MOST_NODES = 20_000
DEEPEST = 32
LONGEST_PATTERN = 300
FIXED_START = 3
"""Characters that a pattern has to begin with, so that most of a text is passed over at once."""
MOST_REPEATS = 512


def read_yaml_safely(text: str) -> Any:
    """Parses YAML without aliases, whose few lines may stand for more than fits into the memory.

    Raises:
        PluginError: it is too large or too deep, or has aliases.
        yaml.YAMLError: it is no YAML.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise PluginError(f"it has {len(text)} characters; {MOST_BYTES} are the most that a manifest may have.")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=loader)):
        if isinstance(event, yaml.AliasEvent):
            raise PluginError("it has YAML aliases (*name), which manifests may not have.")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        if depth > DEEPEST or nodes > MOST_NODES:
            raise PluginError(f"it is nested deeper than {DEEPEST} levels, or has more than {MOST_NODES} nodes.")
    return yaml.load(text, Loader=loader)


def pattern_problem(pattern: str, *, trusted: bool) -> str:
    """Why a secret's pattern cannot be used; blank if it can.

    One that is not trusted has to be linear: fixed characters first, then classes of characters, of which only the last
    may be repeated without end.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        return f"{pattern!r} is no regular expression: {error}"
    if trusted:
        return ""
    if len(pattern) > LONGEST_PATTERN:
        return f"a pattern has {len(pattern)} characters; {LONGEST_PATTERN} are the most"
    parts = list(re._parser.parse(pattern))  # type: ignore[attr-defined]
    literals = next((number for number, (kind, _) in enumerate(parts) if str(kind) != "LITERAL"), len(parts))
    if literals < FIXED_START:
        return f"{pattern!r} has to begin with {FIXED_START} fixed characters"
    for number, (kind, value) in enumerate(parts[literals:], literals):
        if str(kind) in ("LITERAL", "IN"):
            continue
        if str(kind) != "MAX_REPEAT":
            return f"{pattern!r} may have characters, classes and repetitions of these, and nothing else"
        low, high, inner = value
        last = number == len(parts) - 1
        if len(inner) != 1 or str(inner[0][0]) not in ("LITERAL", "IN") or low > MOST_REPEATS:
            return f"{pattern!r} may repeat single characters and classes, and nothing else"
        if not last and int(high) > MOST_REPEATS:
            return f"{pattern!r} may repeat only its end without a limit"
    return ""
