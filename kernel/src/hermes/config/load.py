"""Reads, layers and checks the settings: flag > environment > project > home > default."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hermes.contracts.errors import ConfigError, nearest

from .schema import ENVIRONMENT, Settings

Tree = dict[str, Any]


def read_yaml(path: Path) -> Tree:
    """The file's mapping; empty if there is none.

    Raises:
        ConfigError: it cannot be read, is no YAML, or is no mapping; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint="Mend or move the file.") from None
    import yaml

    try:
        tree = yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigError(f"{where}: not YAML: {problem}.", hint="Nothing was run. Mend the line and retry.") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level has to be a mapping.", hint="Write `key: value` lines.")
    return tree


def read_value(text: str) -> Any:
    """One value, as it would stand in the file.

    Raises:
        ConfigError: it is no YAML.
    """
    import yaml

    try:
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError:
        raise ConfigError(f"{text!r} is not YAML.", hint="Quote it as a text: '\"…\"'") from None


def _loader() -> Any:
    """Booleans are ``true`` and ``false``, as in YAML 1.2: ``off`` and ``no`` are words, such as a mode's name."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    boolean = "tag:yaml.org,2002:bool"
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != boolean]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    loader: Any = type("SettingsLoader", (base,), {"yaml_implicit_resolvers": resolvers})
    loader.add_implicit_resolver(boolean, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
    return loader


def merge(base: Tree, over: Mapping[str, Any]) -> Tree:
    """``over`` on top of ``base``: mappings are joined key by key, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def nested(dotted: str, value: Any) -> Tree:
    """``a.b.c`` and a value as the tree that holds it."""
    for key in reversed(dotted.split(".")):
        value = {key: value}
    result: Tree = value
    return result


def environment_layer(environ: Mapping[str, str]) -> Tree:
    """What the environment sets. A blank variable counts as unset."""
    tree: Tree = {}
    for variable, dotted in ENVIRONMENT.items():
        if text := environ.get(variable, "").strip():
            tree = merge(tree, nested(dotted, int(text) if text.isdigit() else text))
    return tree


def under_environment(tree: Tree, environ: Mapping[str, str]) -> Tree:
    """The files' settings under those of the environment. Where that names another provider, the files' model, which is
    one of theirs, does not count.
    """
    layer = environment_layer(environ)
    chosen, below = layer.get("model", {}), tree.get("model")
    if "provider" in chosen and isinstance(below, dict) and below.get("provider") != chosen["provider"]:
        kept = {name: value for name, value in below.items() if name not in ("default", "base_url")}
        tree = {**tree, "model": kept}
    return merge(tree, layer)


def settings_of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that the environment sets, each with the variable that does."""
    return {dotted: variable for variable, dotted in ENVIRONMENT.items() if environ.get(variable, "").strip()}


def split_sections(tree: Tree) -> tuple[Tree, Tree]:
    """The kernel's part of the tree, and the rest, which is for plugins to declare."""
    own = {key: value for key, value in tree.items() if key in Settings.__struct_fields__}
    return own, {key: value for key, value in tree.items() if key not in own}


def parse_settings(tree: Tree, path: Path) -> Settings:
    """The typed settings.

    Raises:
        ConfigError: an unknown key (with the nearest known one) or a wrong value, with the line.
    """
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise _explain(str(error), path, tree) from None


def unknown_section(name: str, known: Iterable[str], path: Path) -> ConfigError:
    error = _unknown_key((name,), [*Settings.__struct_fields__, *known], path)
    error.hint = f"If it was for a plugin that is not installed any more, remove it. {error.hint}"
    return error


def section_problem(keys: tuple[str, ...], problem: str, known: Iterable[str], path: Path) -> ConfigError:
    """The error for a value in a plugin's section. ``known``: the keys allowed there, for an unknown one."""
    if known:
        return _unknown_key(keys, list(known), path)
    return ConfigError(f"{_place(path, keys)}: {'.'.join(keys)}: {problem}.", hint="See: hermes config schema")


