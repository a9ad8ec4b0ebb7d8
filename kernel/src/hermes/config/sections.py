"""The sections of ``config.yaml`` that plugins declare: where they are, what may stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .load import Tree, merge, section_problem, unknown_section

KERNEL_KEYS: dict[str, dict[str, Any]] = {
    "isolation": {
        "type": "string",
        "enum": ["host", "isolated"],
        "description": "host: in Hermes's own process; isolated: in a plugin host, held to its permissions.",
    },
}
"""What ``plugins.entries.<name>`` may hold for any plugin; read by the kernel, not given to the plugin."""

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Schema(Protocol):
    """What a manifest says of its section."""

    @property
    def section(self) -> str: ...
    @property
    def properties(self) -> dict[str, dict[str, Any]]: ...
    def defaults(self) -> dict[str, Any]: ...


def plugin_sections(
    rest: Tree, entries: Mapping[str, Tree], schemas: Iterable[tuple[str, Schema]], file: Path
) -> dict[str, Tree]:
    """Every plugin's settings by the plugin's name, checked, with defaults.

    ``rest``: the top-level sections that are not the kernel's; ``entries``: ``plugins.entries``.

    Raises:
        ConfigError: a section nobody declares, an unknown key, a value of the wrong type; with the line.
    """
    declared = list(schemas)
    tops = {schema.section for _, schema in declared if schema.section}
    for name in rest:
        if name not in tops:
            raise unknown_section(name, tops, file)
    sections = {}
    for plugin, schema in declared:
        entry = dict(entries.get(plugin) or {})
        kernel_part = {key: entry.pop(key) for key in KERNEL_KEYS if key in entry}
        _check(kernel_part, KERNEL_KEYS, ("plugins", "entries", plugin), file)
        given: Any = rest.get(schema.section) if schema.section else None
        given = merge(entry, given or {}) if isinstance(given or {}, dict) else given
        path = (schema.section,) if schema.section else ("plugins", "entries", plugin)
        _check(given, schema.properties, path, file)
        sections[plugin] = merge(schema.defaults(), given)
    return sections


def _check(values: Any, properties: Mapping[str, Mapping[str, Any]], path: tuple[str, ...], file: Path) -> None:
    if not isinstance(values, dict):
        raise section_problem(path, "it has to be a mapping", (), file)
    for key, value in values.items():
        if key not in properties:
            raise section_problem((*path, str(key)), "", properties, file)
        if problem := _problem(value, properties[key]):
            raise section_problem((*path, key), problem, (), file)


def _problem(value: Any, schema: Mapping[str, Any]) -> str:
    """Why a value does not fit the part of JSON Schema that manifests use; blank if it does."""
    kinds = schema.get("type")
    names = [kinds] if isinstance(kinds, str) else list(kinds or ())
    allowed = tuple(kind for name in names for kind in _TYPES.get(name, ()))
    wrong_bool = isinstance(value, bool) and "boolean" not in names
    if names and (wrong_bool or not isinstance(value, allowed)) and not ("null" in names and value is None):
        return f"it has to be of type {' or '.join(names)}, and is {value!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is none of: {', '.join(map(str, schema['enum']))}"
    if isinstance(value, (int, float)) and "minimum" in schema and value < schema["minimum"]:
        return f"it has to be at least {schema['minimum']}"
    if isinstance(value, list) and "items" in schema:
        return next((problem for item in value if (problem := _problem(item, schema["items"]))), "")
    return ""
