"""``hermes plugins``."""

from __future__ import annotations

import json
from typing import Any

import click
import msgspec

from hermes.config.load import read_yaml
from hermes.contracts.errors import ConfigError, nearest
from hermes.plugins.index import Index
from hermes.plugins.indexed import IndexedPlugin

from .output import complain
from .settings_file import home_of_context, index_of, write_settings


def plugins(index: Index) -> click.Group:
    group = click.Group("plugins", help="List, inspect, enable and disable plugins.")
    for command in (list_, info, enable, disable):
        group.add_command(command)
    return group


def _state(plugin: IndexedPlugin) -> str:
    return "disabled" if not plugin.enabled else "broken" if plugin.problem else "enabled"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all plugins there are."""
    found = sorted(index_of(ctx).plugins, key=lambda plugin: plugin.name)
    if as_json:
        click.echo(json.dumps([_described(plugin) for plugin in found], indent=2))
        return
    width = max((len(plugin.name) for plugin in found), default=0)
    for plugin in found:
        about = plugin.problem or plugin.manifest.description
        click.echo(f"{plugin.name:{width}}  {_state(plugin):8}  {plugin.source:9}  {about}")


def _described(plugin: IndexedPlugin) -> dict[str, Any]:
    manifest = plugin.manifest
    provides = {
        contract: sorted(names) if isinstance(names, dict) else names
        for contract, names in manifest.provides.items()
        if contract != "tools"
    }
    return {
        "name": plugin.name,
        "state": _state(plugin),
        "source": plugin.source,
        "path": plugin.path,
        "version": manifest.version,
        "api": manifest.api,
        "description": manifest.description,
        "provides": {**provides, "tools": sorted(plugin.tools)} if plugin.tools else provides,
        "hooks": manifest.hooks,
        "requires": msgspec.to_builtins(manifest.requires),
        "permissions": msgspec.to_builtins(manifest.permissions),
        "problem": plugin.problem,
        "hint": plugin.hint,
    }


@click.command
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def info(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what a plugin provides, needs, and what is wrong with it."""
    plugin = _find(ctx, name)
    described = _described(plugin)
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for key, value in described.items():
        if value not in ("", [], {}, None):
            click.echo(f"{key}: {value if isinstance(value, str | int) else json.dumps(value)}")


def _find(ctx: click.Context, name: str) -> IndexedPlugin:
    found = {plugin.name: plugin for plugin in index_of(ctx).plugins}
    if name in found:
        return found[name]
    near = nearest(name, found)
    raise ConfigError(
        f'There is no plugin "{name}".' + (f' Did you mean "{near}"?' if near else ""),
        hint=f"See: hermes plugins list - or install it: pip install hermes-plugin-{name}",
    )


@click.command
@click.argument("name")
@click.pass_context
def enable(ctx: click.Context, name: str) -> None:
    """Use a plugin again."""
    _switch(ctx, name, on=True)


@click.command
@click.argument("name")
@click.pass_context
def disable(ctx: click.Context, name: str) -> None:
    """Use a plugin no more, from the next start on."""
    _switch(ctx, name, on=False)


def _switch(ctx: click.Context, name: str, *, on: bool) -> None:
    plugin = _find(ctx, name)
    home = home_of_context(ctx)
    tree = read_yaml(home.config_file)
    section = dict(tree.get("plugins") or {})
    disabled = [other for other in section.get("disabled") or [] if other != name]
    section["disabled"] = disabled if on else [*disabled, name]
    only = section.get("enabled") or []
    if on and only and name not in only:
        section["enabled"] = [*only, name]
    write_settings(home, {**tree, "plugins": section})
    guard = "" if on or not plugin.manifest.is_guard else " It was a guard: without one, only reading is allowed."
    complain(f"{name} is {'enabled' if on else 'disabled'}.{guard}")
