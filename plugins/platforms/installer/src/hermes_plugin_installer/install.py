"""From a source to an installed plugin: prepared aside, shown, agreed to, and then put into place at once."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from hermes.cli.output import complain
from hermes.config.home import Home
from hermes.config.load import read_yaml
from hermes.contracts.errors import ConfigError, PluginError
from hermes.plugins.environments import build_environment, unmet
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.lock import LockedPlugin, PluginsLock, package_folder
from hermes.plugins.manifest import Manifest, Permissions

from .fetch import VERSION_TAG, Fetched, fetch
from .finding import Found, find_plugin, read_bounded, take_files
from .indexes import Entry, Listed, check_entry, choose, load_indexes, sortable
from .requirements import check_requirements, pinned_requirements
from .show import change, file_change, may, permission_change, summary
from .signatures import Signed, check_signature
from .sources import Source, locked_source, parse_source
from .staging import Listing, Staging, changed_by_hand, installed_listing, list_files, tree_hash


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section ``installer``."""

    index: list[str] = []
    require_signatures: bool = False
    trusted_keys: list[str] = []
    github: str = "https://github.com"


class Context(NamedTuple):
    """A home, what is in it, and how this plugin is set up there. ``known``: the plugins that there are."""

    home: Home
    known: Sequence[IndexedPlugin]
    settings: Settings
    lock: PluginsLock


class Wanted(NamedTuple):
    """``entry``: of the index that named the source. ``previous``: what is installed of it."""

    source: Source
    entry: Entry | None = None
    previous: LockedPlugin | None = None


class Candidate(NamedTuple):
    """What could be installed. ``tree``: its files, in the staging folder."""

    locked: LockedPlugin
    manifest: Manifest
    tree: Path
    listing: Listing
    note: str = ""
    """Who signed it, in words."""


_NAME = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(?:==(?P<version>[\w.!+-]+))?")


_PINNED = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+]+")


def resolve(text: str, context: Context, version: str = "") -> Wanted:
    """Where a source is: by an index, if one has the name. ``version``: that one and no other.

    Raises:
        PluginError: an index that could have it cannot be read.
    """
    match = _NAME.fullmatch(text)
    if match and context.settings.index and not Path(text).exists():
        listed, problems = load_indexes(context.settings.index, context.home.cache)
        found = choose(listed, match["name"], version or match["version"] or "")
        if found is not None:
            return Wanted(_entry_source(found, text, context.settings.github), found.entry)
        if problems:  # who took another's name elsewhere must not win because an index is down
            raise problems[0]
        if version and any(found.entry.name == match["name"] for found in listed):
            raise PluginError(f"No index has {text} {version}.", hint=f"See: hermes plugins search {text}")
    source = parse_source(text, context.settings.github)
    if version and source.kind == "package":
        source = source._replace(place=f"{source.origin}=={version}")
    elif version and source.kind == "git":
        source = source._replace(ref=f"{VERSION_TAG}{version.removeprefix('v')}")
    elif version:
        raise ConfigError(f"{text} has no versions to choose from.", hint="Install the archive of that version.")
    return Wanted(source)


def _entry_source(found: Listed, text: str, github: str) -> Source:
    """An index on another machine can name no path of this one."""
    source = parse_source(found.entry.source, github, local=not found.place.startswith(("http://", "https://")))
    ref = source.ref or (found.entry.commit if source.kind == "git" else "")
    return source._replace(text=text, ref=ref)


def prepare(wanted: Wanted, context: Context, staging: Staging, *, build: bool = False) -> Candidate:
    """Fetches a plugin and checks all that can be checked before anything is changed.

    Raises:
        PluginError: it is refused; the sentence says why.
    """
    source = wanted.source
    fetched = fetch(source, staging.new, build=build)
    found = find_plugin(fetched.root, source.text, "" if build else source.subdirectory)
    version = found.version or (wanted.entry.version if wanted.entry else "")
    _check_name(found, context)
    check_requirements(found)
    previous = context.lock.plugins.get(found.manifest.name)
    if wanted.entry is not None:
        check_entry(wanted.entry, found.manifest, version, fetched.commit, fetched.sha256)
    signed = _check_signed(wanted, fetched, previous, context.settings)
    tree = staging.new()
    take_files(found, tree)
    listing = list_files(tree)
    locked = LockedPlugin(
        name=found.manifest.name,
        source=source.text,
        kind=source.kind,
        version=version,
        url=f"{found.project.name}=={version}" if source.kind == "package" else fetched.url,
        commit=fetched.commit,
        sha256=fetched.sha256,
        tree=tree_hash(listing),
        module=found.module,
        permissions=found.manifest.permissions,
        requirements=pinned_requirements(found, staging.new()),
        signed_by=signed.by,
        installed=time.time(),
    )
    return Candidate(locked, found.manifest, tree, listing, signed.note)


