"""The home, the index and ``config.yaml``, for the commands that read and change settings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from hermes.config.home import Home
from hermes.config.load import parse_settings, read_yaml, split_sections
from hermes.config.sections import plugin_sections
from hermes.contracts.errors import ConfigError
from hermes.plugins.claims import config_schemas
from hermes.plugins.index import Index, load_index

from .root import LazyGroup, home_of


def home_of_context(ctx: click.Context) -> Home:
    profile = ctx.find_root().params.get("profile") or ""
    return home_of(["--profile", profile] if profile else [])


def index_of(ctx: click.Context) -> Index:
    root = ctx.find_root().command
    assert isinstance(root, LazyGroup)
    return root.index


def write_settings(home: Home, tree: dict[str, Any]) -> None:
    """Replaces ``config.yaml``, unless what would be in it is wrong."""
    import yaml

    replace_settings(home, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def replace_settings(home: Home, text: str) -> None:
    """The same with the file's text.

    Raises:
        ConfigError: it would be wrong; nothing was changed.
    """
    scratch = home.config_file.with_suffix(".yaml.new")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    try:
        check_file(home, scratch)
    except ConfigError as error:
        scratch.unlink()
        problem = re.sub(rf"^{re.escape(str(scratch))}(:\d+)?: ", "", str(error))
        raise ConfigError(f"Nothing was changed: {problem}", hint=error.hint) from None
    if home.config_file.exists():
        os.chmod(scratch, home.config_file.stat().st_mode & 0o777)
    os.replace(scratch, home.config_file)


def check_file(home: Home, file: Path) -> None:
    """Raises ConfigError: what is wrong in the file, with its line."""
    plugins = load_index(home, ignore_config=True).plugins
    own, rest = split_sections(read_yaml(file))
    settings = parse_settings(own, file)
    plugin_sections(rest, settings.plugins.entries, config_schemas(plugins), file)
