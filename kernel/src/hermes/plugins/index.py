"""The index: what all plugins declare, and the raw settings, in one file that is read in a millisecond.

It is built by reading manifests, never by importing plugins into this process, and it is stale as soon as
the size, mtime or inode of anything it was built from changes.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec

from hermes.config.home import Home
from hermes.config.load import merge, project_file, read_yaml

from .indexed import IndexedPlugin
from .manifest import Manifest

FORMAT = 2
Stamp = tuple[str, int, int, int]


class Index(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    stamps: list[Stamp]
    settings: dict[str, Any]
    """``config.yaml``, and a trusted project's over it, as they stand."""
    plugins: list[IndexedPlugin]


def load_index(home: Home, workspace: str = "", *, ignore_config: bool = False, read: Index | None = None) -> Index:
    """The index of a home, from its cache if that is still true, else built and kept. ``read``: one that this process
    has just read; it is taken if it is the one that is asked for.

    Raises:
        ConfigError: the settings cannot be read.
    """
    key = _key(home, workspace, ignore_config=ignore_config)
    if read is not None and read.key == key:
        return read
    file = home.cache / f"index-{_digest(key)}.json"
    try:
        index = msgspec.json.decode(file.read_bytes(), type=Index)
    except (OSError, msgspec.DecodeError):
        index = None
    if index is not None and index.key == key and all(_stamp(stamp[0]) == tuple(stamp) for stamp in index.stamps):
        return index
    index = build_index(home, key, workspace, ignore_config=ignore_config, last=index)
    _replace(file, msgspec.json.encode(index))
    return index


def _key(home: Home, workspace: str, *, ignore_config: bool) -> str:
    return "\0".join(
        [
            str(FORMAT),
            sys.executable,
            sys.version,
            *sys.path,
            str(home.path),
            workspace,
            "bare" if ignore_config else "",
        ]
    )


def _digest(key: str) -> str:
    import zlib

    return f"{zlib.crc32(key.encode()):08x}"


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (path, 0, 0, 0)
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return (path, found.st_mtime_ns, size, found.st_ino)


def _replace(file: Path, data: bytes) -> None:
    """Atomically. A cache that cannot be written is only a slower start."""
    scratch = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.write_bytes(data)
        os.replace(scratch, file)
    except OSError:
        scratch.unlink(missing_ok=True) if scratch.exists() else None


def build_index(
    home: Home, key: str, workspace: str = "", *, ignore_config: bool = False, last: Index | None = None
) -> Index:
    """``last``: the index before; what was a guard there is one as long as it is broken."""
    from .discovery import Finder, tell_on_stderr

    files = [str(home.config_file), str(home.plugins), str(home.plugins_lock)]
    tree: dict[str, Any] = {} if ignore_config else read_yaml(home.config_file)
    project = project_file(workspace, tree)
    if project is not None:
        files.append(str(project))
        tree = merge(tree, {key: value for key, value in read_yaml(project).items() if key != "security"})
    files += [entry for entry in sys.path if os.path.isdir(entry)]
    section = tree.get("plugins")
    entries = section.get("entries") if isinstance(section, dict) else None
    known = {plugin.name: plugin.manifest for plugin in last.plugins} if last else {}
    finder = Finder(home, entries if isinstance(entries, dict) else {}, known, tell_on_stderr)
    found: dict[str, IndexedPlugin] = {}
    for plugin, sources in finder.all(project):
        files += [*sources, *([plugin.environment] if plugin.environment else ())]
        rival = found.get(plugin.name)
        found[plugin.name] = plugin if rival is None else _clash(rival, plugin)
    plugins = [switched(plugin, tree.get("plugins")) for plugin in found.values()]
    return Index(key=key, stamps=[_stamp(file) for file in dict.fromkeys(files)], settings=tree, plugins=plugins)


def _clash(one: IndexedPlugin, two: IndexedPlugin) -> IndexedPlugin:
    """Neither is used. What comes with Hermes gives way to nobody who takes its name."""
    if one.first_party != two.first_party:
        ours, theirs = (one, two) if one.first_party else (two, one)
        return msgspec.structs.replace(ours, clash=f'"{theirs.path}" has the name of this plugin, and is not used.')
    hooks = sorted({*one.manifest.hooks, *two.manifest.hooks})
    return msgspec.structs.replace(
        one,
        manifest=Manifest(name=one.name, hooks=hooks),
        tools={},
        problem=f'two plugins are called "{one.name}": {one.path} and {two.path}.',
        hint="Remove one of them; neither is used until then.",
    )


def switched(plugin: IndexedPlugin, section: Any) -> IndexedPlugin:
    """Enabled or not, as the setting ``plugins`` has it."""
    section = section if isinstance(section, dict) else {}
    only, never = section.get("enabled") or [], section.get("disabled") or []
    enabled = (not only or plugin.name in only) and plugin.name not in never
    return plugin if plugin.enabled == enabled else msgspec.structs.replace(plugin, enabled=enabled)