def _check_name(found: Found, context: Context) -> None:
    """Raises PluginError: the name is another plugin's, or is not the package's own."""
    name, project = found.manifest.name, re.sub(r"[-_.]+", "-", found.project.name).lower()
    if project.startswith("hermes-plugin-") and project != f"hermes-plugin-{name.replace('_', '-')}":
        raise PluginError(
            f'It comes as {found.project.name}, and its manifest says it is "{name}".',
            plugin=name,
            hint="Nothing was changed. Do not install it; tell its author.",
        )
    for other in context.known:
        if other.name == name and other.source == "installed":
            where = "comes with Hermes" if other.first_party else f"is installed beside Hermes, at {other.path}"
            raise PluginError(
                f'"{name}" {where}: a plugin of the same name from {found.place.name} cannot be installed.',
                plugin=name,
                hint="A plugin for the same purpose needs a name of its own."
                if other.first_party
                else f"Keep one of them: pip uninstall {other.module.replace('_', '-')}",
            )
        if other.name == name and other.source in ("home", "project"):
            raise PluginError(
                f'There is a plugin "{name}" already, at {other.path}.',
                plugin=name,
                hint="Remove one of the two; neither would be used.",
            )


def _check_signed(wanted: Wanted, fetched: Fetched, previous: LockedPlugin | None, settings: Settings) -> Signed:
    beside = dict(fetched.beside)
    if wanted.entry is not None and wanted.entry.signature:
        beside[".minisig"] = wanted.entry.signature.encode()
        beside |= {".pub": wanted.entry.key.encode()} if wanted.entry.key else {}
    signed = check_signature(fetched.archive, beside, settings.trusted_keys, previous.signed_by if previous else "")
    check_trust(signed.by, signed.note, settings)
    return signed


def check_trust(by: str, note: str, settings: Settings) -> None:
    """Raises PluginError: the settings want a signature of a trusted key, and this is none."""
    if settings.require_signatures and by not in settings.trusted_keys:
        raise PluginError(
            f"It is {note}, and installer.require_signatures allows only what a trusted key has signed.",
            hint=f"If you trust it, add to installer.trusted_keys: {by}"
            if by
            else "Ask its author for a signed archive.",
        )


def check_origin(candidate: Candidate, source: Source, previous: LockedPlugin) -> None:
    """Raises PluginError: what is installed under that name is from elsewhere."""
    known = locked_source(previous.kind, previous.source, previous.url, previous.commit)
    if (known.kind, known.origin) != (source.kind, source.origin):
        raise PluginError(
            f'"{previous.name}" is installed from {previous.source} ({previous.url}); this is from {source.text}.',
            plugin=previous.name,
            hint=f"If it is to take its place, add --replace. To keep the first: hermes plugins update {previous.name}",
        )


def check_version(candidate: Candidate, previous: LockedPlugin) -> None:
    """Raises PluginError: it is older than what is installed."""
    old, new = previous.version, candidate.locked.version
    if old and new and sortable(new) < sortable(old):
        raise PluginError(
            f'"{previous.name}" {old} is installed, and this is the older {new}.',
            plugin=previous.name,
            hint=f"If you want the older one: hermes plugins update {previous.name} --to {new}",
        )


def is_current(candidate: Candidate, previous: LockedPlugin, home: Home) -> bool:
    """Nothing has to be changed, but perhaps what was noted of where it came from."""
    same = ("kind", "url", "tree", "version", "permissions", "requirements", "module", "signed_by")
    fresh = all(getattr(candidate.locked, name) == getattr(previous, name) for name in same)
    return fresh and not changed_by_hand(home.packages, previous)


def describe(candidate: Candidate, previous: LockedPlugin | None, home: Home) -> Iterable[str]:
    locked = candidate.locked
    if previous is None:
        yield from summary(locked, candidate.manifest, candidate.note)
        return
    yield f"{locked.name} is installed; this would change:"
    yield from change(previous, locked, installed_manifest(home, previous), candidate.manifest)
    yield f"  signature:  {candidate.note}"
    yield from permission_change(previous.permissions, locked.permissions)
    yield from file_change(installed_listing(home.packages, previous), candidate.listing)
    yield from may(candidate.manifest, "It may then, in all:")


