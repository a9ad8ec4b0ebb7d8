"""Changes single values of a YAML file's text and leaves all else, comments too, as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from hermes import ConfigError
from hermes.config.load import merge, read_value

_PLAIN = re.compile(r"[A-Za-z][\w.-]*(/[\w.-]+)*")


def with_values(text: str, section: str, values: Mapping[str, str]) -> str:
    """The text with ``section.key`` set to each of the values.

    Raises:
        ConfigError: it is written in a way that cannot be changed in place.
    """
    before = read_value(text)
    wanted = merge(before if isinstance(before, dict) else {}, {section: dict(values)})
    try:
        for key, value in values.items():
            text = _with_value(text, section, key, _scalar(value))
        changed: Any = read_value(text)
    except (yaml.YAMLError, ConfigError, ValueError):
        changed = None
    if changed != wanted:
        lines = ", ".join(f"{section}.{key}: {value}" for key, value in values.items())
        raise ConfigError(
            "config.yaml is written in a way that cannot be changed without rewriting it.",
            hint=f"Change it yourself ({lines}), or use `hermes config set`, which does not keep comments.",
        )
    return text


def _scalar(value: str) -> str:
    return (
        value if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value else json.dumps(value, ensure_ascii=False)
    )


def _with_value(text: str, section: str, key: str, scalar: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return f"{_closed(text, end)}{section}:{end}  {key}: {scalar}{end}"
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("no mapping")
    node = _member(root, section)
    if node is None:
        if root.flow_style:
            return _into_braces(text, root, f"{section}: {{{key}: {scalar}}}")
        return f"{_closed(text, end)}{section}:{end}  {key}: {scalar}{end}"
    if not isinstance(node, yaml.MappingNode):
        return _replaced(text, node, f"{{{key}: {scalar}}}" if root.flow_style else f"{end}  {key}: {scalar}")
    if (old := _member(node, key)) is not None:
        return _replaced(text, old, scalar)
    if node.flow_style:
        return _into_braces(text, node, f"{key}: {scalar}")
    start = node.start_mark
    return f"{text[: start.index]}{key}: {scalar}{end}{' ' * start.column}{text[start.index :]}"


def _member(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if text[start - 1] == ":" and not new[0].isspace() else ""
    return f"{text[:start]}{gap}{new}{text[end:]}"


def _into_braces(text: str, node: yaml.MappingNode, entry: str) -> str:
    inside = node.start_mark.index + 1
    return f"{text[:inside]}{entry}{', ' if node.value else ''}{text[inside:]}"


def _closed(text: str, end: str) -> str:
    return text if not text or text.endswith("\n") else text + end
