"""JSON Schema as Gemini reads it: what it would ignore or refuse, said in words that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_SCHEMAS = ("properties", "$defs", "definitions", "patternProperties")
"""Members whose values are schemas under names of their own."""


def adapted(schema: Any) -> Any:
    """``const`` becomes an ``enum`` of one; beside ``$ref`` nothing stands but what begins with ``$``."""
    if isinstance(schema, list | tuple):
        return [adapted(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        schema = {name: value for name, value in schema.items() if name.startswith("$")}
    changed: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _OF_SCHEMAS and isinstance(value, Mapping):
            changed[name] = {inner: adapted(of) for inner, of in value.items()}
        elif name == "const":
            changed["enum"] = [value]
        else:
            changed[name] = value if name in ("enum", "default", "required", "example", "examples") else adapted(value)
    return changed
