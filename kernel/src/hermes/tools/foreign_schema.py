"""A type for arguments whose schema is JSON Schema from elsewhere: a plugin host's tool, a server's.

What a type cannot say is left to whoever runs the tool: the check here is there for the model, which gets the same
words as for any tool, and for guards, which judge final arguments.
"""

from __future__ import annotations

import functools
import keyword
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

SIMPLE: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}
LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}
BY_KIND = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "array": ("minItems", "maxItems"),
}


def arguments_type_of(schema: Mapping[str, Any], name: str) -> type[msgspec.Struct]:
    """A struct with a field for each property of an object's schema."""
    required = set(schema.get("required", ()))
    fields: list[Any] = []
    for key, inner in schema.get("properties", {}).items():
        kind = _type(inner, f"{name}_{key}")
        if key in required:
            fields.append((_field(key), kind))
        else:
            fields.append((_field(key), kind | UnsetType, inner.get("default", UNSET) if _plain(inner) else UNSET))
    closed = schema.get("additionalProperties") is False
    names = {_field(key): key for key in schema.get("properties", {}) if _field(key) != key}
    return msgspec.defstruct(
        f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=closed, rename=names or None
    )


def _field(key: str) -> str:
    return (
        key
        if key.isidentifier() and not keyword.iskeyword(key)
        else "p_" + "".join(letter if letter.isalnum() else "_" for letter in key)
    )


def _plain(schema: Any) -> bool:
    return isinstance(schema, Mapping) and isinstance(schema.get("default"), str | int | float | bool | None)


def _type(schema: Any, name: str) -> Any:
    if not isinstance(schema, Mapping):
        return Any
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        same = all(isinstance(choice, str) for choice in choices) or all(type(choice) is int for choice in choices)
        return Literal[tuple(choices)] if choices and same else Any
    if "anyOf" in schema:
        return _union([_type(inner, f"{name}_{number}") for number, inner in enumerate(schema["anyOf"])])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_type({**schema, "type": one}, name) for one in kind])
    return _limited(_bare(kind, schema, name), kind, schema)


def _bare(kind: Any, schema: Mapping[str, Any], name: str) -> Any:
    if kind in SIMPLE:
        return SIMPLE[kind]
    if kind == "array":
        return list[_type(schema.get("items"), name)]  # type: ignore[misc]
    if kind == "object":
        if schema.get("properties"):
            return arguments_type_of(schema, name)
        inner = schema.get("additionalProperties")
        return dict[str, _type(inner, name)] if isinstance(inner, Mapping) else dict[str, Any]  # type: ignore[misc]
    return Any


def _limited(kind: Any, name: Any, schema: Mapping[str, Any]) -> Any:
    limits = {LIMITS[key]: schema[key] for key in BY_KIND.get(name, ()) if key in schema}
    return Annotated[kind, Meta(**limits)] if limits and kind is not Any else kind


def _union(kinds: list[Any]) -> Any:
    """As one type, if msgspec can tell its members apart; else anything."""
    if any(kind is Any for kind in kinds):
        return Any
    union = functools.reduce(lambda one, other: one | other, kinds)
    try:
        msgspec.json.Decoder(union)
    except TypeError:
        return Any
    return union
