"""The index: what all plugins declare, and the raw settings, in one file that is read in a millisecond.

It is built by reading manifests, never by importing plugins into this process, and it is stale as soon as
the size, mtime or inode of anything it was built from changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from hermes.config.home import Home, child_environment
from hermes.config.load import merge, project_file, read_yaml
from hermes.contracts.errors import HermesError, PluginError
from hermes.contracts.tool import ToolEntry

from .manifest import GUARD_HOOKS, Manifest, header_of, parse_manifest, read_manifest

FORMAT = 1
CAPTURE_SECONDS = 20.0
GROUP = "hermes.plugins"

Source = Literal["installed", "package", "home", "project", "given"]
"""``installed``: beside Hermes, with pip; ``package``: by ``hermes plugins install``, into the home."""
Stamp = tuple[str, int, int, int]


class IndexedPlugin(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A plugin as found. With a ``problem`` it is not activated, and its hooks are those it may have had."""

    name: str
    source: Source
    manifest: Manifest
    module: str = ""
    path: str = ""
    """Of its manifest or its only file."""
    distribution: str = ""
    first_party: bool = False
    """It comes with Hermes."""
    tools: dict[str, ToolEntry] = {}
    enabled: bool = True
    problem: str = ""
    hint: str = ""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    stamps: list[Stamp]
    settings: dict[str, Any]
    """``config.yaml``, and a trusted project's over it, as they stand."""
    plugins: list[IndexedPlugin]


def load_index(home: Home, workspace: str = "", *, ignore_config: bool = False) -> Index:
    """The index of a home, from its cache if that is still true, else built and kept.

    Raises:
        ConfigError: the settings cannot be read.
    """
    key = "\0".join(
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
    file = home.cache / f"index-{_digest(key)}.json"
    try:
        index = msgspec.json.decode(file.read_bytes(), type=Index)
    except (OSError, msgspec.DecodeError):
        index = None
    if index is not None and index.key == key and all(_stamp(stamp[0]) == tuple(stamp) for stamp in index.stamps):
        return index
    index = build_index(home, key, workspace, ignore_config=ignore_config)
    _replace(file, msgspec.json.encode(index))
    return index


def _digest(key: str) -> str:
    import zlib

    return f"{zlib.crc32(key.encode()):08x}"


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (path, 0, 0, 0)
    size = 0 if os.path.isdir(path) else found.st_size
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


def build_index(home: Home, key: str, workspace: str = "", *, ignore_config: bool = False) -> Index:
    files = [str(home.config_file), str(home.plugins)]
    tree: dict[str, Any] = {} if ignore_config else read_yaml(home.config_file)
    project = project_file(workspace, tree)
    if project is not None:
        files.append(str(project))
        tree = merge(tree, {key: value for key, value in read_yaml(project).items() if key != "security"})
    files += [entry for entry in sys.path if os.path.isdir(entry)]
    found: dict[str, IndexedPlugin] = {}
    for plugin, sources in _discover(home, project):
        files += sources
        rival = found.get(plugin.name)
        found[plugin.name] = plugin if rival is None else _clash(rival, plugin)
    plugins = [switched(plugin, tree.get("plugins")) for plugin in found.values()]
    return Index(key=key, stamps=[_stamp(file) for file in dict.fromkeys(files)], settings=tree, plugins=plugins)


def _clash(one: IndexedPlugin, two: IndexedPlugin) -> IndexedPlugin:
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


def _discover(home: Home, project: Path | None) -> Iterator[tuple[IndexedPlugin, list[str]]]:
    """Every plugin there is, and the files that its entry was read from."""
    yield from _installed()
    folders: list[tuple[Source, Path]] = [("home", home.plugins)]
    if project is not None:
        folders.append(("project", project.parent / "plugins"))
    for source, folder in folders:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if entry.suffix in (".yaml", ".yml"):
                yield _data_only(entry, source), [str(entry)]
            elif entry.suffix == ".py":
                yield _single_file(entry, source), [str(entry)]
            elif entry.is_dir():
                manifest = entry / "plugin.yaml"
                yield _package(entry.name, entry.name, manifest, source), [str(entry), *_sources(entry)]


def _sources(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".yaml")]


