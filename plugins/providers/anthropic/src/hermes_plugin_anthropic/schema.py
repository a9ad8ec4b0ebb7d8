"""JSON Schemas as the vendor takes them. What it does not enforce is told to the model in the description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"])
_KEPT = ("$ref", "type", "enum", "const", "title", "description", "required")
_COMBINED = ("oneOf", "anyOf", "allOf")


def answer_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an answer: objects are closed, ``oneOf`` is ``anyOf``, limits are words."""
    rest = dict(schema)
    adapted: dict[str, Any] = {name: rest.pop(name) for name in _KEPT if name in rest}
    for name in ("$defs", "definitions", "properties"):
        if isinstance(inner := rest.get(name), Mapping):
            adapted[name] = {key: _inner(value) for key, value in inner.items()}
            del rest[name]
    for name in _COMBINED:
        if isinstance(rest.get(name), list):
            adapted["anyOf" if name == "oneOf" else name] = [_inner(variant) for variant in rest.pop(name)]
    if isinstance(adapted.get("type"), list):
        adapted["anyOf"] = [{"type": kind} for kind in adapted.pop("type")]
    if "items" in rest:
        adapted["items"] = _inner(rest.pop("items"))
    if rest.get("minItems") in (0, 1):
        adapted["minItems"] = rest.pop("minItems")
    if rest.get("format") in _FORMATS:
        adapted["format"] = rest.pop("format")
    if adapted.get("type") == "object":
        adapted.setdefault("properties", {})
        if rest.pop("additionalProperties", False) not in (False, True):
            rest["additionalProperties"] = schema["additionalProperties"]
        adapted["additionalProperties"] = False
    return _told(adapted, rest)


def _inner(schema: Any) -> Any:
    return answer_schema(schema) if isinstance(schema, Mapping) else schema


def input_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's input: an object, without alternatives at its top."""
    rest = {name: schema[name] for name in _COMBINED if name in schema}
    plain = {name: value for name, value in schema.items() if name not in _COMBINED}
    return _told({**plain, "type": "object"}, rest)


def _told(schema: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """``schema``, and in its description what is left of it."""
    if rest:
        words = "{" + ", ".join(f"{name}: {value}" for name, value in rest.items()) + "}"
        said = schema.get("description")
        schema["description"] = f"{said}\n\n{words}" if said else words
    return schema
