"""A JSON Schema in the subset that Bedrock's structured output takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = frozenset(
    [
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    ]
)
"""Keywords that it refuses: they are said in the description."""
_MAPS = frozenset(["properties", "$defs", "definitions"])
_LISTS = frozenset(["anyOf", "allOf", "oneOf", "prefixItems"])


def adapted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Every object closed, ``oneOf`` as ``anyOf``, limits as words."""
    found: dict[str, Any] = {}
    said: list[str] = []
    for name, value in schema.items():
        if name in _SAID and not (name == "minItems" and value in (0, 1)):
            said.append(f"{name}: {value}")
        elif name in _MAPS and isinstance(value, Mapping):
            found[name] = {key: _inner(inner) for key, inner in value.items()}
        elif name in _LISTS and isinstance(value, list):
            found["anyOf" if name == "oneOf" else name] = [_inner(inner) for inner in value]
        elif name in ("items", "not"):
            found[name] = _inner(value)
        else:
            found[name] = value
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    if said:
        found["description"] = " ".join(filter(None, [found.get("description"), f"({', '.join(said)})"]))
    return found


def _inner(value: Any) -> Any:
    return adapted(value) if isinstance(value, Mapping) else value
