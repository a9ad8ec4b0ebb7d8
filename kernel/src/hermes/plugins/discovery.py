"""Finds plugins wherever they may lie, and reads what they say of themselves."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hermes.config.home import Home
from hermes.contracts.errors import HermesError, PluginError
from hermes.logs.plain import plain

from .capturing import capture
from .environments import build_environment, unmet
from .indexed import IndexedPlugin, Source, placed
from .loader import own_module
from .lock import LockedPlugin, package_folder, read_lock
from .manifest import GUARD_HOOKS, Manifest, header_of, parse_manifest, read_manifest
from .manifest_limits import pattern_problem

GROUP = "hermes.plugins"

Found = tuple[IndexedPlugin, list[str]]
"""A plugin, and the files that its entry was read from."""


class Finder(NamedTuple):
    """``entries``: the setting ``plugins.entries``; ``known``: last good manifests, by name."""

    home: Home
    entries: Mapping[str, Any]
    known: Mapping[str, Manifest]
    tell: Callable[[str], None]

    def all(self, project: Path | None) -> Iterator[Found]:
        yield from self._installed()
        yield from self._packages()
        yield from self._folder(self.home.plugins, "home")
        if project is not None:
            yield from self._folder(project.parent / "plugins", "project")

    def _installed(self) -> Iterator[Found]:
        """Through entry points. What the metadata says is enough: nothing is imported."""
        from importlib.metadata import entry_points
        from importlib.util import find_spec

        from .provenance import is_first_party

        for entry in entry_points(group=GROUP):
            try:
                spec = find_spec(entry.module)
            except (ImportError, ValueError) as error:
                spec = None
                problem = f"its module {entry.module} cannot be found: {error}."
            else:
                problem = f"its module {entry.module} is not there."
            if spec is None or spec.origin is None:
                empty = IndexedPlugin(name=entry.name, source="installed", manifest=Manifest(name=entry.name))
                yield self._broken(msgspec.structs.replace(empty, path=entry.module), PluginError(problem)), []
                continue
            folder = Path(spec.origin).parent
            start = IndexedPlugin(
                name=entry.name,
                source="installed",
                manifest=Manifest(name=entry.name),
                module=entry.module,
                path=str(folder / "plugin.yaml"),
                first_party=is_first_party(entry.dist),
            )
            yield self._package(start, ""), sources(folder)

    def _packages(self) -> Iterator[Found]:
        """What ``plugins.lock`` says is installed into the home."""
        file = self.home.plugins_lock
        try:
            lock = read_lock(file)
        except PluginError as error:
            lost = Manifest(name=file.name, hooks=sorted(GUARD_HOOKS))
            broken = IndexedPlugin(name=file.name, source="package", manifest=lost, path=str(file))
            yield self._broken(broken, error, "pre_tool_call"), [str(file)]
            return
        for name, locked in lock.plugins.items():
            found = self._locked(name, locked)
            yield found, [str(file), found.root, found.path]  # its tree is only ever replaced as a whole

    def _locked(self, name: str, locked: LockedPlugin) -> IndexedPlugin:
        root = package_folder(self.home.packages, locked)
        start = IndexedPlugin(
            name=name,
            source="package",
            manifest=Manifest(name=name),
            module=locked.module,
            root=str(root),
            agreed=locked.permissions,
        )
        single, data = root / f"{locked.module}.py", root / f"{locked.module}.yaml"
        file = next((file for file in (single, data) if file.is_file()), root / locked.module / "plugin.yaml")
        start = msgspec.structs.replace(start, path=str(file))
        if not root.is_dir():
            gone = PluginError(f"{root} is gone.", hint="Restore it: hermes plugins install --locked")
            return self._broken(start, gone, "pre_tool_call")
        if file.suffix == ".py":
            found = self._single(start, requirements=locked.requirements)
        elif file == data:
            found = self._data_only(start)
        else:
            found = self._package(start, str(file.parent), requirements=locked.requirements)
        beyond = found.manifest.permissions.beyond(locked.permissions)
        if not found.problem and beyond != type(beyond)():
            wider = ", ".join(f"{key}: {value}" for key, value in msgspec.to_builtins(beyond).items())
            return self._broken(found, PluginError(f"it asks for more than was agreed to ({wider})."))
        return found

    def _folder(self, folder: Path, source: Source) -> Iterator[Found]:
        """Drop-ins: files, folders, and files that are only data."""
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if entry.suffix in (".yaml", ".yml"):
                start = IndexedPlugin(
                    name=entry.stem, source=source, manifest=Manifest(name=entry.stem), path=str(entry)
                )
                yield self._data_only(start), [str(entry)]
            elif entry.suffix == ".py":
                name = entry.stem.replace("_", "-")
                start = IndexedPlugin(name=name, source=source, manifest=Manifest(name=name), path=str(entry))
                yield self._single(start), [str(entry)]
            elif entry.is_dir():
                file = entry / "plugin.yaml"
                start = IndexedPlugin(
                    name=entry.name, source=source, manifest=Manifest(name=entry.name), path=str(file)
                )
                start = msgspec.structs.replace(start, module=module_name(entry.name, entry))
                yield self._package(start, str(entry)), [str(entry), *sources(entry)]

    def _package(self, start: IndexedPlugin, location: str, requirements: list[str] | None = None) -> IndexedPlugin:
        """A folder with a manifest. ``location``: the folder to load the module from; blank: it is importable."""
        file = Path(start.path)
        try:
            if not file.exists():
                raise PluginError(f"{file.parent} has no plugin.yaml.", hint="Write one, or remove the folder.")
            manifest = read_manifest(file)
            if manifest.name != start.name:
                raise PluginError(f'{file} says "{manifest.name}", but the plugin is installed as "{start.name}".')
            found = self._placed(msgspec.structs.replace(start, manifest=manifest), requirements)
            tools = dict(manifest.tools)
            for tool_module in manifest.tool_modules:
                tools.update(capture(found, own_module(found, tool_module), location).tools)
        except Exception as error:  # noqa: BLE001 (the boundary: a manifest may be anything)
            return self._broken(start, error, text_of(file.parent / "__init__.py"), text_of(file))
        return msgspec.structs.replace(found, tools=tools)

    def _data_only(self, start: IndexedPlugin) -> IndexedPlugin:
        file = Path(start.path)
        try:
            manifest = read_manifest(file)
            if manifest.hooks or manifest.tool_modules or manifest.tools or manifest.commands or manifest.contracts:
                raise PluginError(f"{file} is only data: it cannot have hooks, tools or commands.")
            return self._placed(msgspec.structs.replace(start, name=manifest.name, manifest=manifest, module=""), [])
        except Exception as error:  # noqa: BLE001 (the boundary)
            return self._broken(start, error)

    def _single(self, start: IndexedPlugin, requirements: list[str] | None = None) -> IndexedPlugin:
        file = Path(start.path)
        text = text_of(file)
        try:
            tree = {"name": start.name, **(header_of(text) or {})}
            declared = parse_manifest(tree, str(file))
            module = start.module or module_name(declared.name, file)
            found = msgspec.structs.replace(start, name=declared.name, manifest=declared, module=module)
            found = self._placed(found, requirements)
            captured = capture(found, module, str(file))
        except Exception as error:  # noqa: BLE001 (the boundary)
            return self._broken(start, error, text)
        hooks = sorted({*declared.hooks, *captured.hooks})
        return msgspec.structs.replace(
            found,
            manifest=msgspec.structs.replace(declared, hooks=hooks),
            tools={**declared.tools, **captured.tools},
        )

    def _placed(self, plugin: IndexedPlugin, requirements: list[str] | None) -> IndexedPlugin:
        """Where it runs, and with which packages of its own. ``requirements``: of the lock, where it is in one."""
        asked = requirements if requirements is not None else plugin.manifest.requires.packages
        wanted = unmet(asked) if asked else []
        environment = str(build_environment(self.home.cache, wanted, self.tell)) if wanted else ""
        found = placed(msgspec.structs.replace(plugin, environment=environment), self.entries)
        for pattern in found.manifest.secret_patterns:
            if problem := pattern_problem(pattern, trusted=found.first_party or not found.restricted):
                raise PluginError(f"secret_patterns: {problem}.", plugin=found.name)
        return found

    def _broken(self, plugin: IndexedPlugin, error: Exception, *texts: str) -> IndexedPlugin:
        """A plugin that cannot be used. If its text, or its last good manifest, names a guard's hook, it counts as a
        guard: fail closed.
        """
        last = self.known.get(plugin.name, plugin.manifest)
        hooks = [
            hook
            for hook in sorted(GUARD_HOOKS)
            if hook in last.hooks or any(re.search(rf"\b{hook}\b", text) for text in texts)
        ]
        return msgspec.structs.replace(
            plugin,
            manifest=Manifest(name=plugin.name, hooks=hooks),
            tools={},
            problem=plain(str(error) if isinstance(error, HermesError) else f"{type(error).__name__}: {error}", 2000),
            hint=getattr(error, "hint", "") or f"Mend it, or: hermes plugins disable {plugin.name}",
        )


def sources(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".yaml")]


def module_name(name: str, place: Path) -> str:
    """Of a plugin in a folder: two homes in one process may each have one of the same name."""
    return f"hermes_plugin_{name.replace('-', '_')}_{zlib.crc32(str(place).encode()):08x}"


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tell_on_stderr(text: str) -> None:
    sys.stderr.write(f"hermes: {text}\n")