def installed_manifest(home: Home, locked: LockedPlugin) -> Manifest | None:
    root = package_folder(home.packages, locked)
    files = (root / locked.module / "plugin.yaml", root / f"{locked.module}.py", root / f"{locked.module}.yaml")
    file = next((file for file in files if file.is_file()), None)
    try:
        return read_bounded(file) if file else None
    except PluginError:
        return None


def widens(candidate: Candidate, previous: LockedPlugin | None) -> bool:
    return previous is not None and candidate.locked.permissions.beyond(previous.permissions) != Permissions()


def agree(question: str, *, yes: bool) -> None:
    """Ends the command unless the answer is yes.

    Raises:
        click.UsageError: nobody is there to be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to agree to this. Nothing was changed. Add --yes to do it unasked.")
    if not click.confirm(question, err=True):
        complain("Nothing was changed.")
        raise click.exceptions.Exit(1)


def commit(candidates: Iterable[Candidate], keep: Mapping[str, LockedPlugin], home: Home, staging: Staging) -> None:
    """Builds what is still needed, then makes the candidates the home's, beside those to ``keep``."""
    chosen = {candidate.locked.name: candidate for candidate in candidates}
    for candidate in chosen.values():
        if missing := unmet(candidate.locked.requirements):
            build_environment(home.cache, missing, complain)
    plugins = {**keep, **{name: candidate.locked for name, candidate in chosen.items()}}
    staging.commit(PluginsLock(plugins=plugins), {name: candidate.tree for name, candidate in chosen.items()})


def next_steps(candidate: Candidate, environ: Mapping[str, str], home: Home) -> Iterable[str]:
    """What is left for the person to do."""
    manifest = candidate.manifest
    yield f"{candidate.locked.name} {candidate.locked.version} is installed."
    written = home.env_file.read_text(encoding="utf-8", errors="replace") if home.env_file.exists() else ""
    missing = [
        name for name in manifest.requires.env
        if not environ.get(name) and not re.search(rf"(?m)^\s*(?:export\s+)?{re.escape(name)}=", written)
    ]  # fmt: skip
    if missing:
        yield f"  It needs these in {home.env_file}: {', '.join(missing)}"
    if manifest.requires.config:
        yield f"  It needs these settings: {', '.join(manifest.requires.config)} (hermes config set KEY VALUE)"
    section = read_yaml(home.config_file).get("plugins") or {}
    name, only, never = candidate.locked.name, section.get("enabled") or (), section.get("disabled") or ()
    if name in never or (only and name not in only):
        yield f"  The settings do not enable it. To use it: hermes plugins enable {name}"
    yield f"  It is there from the next session on. See: hermes plugins info {candidate.locked.name}"


def prepare_locked(locked: LockedPlugin, context: Context, staging: Staging) -> Candidate:
    """Fetches exactly what a lock names.

    Raises:
        PluginError: what is there now is something else.
    """
    source = locked_source(locked.kind, locked.source, locked.url, locked.commit)
    for line in locked.requirements:
        if not _PINNED.fullmatch(line):
            raise PluginError(f"{line!r} in the lock is no pinned package.", hint="Nothing was changed.")
    fetched = fetch(source, staging.new, sha256=locked.sha256)
    found = find_plugin(fetched.root, locked.source, source.subdirectory)
    _check_name(found, context)
    check_requirements(found)
    check_trust(locked.signed_by, "signed by another key" if locked.signed_by else "not signed", context.settings)
    tree = staging.new()
    take_files(found, tree)
    listing = list_files(tree)
    facts: dict[str, tuple[Any, Any]] = {
        "name": (locked.name, found.manifest.name),
        "commit": (locked.commit, fetched.commit),
        "SHA-256": (locked.sha256, fetched.sha256),
        "tree": (locked.tree, tree_hash(listing)),
        "module": (locked.module, found.module),
        "permissions": (Permissions(), found.manifest.permissions.beyond(locked.permissions)),
    }
    for what, (said, is_) in facts.items():
        if said != is_:
            shown = (msgspec.json.encode(value).decode() for value in (said, is_))
            raise PluginError(
                f'"{locked.name}" is not what the lock says: {what} {" and not ".join(shown)}.',
                plugin=locked.name,
                hint="Nothing was changed. Fetch it anew with plugins install, if you trust what is there now.",
            )
    return Candidate(locked, found.manifest, tree, listing, f"signed by {locked.signed_by}" if locked.signed_by else "")