def _installed() -> Iterator[tuple[IndexedPlugin, list[str]]]:
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    for entry in entry_points(group=GROUP):
        try:
            spec = find_spec(entry.module)
        except (ImportError, ValueError) as error:
            spec = None
            problem = f"its module {entry.module} cannot be found: {error}."
        else:
            problem = f"its module {entry.module} is not there."
        if spec is None or spec.origin is None:
            yield _broken(entry.name, "installed", entry.module, PluginError(problem), ""), []
            continue
        folder = Path(spec.origin).parent
        yield _package(entry.name, entry.module, folder / "plugin.yaml", "installed"), _sources(folder)


def _package(name: str, module: str, manifest_file: Path, source: Source) -> IndexedPlugin:
    code = manifest_file.parent / "__init__.py"
    try:
        if not manifest_file.exists():
            raise PluginError(f"{manifest_file.parent} has no plugin.yaml.", hint="Write one, or remove the folder.")
        manifest = read_manifest(manifest_file)
        if manifest.name != name:
            raise PluginError(f'{manifest_file} says "{manifest.name}", but the plugin is installed as "{name}".')
        start = ""
        if source != "installed":
            start, module = str(manifest_file.parent), _module_name(name, manifest_file.parent)
        tools = dict(manifest.tools)
        for tool_module in manifest.tool_modules:
            inner = tool_module if not start else module + tool_module.removeprefix(f"hermes_plugin_{name}")
            tools.update(_capture(name, inner, start).tools)
    except HermesError as error:
        return _broken(name, source, str(manifest_file), error, _text(code), _text(manifest_file))
    return IndexedPlugin(
        name=name, source=source, manifest=manifest, module=module, path=str(manifest_file), tools=tools
    )


def _module_name(name: str, place: Path) -> str:
    """Of a plugin in a folder: two homes in one process may each have one of the same name."""
    return f"hermes_plugin_{name.replace('-', '_')}_{_digest(str(place))}"


def _data_only(file: Path, source: Source) -> IndexedPlugin:
    try:
        manifest = read_manifest(file)
        if manifest.hooks or manifest.tool_modules or manifest.commands:
            raise PluginError(f"{file} is only data: it cannot have hooks, tools or commands.")
    except HermesError as error:
        return _broken(file.stem, source, str(file), error, "")
    return IndexedPlugin(name=manifest.name, source=source, manifest=manifest, path=str(file))


def _single_file(file: Path, source: Source) -> IndexedPlugin:
    text = _text(file)
    try:
        tree = {"name": file.stem.replace("_", "-"), **(header_of(text) or {})}
        declared = parse_manifest(tree, str(file))
        module = _module_name(declared.name, file)
        captured = _capture(declared.name, module, str(file))
    except HermesError as error:
        return _broken(file.stem.replace("_", "-"), source, str(file), error, text)
    hooks = sorted({*declared.hooks, *captured.hooks})
    return IndexedPlugin(
        name=declared.name,
        source=source,
        manifest=msgspec.structs.replace(declared, hooks=hooks),
        module=module,
        path=str(file),
        tools={**declared.tools, **captured.tools},
    )


def _broken(name: str, source: Source, path: str, error: HermesError, *texts: str) -> IndexedPlugin:
    """A plugin that cannot be used. If its text names a guard's hook it counts as a guard: fail closed."""
    hooks = [hook for hook in sorted(GUARD_HOOKS) if any(re.search(rf"\b{hook}\b", text) for text in texts)]
    return IndexedPlugin(
        name=name,
        source=source,
        manifest=Manifest(name=name, hooks=hooks),
        path=path,
        problem=str(error),
        hint=error.hint or f"Mend it, or: hermes plugins disable {name}",
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class Captured(msgspec.Struct, frozen=True):
    """What a child process found in a module."""

    tools: dict[str, ToolEntry] = {}
    hooks: list[str] = []
    error: str = ""


def _capture(plugin: str, module: str, location: str) -> Captured:
    """Imports the module in a child process, which tells what is in it. ``location``: its file or folder.

    Raises:
        PluginError: the import failed, hung, or ended the process.
    """
    command = [sys.executable, "-m", "hermes.tools.capture", plugin, module, location]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=CAPTURE_SECONDS,
            stdin=subprocess.DEVNULL,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"{module} was still importing after {CAPTURE_SECONDS:.0f} s.", plugin=plugin) from None
    try:
        captured = msgspec.json.decode(done.stdout, type=Captured)
    except msgspec.DecodeError:
        raise PluginError(f"importing {module} ended the process with code {done.returncode}.", plugin=plugin) from None
    if captured.error:
        raise PluginError(f"{module} cannot be imported: {captured.error}", plugin=plugin)
    return captured