_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<at>.*)`)?$", re.DOTALL)
_STEPS = re.compile(r"\[(\.\.\.|\d+)\]|([^.\[\]]+)")
"""Of the place that msgspec names: ``[...]`` is any key of a mapping, or any place of a list."""
_WRONG_VALUE = re.compile(r"Invalid enum value '?(?P<value>[^']*)'?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`")


def _explain(message: str, path: Path, tree: Tree) -> ConfigError:
    match = _MESSAGE.match(message)
    assert match
    steps = [index or name for index, name in _STEPS.findall(match["at"] or "")]
    if unknown := _UNKNOWN.match(match["what"]):
        keys = _keys(steps, tree, lambda node: isinstance(node, dict) and unknown["key"] in node)
        return _unknown_key((*keys, unknown["key"]), _fields(_kind(steps)), path)
    value = _WRONG_VALUE.match(match["what"])
    keys = _keys(steps, tree, lambda node: value is None or str(node) == value["value"])
    allowed = [str(one) for one in getattr(_kind(steps), "values", ()) if one != ""] if value else []
    dotted = ".".join(keys) or "the file"
    told = f" It may be: {', '.join(allowed)}." if allowed else ""
    return ConfigError(f"{_place(path, keys)}: {dotted}: {match['what']}.{told}", hint="See: hermes config schema")


def _keys(steps: list[str], tree: Tree, fits: Callable[[Any], bool]) -> tuple[str, ...]:
    """The steps, with the key in the place of each ``...``: of the first value that is the wrong one."""
    return _found(steps, tree, fits) or tuple(step for step in steps if step != "...")


def _found(steps: list[str], node: Any, fits: Callable[[Any], bool]) -> tuple[str, ...] | None:
    if not steps:
        return () if fits(node) else None
    inner = {str(place): value for place, value in enumerate(node)} if isinstance(node, list) else node
    if not isinstance(inner, dict):
        return None
    for name in list(inner) if steps[0] == "..." else [steps[0]]:
        rest = _found(steps[1:], inner.get(name), fits) if name in inner else None
        if rest is not None:
            return (str(name), *rest)
    return None


def _kind(steps: list[str]) -> Any:
    """What msgspec knows of the type at that place; None: nothing."""
    kind: Any = msgspec.inspect.type_info(Settings)
    for step in steps:
        inner = getattr(kind, "value_type", getattr(kind, "item_type", None))
        kind = inner if inner is not None else _field_type(kind, step)
        while isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
    return kind


def _field_type(kind: Any, name: str) -> Any:
    return next((field.type for field in getattr(kind, "fields", ()) if field.encode_name == name), None)


def _fields(kind: Any) -> list[str]:
    return [field.encode_name for field in getattr(kind, "fields", ())]


def _unknown_key(keys: tuple[str, ...], known: list[str], path: Path) -> ConfigError:
    near = nearest(keys[-1], known)
    advice = f' Did you mean "{near}"?' if near else f" Known here: {', '.join(sorted(known))}." if known else ""
    return ConfigError(
        f'{_place(path, keys)}: there is no setting "{".".join(keys)}".{advice}', hint="See: hermes config schema"
    )


def _place(path: Path, keys: tuple[str, ...]) -> str:
    """``file:line`` of a key, or the file alone where the key is not in it."""
    import yaml

    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_loader())
    except (OSError, yaml.YAMLError):
        return str(path)
    line = None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        for name, value in node.value:
            if name.value == key:
                line, node = name.start_mark.line + 1, value
                break
        else:
            break
    return f"{path}:{line}" if line else str(path)


def project_file(workspace: str, settings_tree: Tree) -> Path | None:
    """The project's ``.hermes/config.yaml``, if the home's settings trust the project."""
    trusted = settings_tree.get("security", {})
    folders = trusted.get("trusted_projects", []) if isinstance(trusted, dict) else []
    if not workspace or not isinstance(folders, list):
        return None
    here = os.path.realpath(workspace)
    if here in {os.path.realpath(os.path.expanduser(str(folder))) for folder in folders}:
        return Path(here) / ".hermes" / "config.yaml"
    return None
