"""``hermes config``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec

from hermes.app import App
from hermes.config.home import Home, host_environment
from hermes.config.load import merge, nested, parse_settings, read_yaml, split_sections
from hermes.config.schema import Settings
from hermes.config.secrets import SECRET_NAME
from hermes.config.sections import plugin_sections
from hermes.contracts.errors import ConfigError
from hermes.plugins.index import Index

from .output import complain
from .root import home_of


def config(index: Index) -> click.Group:
    """The group, made for the plugins of this home."""
    group = click.Group("config", help="Read and change the settings.")
    for command in (get, set_, edit, check, path, schema):
        group.add_command(command)
    return group


def _home(ctx: click.Context) -> Home:
    profile = (ctx.find_root().params.get("profile")) or ""
    return home_of(["--profile", profile] if profile else [])


@click.command
@click.argument("key", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def get(ctx: click.Context, key: str, as_json: bool) -> None:
    """Print a setting, or all of them, as they are in force."""
    app = App(_home(ctx).path)
    tree = effective(app)
    value: Any = tree
    for part in key.split(".") if key else []:
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f'There is no setting "{key}".', hint="See: hermes config schema")
        value = value[part]
    if as_json:
        click.echo(json.dumps(value, indent=2))
    elif isinstance(value, dict | list):
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False).rstrip())
    else:
        click.echo("" if value is None else str(value).lower() if isinstance(value, bool) else value)


def effective(app: App) -> dict[str, Any]:
    """All settings, those of plugins where ``config.yaml`` has them."""
    tree: dict[str, Any] = msgspec.to_builtins(app.settings)
    for plugin in app.index.plugins:
        section = plugin.manifest.config.section
        if plugin.manifest.config.properties:
            values = app.sections[plugin.name]
            tree = merge(tree, {section: values} if section else {"plugins": {"entries": {plugin.name: values}}})
    return tree


@click.command("set")
@click.argument("key")
@click.argument("value")
@click.pass_context
def set_(ctx: click.Context, key: str, value: str) -> None:
    """Write a setting to config.yaml. VALUE is YAML: true, 3, text, [a, b]. Comments in the file are not kept."""
    import yaml

    home = _home(ctx)
    if SECRET_NAME.search(key.rpartition(".")[2]) and not key.endswith((".key_env", "max_tokens")):
        raise ConfigError(f"{key} looks like a secret.", hint=f"Secrets belong into {home.env_file}, not config.yaml.")
    tree = merge(read_yaml(home.config_file), nested(key, yaml.safe_load(value)))
    _write(home, tree)
    complain(f"{key} is set in {home.config_file}")


def _write(home: Home, tree: dict[str, Any]) -> None:
    """Replaces ``config.yaml``, unless what would be in it is wrong."""
    import yaml

    scratch = home.config_file.with_suffix(".yaml.new")
    scratch.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
    try:
        check_file(home, scratch)
    except ConfigError:
        scratch.unlink()
        raise
    if home.config_file.exists():
        os.chmod(scratch, home.config_file.stat().st_mode & 0o777)
    os.replace(scratch, home.config_file)


def check_file(home: Home, file: Path) -> None:
    """Raises ConfigError: what is wrong in the file, with its line."""
    from hermes.plugins.index import load_index

    plugins = load_index(home, ignore_config=True).plugins
    own, rest = split_sections(read_yaml(file))
    settings = parse_settings(own, file)
    schemas = [(plugin.name, plugin.manifest.config) for plugin in plugins]
    plugin_sections(rest, settings.plugins.entries, schemas, file)


@click.command
@click.pass_context
def edit(ctx: click.Context) -> None:
    """Open config.yaml in $EDITOR, and check it afterwards."""
    home = _home(ctx)
    if not home.config_file.exists():
        home.config_file.write_text("# See: hermes config schema\n", encoding="utf-8")
    environ = host_environment()
    editor = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    done = subprocess.run([*shlex.split(editor), str(home.config_file)], check=False)
    if done.returncode:
        raise ConfigError(f"{editor} ended with {done.returncode}.", hint="Set EDITOR to an editor that is installed.")
    check_file(home, home.config_file)
    complain("The settings are sound.")


@click.command
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check config.yaml: exit code 2 and the line if something is wrong."""
    home = _home(ctx)
    check_file(home, home.config_file)
    click.echo(
        f"{home.config_file}: sound" if home.config_file.exists() else f"{home.config_file}: not there, defaults"
    )


@click.command
@click.pass_context
def path(ctx: click.Context) -> None:
    """Print where config.yaml is."""
    click.echo(str(_home(ctx).config_file))


@click.command
@click.pass_context
def schema(ctx: click.Context) -> None:
    """Print JSON Schema of config.yaml, for editors."""
    index: Index = ctx.find_root().meta["hermes.index"]
    click.echo(json.dumps(json_schema(index), indent=2))


def json_schema(index: Index) -> dict[str, Any]:
    """Of the kernel's settings, with the sections that plugins declare."""
    result: dict[str, Any] = msgspec.json.schema(Settings)
    definitions = result["$defs"]
    top = definitions["Settings"]["properties"]
    entries = definitions["PluginsSection"]["properties"]["entries"].setdefault("properties", {})
    for plugin in index.plugins:
        declared = plugin.manifest.config
        if declared.properties:
            section = {"description": plugin.manifest.description, **declared.json_schema()}
            (top if declared.section else entries)[declared.section or plugin.name] = section
    return result
