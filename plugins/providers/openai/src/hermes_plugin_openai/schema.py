"""The schema of an answer: one that the endpoint enforces, or one that the model is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes.contracts.provider import ModelRequest, ResponseFormat
from hermes_carrier.structured import in_words, schema_name

from .quirks import Quirks

_NOT_STRICT = frozenset(
    [
        "allOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contains",
        "prefixItems",
        "default",
    ]
)
_SHAPES = ("type", "$ref", "anyOf", "enum", "const")


def form_of(wanted: ResponseFormat) -> dict[str, Any]:
    """Name, strictness and schema. A schema outside the strict subset would be refused, so it is sent as not strict."""
    strict = wanted.strict and wanted.json_schema.get("type") == "object" and is_strict(wanted.json_schema)
    return {"name": schema_name(wanted), "strict": strict, "schema": wanted.json_schema}


def is_strict(schema: Any) -> bool:
    """Whether a schema is in the subset: every object closed, all of its properties required, no odd keywords."""
    if not isinstance(schema, Mapping) or _NOT_STRICT & schema.keys() or not any(name in schema for name in _SHAPES):
        return False
    kinds, properties = schema.get("type", ()), schema.get("properties", {})
    open_ended = schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    if open_ended and (kinds == "object" or (isinstance(kinds, list) and "object" in kinds)):
        return False
    inner = [*properties.values(), *schema.get("$defs", {}).values(), *schema.get("definitions", {}).values()]
    inner += schema.get("anyOf", [])
    if "items" in schema:
        inner.append(schema["items"])
    return all(is_strict(one) for one in inner)


def told(request: ModelRequest, quirks: Quirks) -> str:
    """What the model has to be told of the wanted form, where the endpoint enforces none; blank otherwise."""
    wanted = request.response_format
    return "" if wanted is None or quirks.json_mode == "schema" else in_words(wanted)
