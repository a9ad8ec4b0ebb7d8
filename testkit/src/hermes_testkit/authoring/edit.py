"""Changes single values of a YAML text in place: what is not changed stays as it was, comments and order included.

The text's own marks (PyYAML's, of each node) say where a value stands. A list that is written a line an item is
changed line by line; any other value is written anew in its own place, and a comment within it is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hermes import PluginError

WIDTH = 120
HEADER = re.compile(r"(?m)^# /// hermes\s*$\n(?P<body>(?:^#(?:| .*)$\n)+?)^# ///\s*$")


def set_values(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The YAML ``text`` with other values at these paths.

    Raises:
        PluginError: the text is written in a way that cannot be changed piece by piece.
    """
    wanted = yaml.safe_load(text) or {}
    for path, value in values.items():
        _put(wanted, path, yaml.safe_load(_flow(value)))  # as it reads once it is written: tuples are lists
        text = _set(text, path, value)
    try:
        changed = yaml.safe_load(text) == wanted
    except yaml.YAMLError:
        changed = False
    if not changed:
        raise PluginError("The manifest is written in a way that cannot be changed in place.", hint="Mend it by hand.")
    return text


def set_header_values(source: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The same for the ``# /// hermes`` block of a Python file."""
    match = HEADER.search(source)
    if match is None:
        raise PluginError("The file has no `# /// hermes` block to write to.")
    body = "".join(f"{line[2:]}\n" for line in match["body"].splitlines())
    lines = set_values(body, values).splitlines()
    block = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return source[: match.start("body")] + block + source[match.end("body") :]


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise PluginError(f"{key} is no mapping.", hint="Mend the manifest by hand.")
    tree[path[-1]] = value


def _set(text: str, path: Sequence[str], value: Any) -> str:
    mapping: Any = yaml.compose(text)
    for depth, key in enumerate(path):
        found = next((pair for pair in mapping.value if pair[0].value == key), None)
        if found is None:
            for inner in reversed(path[depth + 1 :]):
                value = {inner: value}
            return _insert(text, mapping, key, value)
        mapping, key_node = found[1], found[0]
        if depth == len(path) - 1:
            return _replace(text, key_node, mapping, value)
        if mapping.flow_style:
            tree = yaml.safe_load(text[mapping.start_mark.index : mapping.end_mark.index])
            _put(tree, path[depth + 1 :], value)
            return _replace(text, key_node, mapping, tree)
    raise AssertionError("a path has a last key")


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends: a block's mark lies behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _replace(text: str, key: yaml.Node, node: yaml.Node, value: Any) -> str:
    in_lines = isinstance(node, yaml.SequenceNode) and not node.flow_style
    kept = isinstance(value, list) and in_lines and any(item.value in value for item in node.value)
    if kept and isinstance(node, yaml.SequenceNode):
        return _change_items(text, node, value)
    written = _dumped(value, key.start_mark.column)
    start, end = node.start_mark.index, _end(node)
    if start == end:  # nothing stands there: the mark is that of what follows
        start = end = key.end_mark.index + 1
    if in_lines or "\n" in written or start == key.end_mark.index + 1:
        start = key.end_mark.index + 1
        written = written if written.startswith("\n") else f" {written}"
    return text[:start] + written + text[end:]


def _change_items(text: str, node: yaml.SequenceNode, value: list[str]) -> str:
    """Takes the lines of items away that are not in ``value``, and adds those of new ones at the end."""
    lines = text.splitlines(keepends=True)
    kept = [item for item in node.value if item.value in value]
    last = kept[-1].end_mark.line
    lines[last] = lines[last].rstrip("\n") + "\n"
    new = [item for item in value if item not in {found.value for found in kept}]
    dash = " " * node.start_mark.column + "- "
    lines[last + 1 : last + 1] = [f"{dash}{_flow(item)}\n" for item in new]
    for item in reversed([item for item in node.value if item not in kept]):
        first, end = item.start_mark.line, item.end_mark.line + 1
        offset = len(new) if first > last else 0
        del lines[first + offset : end + offset]
    return "".join(lines)


def _insert(text: str, mapping: yaml.MappingNode, key: str, value: Any) -> str:
    """Adds a key behind the last one of a mapping in lines."""
    end, column = _end(mapping), mapping.start_mark.column
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    written = _dumped(value, column)
    added = f"\n{' ' * column}{key}:{written if written.startswith(chr(10)) else ' ' + written}"
    return text[:line_end] + added + (text[line_end:] or "\n")


def _dumped(value: Any, column: int) -> str:
    """In one line where it fits; else in lines of their own, further in than ``column``."""
    flow = _flow(value)
    if not isinstance(value, dict) or len(flow) + column < WIDTH:
        return flow
    lines = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=WIDTH).splitlines()
    return "".join(f"\n{' ' * (column + 2)}{line}" for line in lines)


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return dumped.removesuffix("...\n").strip()
