"""``hermes plugins``: what there is, what it may do, how it fares; on, off, trusted, loaded again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hermes.config.load import read_yaml
from hermes.contracts.errors import ConfigError, HermesError, nearest
from hermes.plugins.announcements import read_given_up
from hermes.plugins.claims import complaints
from hermes.plugins.index import Index
from hermes.plugins.indexed import IndexedPlugin

from .output import complain
from .settings_file import home_of_context, index_of, write_settings

if TYPE_CHECKING:
    from hermes.plugins.counters import Count

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


class PluginsGroup(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in AUTHORS and args[0] not in self.commands:
            raise click.UsageError(f"`hermes plugins {args[0]}` comes with: pip install hermes-testkit", ctx)
        return super().resolve_command(ctx, args)


AUTHORS = ("new", "check", "manifest")
"""What authors of plugins use, and nobody else needs."""


def plugins(index: Index) -> click.Group:
    group = PluginsGroup("plugins", help="Find, inspect, install, trust, write and check plugins.")
    for command in (list_, info, enable, disable, trust, reload):
        group.add_command(command)
    return group


def _state(plugin: IndexedPlugin) -> str:
    return "disabled" if not plugin.enabled else "broken" if plugin.problem else "enabled"


def _place(plugin: IndexedPlugin) -> str:
    if not plugin.module and not plugin.loader:
        return "data"
    return "isolated" if plugin.isolation == "isolated" else "in Hermes"


@click.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all plugins there are."""
    found = sorted(_plugins(ctx), key=lambda plugin: plugin.name)
    if as_json:
        click.echo(json.dumps([_described(plugin) for plugin in found], indent=2))
        return
    width = max((len(plugin.name) for plugin in found), default=0)
    for plugin in found:
        about = plugin.problem or plugin.manifest.description
        click.echo(f"{plugin.name:{width}}  {_state(plugin):8}  {plugin.source:9}  {_place(plugin):9}  {about}")
    for text in told_of_names(found):
        complain(text)


def told_of_names(plugins: Iterable[IndexedPlugin]) -> list[str]:
    """Of names that plugins claim and do not get."""
    from .options import kernel_options
    from .root import KERNEL_COMMANDS

    return complaints(plugins, KERNEL_COMMANDS, kernel_options())


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
        "permissions": msgspec.to_builtins(plugin.permissions),
        "runs": _place(plugin),
        "group": manifest.group,
        "packages": plugin.environment,
        "clash": plugin.clash,
        "problem": plugin.problem,
        "hint": plugin.hint,
    }


