"""A JSON Schema in the subset that Bedrock's structured output takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes_carrier.structured import closed

_REFUSED = frozenset(
    [
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    ]
)


def answer_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an answer: objects are closed, ``oneOf`` is ``anyOf``, limits are words."""
    return closed(schema, _is_refused)


def _is_refused(name: str, value: Any) -> bool:
    return name in _REFUSED and not (name == "minItems" and value in (0, 1))
