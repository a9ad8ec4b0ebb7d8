"""``hermes plugins install``, ``update``, ``remove``, ``lock``, ``search`` and ``publish``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from hermes.cli.output import complain
from hermes.cli.settings_file import home_of_context, index_of
from hermes.config.home import host_environment
from hermes.config.load import read_yaml
from hermes.config.sections import plugin_sections
from hermes.contracts.errors import ConfigError, HermesError, PluginError, nearest
from hermes.plugins.lock import LockedPlugin, PluginsLock, read_lock

from .install import (
    Candidate,
    Context,
    Settings,
    Wanted,
    agree,
    check_origin,
    check_version,
    commit,
    describe,
    installed_manifest,
    is_current,
    next_steps,
    prepare,
    prepare_locked,
    resolve,
    widens,
)
from .staging import changed_by_hand, staging

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
accept_option = click.option(
    "--accept-permissions", is_flag=True, help="With --yes: agree to more permissions than before, too."
)


def _context(ctx: click.Context) -> Context:
    """The settings are the home's own: no project says whom to trust.

    Raises:
        ConfigError: those of this plugin are wrong.
    """
    home, index = home_of_context(ctx), index_of(ctx)
    tree = read_yaml(home.config_file)
    schemas = [(plugin.name, plugin.manifest.config) for plugin in index.plugins if plugin.name == "installer"]
    own = {key: value for key, value in tree.items() if key == "installer"}
    entries = (tree.get("plugins") or {}).get("entries") or {}
    section = plugin_sections(own, entries, schemas, home.config_file).get("installer", {})
    return Context(home, index.plugins, msgspec.convert(section, Settings), read_lock(home.plugins_lock))


@click.command
@click.argument("source", required=False, default="")
@click.option(
    "--locked", is_flag=False, flag_value=" ", default="", metavar="[FILE]", help="Exactly what a lock names."
)
@click.option("--build", is_flag=True, help="Run the package's own build, instead of taking its files.")
@click.option("--replace", is_flag=True, help="Take the place of a plugin of the same name from elsewhere.")
@yes_option
@accept_option
@click.pass_context
def install(
    ctx: click.Context, source: str, locked: str, build: bool, replace: bool, yes: bool, accept_permissions: bool
) -> None:
    """Install a plugin into the home: a package's name, owner/repo[/folder][@version], a git address, an archive
    (.whl .tar.gz .tgz .zip), a file or a folder.

    None of its code is run, unless --build is given. A plugin that you are writing is better linked into plugins/.
    """
    context = _context(ctx)
    if bool(source) == bool(locked):
        raise click.UsageError("Name one source, or --locked with a lock file.")
    if locked:
        _restore(context, Path(locked) if locked.strip() else context.home.plugins_lock, yes=yes)
        return
    wanted = resolve(source, context)
    exact = wanted.source.kind in ("archive", "folder") or wanted.source.ref or "==" in source
    asked = bool(exact) and wanted.entry is None
    with staging(context.home) as stage:
        context = context._replace(lock=read_lock(context.home.plugins_lock))
        candidate = prepare(wanted, context, stage, build=build)
        previous = context.lock.plugins.get(candidate.locked.name)
        if previous is not None and not replace:
            check_origin(candidate, wanted.source, previous)
        if previous is not None and not asked:
            check_version(candidate, previous)
        if previous is not None and is_current(candidate, previous, context.home):
            complain(f"{previous.name} {previous.version} is installed already, and is what {source} has.")
            return
        _agree(candidate, previous, context, yes=yes, accept=accept_permissions)
        commit([candidate], context.lock.plugins, context.home, stage)
    _tell(next_steps(candidate, host_environment(), context.home))


def _agree(candidate: Candidate, previous: LockedPlugin | None, context: Context, *, yes: bool, accept: bool) -> None:
    """Shows it and asks. ``--yes`` alone agrees to no more permissions than were agreed to before."""
    _tell(describe(candidate, previous, context.home))
    if yes and not accept and widens(candidate, previous):
        raise PluginError(
            f'"{candidate.locked.name}" wants to do more than you agreed to.',
            plugin=candidate.locked.name,
            hint="Nothing was changed. If you agree: --accept-permissions, or answer without --yes.",
        )
    agree("Install it?" if previous is None else "Change it?", yes=yes)


def _tell(lines: Any) -> None:
    for line in lines:
        complain(line)


def _restore(context: Context, file: Path, *, yes: bool) -> None:
    if not file.is_file():
        raise ConfigError(f"There is no lock file {file}.", hint="Name one: hermes plugins install --locked FILE")
    lock = read_lock(file)
    with staging(context.home) as stage:
        there = read_lock(context.home.plugins_lock).plugins
        kept = {
            name: plugin
            for name, plugin in lock.plugins.items()
            if plugin == there.get(name) and not changed_by_hand(context.home.packages, plugin)
        }
        missing = [plugin for name, plugin in lock.plugins.items() if name not in kept]
        gone = [name for name in there if name not in lock.plugins]
        candidates = [prepare_locked(plugin, context, stage) for plugin in missing]
        for candidate in candidates:
            _tell(describe(candidate, None, context.home))
        _tell(f"{name} would be removed." for name in gone)
        if candidates or gone or kept != there:
            agree(f"Make the home hold these {len(lock.plugins)} plugin(s), and no others?", yes=yes)
            commit(candidates, kept, context.home, stage)
    complain(f"{len(lock.plugins)} plugin(s) are as {file} has them: {len(candidates)} fetched, {len(gone)} removed.")


@click.command
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are installed into the home.")
@click.option("--check", is_flag=True, help="Only say what would change.")
@click.option("--to", "version", default="", metavar="VERSION", help="That version, also if it is older.")
@yes_option
@accept_option
@json_option
@click.pass_context
def update(
    ctx: click.Context,
    names: tuple[str, ...],
    everything: bool,
    check: bool,
    version: str,
    yes: bool,
    accept_permissions: bool,
    as_json: bool,
) -> int:
    """Fetch newer versions of plugins, show what would change, and ask."""
    context = _context(ctx)
    if bool(names) == everything:
        raise click.UsageError("Name the plugins to update, or give --all.")
    if as_json and not check:
        raise click.UsageError("--json is for --check.")
    told, failed = [], False
    for name in sorted(context.lock.plugins) if everything else names:
        try:
            told.append(_update(name, context, version, check=check, yes=yes, accept=accept_permissions, quiet=as_json))
        except HermesError as error:
            if len(names) == 1:
                raise
            failed = True
            complain(f"{name}: {error}\n  {error.hint}")
    if as_json:
        click.echo(json.dumps(told, indent=2))
    return int(failed)


def _update(
    name: str, context: Context, version: str, *, check: bool, yes: bool, accept: bool, quiet: bool
) -> dict[str, Any]:
    previous = _installed(name, context)
    with staging(context.home) as stage:
        context = context._replace(lock=read_lock(context.home.plugins_lock))
        wanted = _newer(previous, context, version)
        candidate = prepare(wanted, context, stage)
        if candidate.locked.name != name:
            raise PluginError(f'"{name}" is now called "{candidate.locked.name}".', hint="Remove it and install that.")
        check_origin(candidate, wanted.source, previous)
        if not version:
            check_version(candidate, previous)
        current = is_current(candidate, previous, context.home)
        if current:
            complain(f"{name} {previous.version} is up to date.")
        elif check and not quiet:
            _tell(describe(candidate, previous, context.home))
        elif not check:
            _agree(candidate, previous, context, yes=yes, accept=accept)
            commit([candidate], context.lock.plugins, context.home, stage)
            complain(f"{name} {candidate.locked.version} is installed, from the next session on.")
    return {
        "name": name,
        "current": current,
        "from": {"version": previous.version, "commit": previous.commit, "tree": previous.tree},
        "to": {"version": candidate.locked.version, "commit": candidate.locked.commit, "tree": candidate.locked.tree},
        "more_permissions": msgspec.to_builtins(candidate.locked.permissions.beyond(previous.permissions)),
    }


def _newer(previous: LockedPlugin, context: Context, version: str) -> Wanted:
    """Where an update comes from: the source as it was named; a path, wherever this command is run."""
    text = previous.url if previous.kind in ("archive", "folder") and "/" in previous.source else previous.source
    return resolve(text, context, version)


def _installed(name: str, context: Context) -> LockedPlugin:
    """Raises ConfigError: it is not installed into the home; with where else it is."""
    locked = context.lock.plugins.get(name)
    if locked is not None:
        return locked
    for plugin in context.known:
        if plugin.name == name:
            distribution = plugin.module.replace("_", "-")
            hint = {
                "installed": f"pip install --upgrade {distribution}, or pip uninstall {distribution}",
                "home": f"It is a file of yours: change or remove {plugin.path}",
                "project": f"It is the project's: {plugin.path}",
            }.get(plugin.source, "")
            raise ConfigError(f'"{name}" was not installed with hermes plugins install.', hint=hint)
    near = nearest(name, context.lock.plugins)
    raise ConfigError(
        f'There is no plugin "{name}".' + (f' Did you mean "{near}"?' if near else ""), hint="See: hermes plugins lock"
    )


@click.command
@click.argument("name")
@click.option("--data", is_flag=True, help="Delete what it has stored, too.")
@yes_option
@click.pass_context
def remove(ctx: click.Context, name: str, data: bool, yes: bool) -> None:
    """Remove a plugin that was installed into the home. What it has stored is kept, unless --data is given."""
    context = _context(ctx)
    locked = _installed(name, context)
    manifest = installed_manifest(context.home, locked)
    stored = context.home.plugin_data / name
    if data and stored.exists():
        agree(f"Delete what {name} has stored in {stored}, for good?", yes=yes)
    with staging(context.home) as stage:
        plugins = read_lock(context.home.plugins_lock).plugins
        stage.commit(PluginsLock(plugins={other: kept for other, kept in plugins.items() if other != name}), {})
        if data:
            shutil.rmtree(stored, ignore_errors=True)
    complain(f"{name} is removed.")
    if stored.exists():
        complain(f"  What it has stored is kept: {stored}")
    if manifest is not None and manifest.is_guard:
        complain("  It was a guard: what it judged is now left to the others. See: hermes doctor")
    if manifest is not None and manifest.config.section in read_yaml(context.home.config_file):
        complain(f"  Remove its section from the settings, too: {manifest.config.section} (hermes config edit)")


@click.command
@click.option("--check", is_flag=True, help="Compare what is there with the lock; exit code 1 if it differs.")
@json_option
@click.pass_context
def lock(ctx: click.Context, check: bool, as_json: bool) -> int:
    """Show what is installed into the home, exactly."""
    context = _context(ctx)
    plugins = context.lock.plugins
    changed = {name: changed_by_hand(context.home.packages, plugin) for name, plugin in plugins.items() if check}
    if as_json:
        shown: Any = {name: {"changed": told} for name, told in changed.items()} if check else plugins
        click.echo(json.dumps(msgspec.to_builtins(shown), indent=2))
    else:
        for line in _check_lines(changed) if check else _lock_lines(plugins):
            click.echo(line)
    if not plugins:
        complain("No plugin is installed into this home.")
    return int(any(changed.values()))


def _lock_lines(plugins: dict[str, LockedPlugin]) -> Iterator[str]:
    width = max((len(name) for name in plugins), default=0)
    for name, locked in sorted(plugins.items()):
        exact = locked.commit or locked.sha256 or locked.tree
        yield f"{name:{width}}  {locked.version:10}  {locked.kind:8}  {exact[:16]}  {locked.source}"


def _check_lines(changed: dict[str, list[str]]) -> Iterator[str]:
    for name, told in sorted(changed.items()):
        yield f"{name}: {'changed by hand' if told else 'as installed'}"
        yield from (f"  {line}" for line in told)
        if told:
            complain("Restore it with: hermes plugins install --locked")


@click.command
@click.argument("words", nargs=-1)
@json_option
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> int:
    """Search the plugin indexes (the setting installer.index) for names, descriptions and what plugins provide."""
    from .indexes import load_indexes, matching
    from .text import plain

    context = _context(ctx)
    if not context.settings.index:
        raise ConfigError(
            "There is no plugin index to search.", hint="Name one: hermes config set installer.index '[https://…]'"
        )
    listed, problems = load_indexes(context.settings.index, context.home.cache)
    found = matching(listed, words)
    if as_json:
        click.echo(json.dumps([{**msgspec.to_builtins(one.entry), "index": one.place} for one in found], indent=2))
    else:
        for one in found:
            mark = "  (installed)" if one.entry.name in context.lock.plugins else ""
            about = plain(one.entry.description, 80)
            click.echo(f"{plain(one.entry.name, 64):20}  {plain(one.entry.version, 20):10}  {about}{mark}")
    for problem in problems:
        complain(f"hermes: {plain(problem, 2000)}\n  {problem.hint}")
    if not found:
        complain("Nothing found.")
    return int(len(problems) == len(context.settings.index))


@click.command
@click.argument("path", type=click.Path(exists=True, file_okay=True, path_type=Path))
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Put archive and entry there.")
@click.option("--print", "only_print", is_flag=True, help="Print the entry; write nothing.")
@click.option(
    "--sign", "key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="minisign's secret key."
)
@click.pass_context
def publish(ctx: click.Context, path: Path, folder: Path | None, only_print: bool, key: Path | None) -> None:
    """Check a plugin, make its archive the same way each time, and its entry in a folder's index.json."""
    from .publish import publish_plugin

    if (folder is None) != only_print:
        raise click.UsageError("Say where to: --to FOLDER, or --print.")
    entry = publish_plugin(path, folder, key)
    click.echo(msgspec.json.format(msgspec.json.encode(entry), indent=2).decode())
    if folder is not None:
        complain(f"{entry.name} {entry.version} is in {folder / 'index.json'}.")
        complain(f"  Whoever has that, or its address, in installer.index can: hermes plugins install {entry.name}")
