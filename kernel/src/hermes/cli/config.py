"""``hermes config``."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hermes.config.home import host_environment
from hermes.config.load import merge, nested, read_value, read_yaml
from hermes.config.schema import Settings
from hermes.config.secrets import SECRET_NAME
from hermes.contracts.errors import ConfigError
from hermes.plugins.index import Index

from .output import complain
from .settings_file import check_file, home_of_context, index_of, write_settings

if TYPE_CHECKING:
    from hermes.app import App


def config(index: Index) -> click.Group:
    """The group, made for the plugins of this home."""
    group = click.Group("config", help="Read and change the settings.")
    for command in (get, set_, edit, check, path, schema):
        group.add_command(command)
    return group


@click.command
@click.argument("key", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def get(ctx: click.Context, key: str, as_json: bool) -> None:
    """Print a setting, or all of them, as they are in force."""
    from hermes.app import App

    app = App(home_of_context(ctx).path)
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
    home = home_of_context(ctx)
    if SECRET_NAME.search(key.rpartition(".")[2]) and not key.endswith((".key_env", "max_tokens")):
        raise ConfigError(f"{key} looks like a secret.", hint=f"Secrets belong into {home.env_file}, not config.yaml.")
    tree = merge(read_yaml(home.config_file), nested(key, read_value(value)))
    write_settings(home, tree)
    complain(f"{key} is set in {home.config_file}")


@click.command
@click.pass_context
def edit(ctx: click.Context) -> None:
    """Open config.yaml in $EDITOR, and check it afterwards."""
    home = home_of_context(ctx)
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
    home = home_of_context(ctx)
    check_file(home, home.config_file)
    click.echo(
        f"{home.config_file}: sound" if home.config_file.exists() else f"{home.config_file}: not there, defaults"
    )


@click.command
@click.pass_context
def path(ctx: click.Context) -> None:
    """Print where config.yaml is."""
    click.echo(str(home_of_context(ctx).config_file))


@click.command
@click.pass_context
def schema(ctx: click.Context) -> None:
    """Print JSON Schema of config.yaml, for editors."""
    click.echo(json.dumps(json_schema(index_of(ctx)), indent=2))


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