@click.command
@click.argument("name")
@json_option
@click.pass_context
def info(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what a plugin provides, needs and may do, how its hooks fared, and what is wrong with it."""
    from hermes.plugins.sandbox import enforcement, explain

    plugin = _find(ctx, name)
    described = _described(plugin)
    confined = plugin.isolation == "isolated" and bool(plugin.module)
    counts = _counts(ctx, name)
    if as_json:
        told: dict[str, Any] = {"may": explain(plugin.permissions), "enforced": confined and not enforcement()}
        click.echo(json.dumps({**described, **told, "counters": msgspec.to_builtins(counts)}, indent=2))
        return
    for key, value in described.items():
        if key != "permissions" and value not in ("", [], {}, None):
            click.echo(f"{key}: {value if isinstance(value, str | int) else json.dumps(value)}")
    if confined:
        may = explain(plugin.permissions)
        click.echo(f"may: {'; '.join(may) if may else 'nothing outside its own folder'}")
        click.echo(f"enforced: {enforcement() or 'by bubblewrap'}")
    elif plugin.module:
        click.echo("may: all that you may, since it runs in Hermes itself")
    if counts:
        click.echo("hooks so far:")
        rows = [("hook", "surface", "fired", "failed", "last", "mean", "last error"), *_rows(counts)]
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:6], widths, strict=True)]
            click.echo("  " + "  ".join([*cells, row[6]]).rstrip())


def _counts(ctx: click.Context, name: str) -> dict[str, dict[str, Count]]:
    """What the store knows of the plugin's hooks: hook → surface → count."""
    home = home_of_context(ctx)
    if not (home.path / "state.db").exists():
        return {}
    import asyncio

    from hermes.contracts.values import Done
    from hermes.plugins.counters import read_counters
    from hermes.sessions.sqlite import open_store

    async def read() -> dict[str, dict[str, Count]]:
        store = open_store(home.path)
        try:
            return (await read_counters(store)).get(name, {})
        finally:
            await store.close(Done())

    return asyncio.run(read())


def _rows(counts: dict[str, dict[str, Count]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for hook, surfaces in sorted(counts.items()):
        for surface, count in sorted(surfaces.items()):
            last = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(count.last))
            mean = f"{count.seconds / max(1, count.fired) * 1000:.2f} ms"
            rows.append((hook, surface or "-", str(count.fired), str(count.failed), last, mean, count.error))
    return rows


def _plugins(ctx: click.Context) -> list[IndexedPlugin]:
    """As the index has them; what a running program has given up has that for its problem."""
    given_up = read_given_up(home_of_context(ctx).run)
    return [
        msgspec.structs.replace(plugin, problem=given_up[plugin.name], hint=f"hermes plugins reload {plugin.name}")
        if plugin.name in given_up and not plugin.problem
        else plugin
        for plugin in index_of(ctx).plugins
    ]


def _find(ctx: click.Context, name: str) -> IndexedPlugin:
    found = {plugin.name: plugin for plugin in _plugins(ctx)}
    if name in found:
        return found[name]
    near = nearest(name, found)
    raise ConfigError(
        f'There is no plugin "{name}".' + (f' Did you mean "{near}"?' if near else ""),
        hint=f"See: hermes plugins list - or install it: hermes plugins install {name}",
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


@click.command
@click.argument("name", required=False, default="")
@click.option("--project", metavar="FOLDER", help="Trust a project's .hermes folder instead: settings and plugins.")
@click.option("--undo", is_flag=True, help="Trust it no more.")
@yes_option
@click.pass_context
def trust(ctx: click.Context, name: str, project: str | None, undo: bool, yes: bool) -> None:
    """Let a plugin run in Hermes itself, with all your rights; or trust a project."""
    if bool(name) == (project is not None):
        raise click.UsageError("Name a plugin, or give --project FOLDER.")
    home = home_of_context(ctx)
    tree = read_yaml(home.config_file)
    if project is not None:
        tree, question, done = _project_trusted(tree, os.path.realpath(os.path.expanduser(project)), undo)
    else:
        tree, question, done = _plugin_trusted(tree, _find(ctx, name), undo)
    if not undo and not yes:
        click.confirm(question, abort=True, err=True)
    write_settings(home, tree)
    complain(done)


def _plugin_trusted(tree: dict[str, Any], plugin: IndexedPlugin, undo: bool) -> tuple[dict[str, Any], str, str]:
    if plugin.environment and not undo:
        raise ConfigError(
            f"{plugin.name} needs packages that Hermes does not have, so it cannot run in Hermes itself.",
            hint=f"They are in {plugin.environment}.",
        )
    section = dict(tree.get("plugins") or {})
    entries = {key: dict(value or {}) for key, value in (section.get("entries") or {}).items()}
    entry = entries.setdefault(plugin.name, {})
    entry.pop("isolation", None)
    if not undo:
        entry["isolation"] = "host"
    entries = {key: value for key, value in entries.items() if value}
    question = f"{plugin.name} ({plugin.path}) will be able to do all that you can. Go on?"
    done = f"{plugin.name} is {'not trusted any more' if undo else 'trusted'}, from the next start on."
    return {**tree, "plugins": {**section, "entries": entries}}, question, done


def _project_trusted(tree: dict[str, Any], folder: str, undo: bool) -> tuple[dict[str, Any], str, str]:
    if not os.path.isdir(folder):
        raise ConfigError(f"{folder} is no folder.")
    section = dict(tree.get("security") or {})
    trusted = [other for other in section.get("trusted_projects") or [] if os.path.realpath(other) != folder]
    section["trusted_projects"] = trusted if undo else [*trusted, folder]
    question = f"The settings in {folder}/.hermes will be used when you work there, and its plugins, isolated. Go on?"
    return {**tree, "security": section}, question, f"{folder} is {'not trusted any more' if undo else 'trusted'}."


@click.command
@click.argument("names", nargs=-1)
@click.pass_context
def reload(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Load plugins again, also in programs that run. One that is broken is not: the old version goes on."""
    import asyncio

    from hermes.app import App
    from hermes.plugins.announcements import ask_for_reload

    home = home_of_context(ctx)
    chosen = names or tuple(
        plugin.name
        for plugin in index_of(ctx).plugins
        if plugin.enabled and (plugin.isolation == "isolated" or plugin.source in ("home", "project"))
    )

    async def check() -> dict[str, str]:
        """Plugin → what is wrong with it; blank if it loads."""
        found = {}
        async with App(home.path, in_memory=True) as app:
            for name in chosen:
                try:
                    plugin = await app.plugins.activate(name)
                    found[name] = "" if app.reloader.can_reload(plugin.indexed) else RESTART
                except HermesError as error:
                    found[name] = str(error)
        return found

    checked = asyncio.run(check())
    sound = [name for name, problem in checked.items() if not problem]
    known = {plugin.name for plugin in index_of(ctx).plugins}
    if told := [name for name in checked if name in sound or name not in known]:  # what is gone is dropped by all
        ask_for_reload(home.run, told)
    for name, problem in checked.items():
        complain(f"{name}: {problem or 'loads; programs that run take it up before their next turn'}")
    return int(len(sound) < len(checked))


RESTART = "it comes with Hermes, or with pip: restart Hermes to use its new version"
