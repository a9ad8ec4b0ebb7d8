"""Finds the plugin in what was fetched, reads what it says of itself, and takes its files. None of its code is run."""

from __future__ import annotations

import email.parser
import keyword
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hermes.contracts.errors import PluginError
from hermes.plugins.manifest import Manifest, header_of, parse_manifest
from hermes.plugins.manifest_limits import read_yaml_safely

MAX_MANIFEST = 1024 * 1024
_DEPTH = 6
_ASIDE = frozenset({"tests", "test", "docs", "examples", "example", "testkit", "benchmarks"})
_TAKEN = frozenset({"hermes", "hermes_testkit", "sitecustomize", "usercustomize"}) | sys.stdlib_module_names


class Project(NamedTuple):
    """What its pyproject or its wheel says; all blank where there is neither."""

    name: str = ""
    version: str = ""
    requires_python: str = ""
    dependencies: tuple[str, ...] = ()
    description: str = ""
    license: str = ""
    homepage: str = ""


class Found(NamedTuple):
    """A plugin. ``place``: its package's folder, or its only file, of code or of data."""

    manifest: Manifest
    module: str
    place: Path
    project_folder: Path
    project: Project

    @property
    def version(self) -> str:
        return self.manifest.version or self.project.version


def find_plugin(root: Path, origin: str, subdirectory: str = "") -> Found:
    """``origin``: what the person named, for errors; ``subdirectory``: where in it to look.

    Raises:
        PluginError: there is none, there are several, or its manifest is wrong.
    """
    whole = root
    root = _content(root) if not subdirectory or not (root / subdirectory).is_dir() else root
    start = root / subdirectory if subdirectory else root
    if not start.is_dir():
        raise PluginError(f"{origin} has no folder {subdirectory!r}.", hint="Check the path behind the repository.")
    places = sorted(_manifests(start))
    if not places:
        places = [file for file in sorted(start.glob("*.py")) if _header(file) is not None]
    if not places and len(files := [path for path in start.iterdir() if path.suffix in (".yaml", ".yml")]) == 1:
        places = files
    if not places:
        raise PluginError(
            f"There is no plugin in {origin}: no plugin.yaml, and no file with a `# /// hermes` header.",
            hint="Was it written for another program? hermes can install what has a plugin.yaml.",
        )
    if len(places) > 1:
        folders = {_project_folder(place, root) for place in places}
        folders = folders if len(folders) == len(places) else {place.parent for place in places}
        names = ", ".join(sorted(folder.relative_to(whole).as_posix() for folder in folders))
        raise PluginError(
            f"There are {len(places)} plugins in {origin}: {names}.",
            hint="Name one: owner/repo/FOLDER, or behind an address #subdirectory=FOLDER",
        )
    return _read(places[0], root)


def _content(root: Path) -> Path:
    """Archives often have one folder, and all else in that."""
    entries = list(root.iterdir())
    only = entries[0] if len(entries) == 1 else root
    return only if only.is_dir() and not (only / "plugin.yaml").exists() else root


def _manifests(folder: Path, depth: int = 0) -> Iterator[Path]:
    if (folder / "plugin.yaml").is_file():
        yield folder / "plugin.yaml"
        return
    for entry in folder.iterdir() if depth < _DEPTH else ():
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in _ASIDE:
            yield from _manifests(entry, depth + 1)


def _header(file: Path) -> dict[str, Any] | None:
    return header_of(_text(file)) if file.suffix == ".py" else None


def _text(file: Path) -> str:
    if file.stat().st_size > MAX_MANIFEST:
        raise PluginError(f"{file.name} is larger than {MAX_MANIFEST >> 10} KB.", hint="Nothing was changed.")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PluginError(f"{file.name} is no text.", hint="Nothing was changed.") from None


def _read(place: Path, root: Path) -> Found:
    manifest = read_bounded(place)
    folder = _project_folder(place, root)
    project = _project(folder)
    code = manifest.hooks or manifest.tool_modules or manifest.commands
    package = place.parent
    if place.suffix == ".py":
        _check_module(place.stem)
        return Found(manifest, place.stem, place, folder, project)
    if place.name != "plugin.yaml" or not (package / "__init__.py").is_file():
        if code:
            raise PluginError(
                f"{place.name} is only data (there is no __init__.py): it cannot have hooks, tools or commands.",
                plugin=manifest.name,
                hint="Nothing was changed. Tell its author.",
            )
        return Found(manifest, manifest.name, place, folder, project)
    module = f"hermes_plugin_{manifest.name.replace('-', '_')}" if package == folder else package.name
    nested = (package.parent / "__init__.py").exists() or (_is_wheel(folder) and package.parent != folder)
    if package != folder and nested:
        raise PluginError(f"{module} lies within another package.", hint="A plugin is a package of its own.")
    _check_module(module)
    return Found(manifest, module, package, folder, project)


def _check_module(module: str) -> None:
    if module in _TAKEN or not module.isidentifier() or keyword.iskeyword(module):
        raise PluginError(
            f"It would bring a module {module!r}, which hides one of Python's or of Hermes's.",
            hint="Nothing was changed. Tell its author.",
        )


def read_bounded(file: Path) -> Manifest:
    """The manifest of a ``plugin.yaml`` or a file's header, if it is of a sane size.

    Raises:
        PluginError: it is not, or it is no manifest.
    """
    import yaml

    text = _text(file)
    try:
        tree = header_of(text) if file.suffix == ".py" else read_yaml_safely(text)
    except yaml.YAMLError as error:
        raise PluginError(f"{file.name} is not YAML: {error}", hint="Nothing was changed. Tell its author.") from None
    except PluginError as error:
        raise PluginError(f"{file.name}: {error}", hint="Nothing was changed. Tell its author.") from None
    if file.suffix == ".py" and isinstance(tree, dict):
        tree = {"name": file.stem.replace("_", "-"), **tree}
    return parse_manifest(tree, file.name)


def _project_folder(place: Path, root: Path) -> Path:
    """The nearest folder above that is a project of its own, else the manifest's."""
    for folder in place.parents:
        if (folder / "pyproject.toml").is_file() or _is_wheel(folder):
            return folder
        if folder == root:
            break
    return place.parent


def _is_wheel(folder: Path) -> bool:
    return any(folder.glob("*.dist-info/METADATA"))


def _project(folder: Path) -> Project:
    for metadata in folder.glob("*.dist-info/METADATA"):
        return _wheel_project(_text(metadata))
    file = folder / "pyproject.toml"
    if not file.is_file():
        return Project()
    try:
        table = tomllib.loads(_text(file)).get("project") or {}
        license_ = table.get("license", "")
        return Project(
            name=str(table.get("name", "")),
            version=str(table.get("version", "")),
            requires_python=str(table.get("requires-python", "")),
            dependencies=tuple(str(line) for line in table.get("dependencies", ())),
            description=str(table.get("description", "")),
            license=str(license_.get("text", "") if isinstance(license_, dict) else license_),
            homepage=str((table.get("urls") or {}).get("Homepage", "")),
        )
    except (tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
        raise PluginError(f"Its pyproject.toml is wrong: {error}", hint="Nothing was changed.") from None


def _wheel_project(text: str) -> Project:
    headers = email.parser.HeaderParser().parsestr(text)
    return Project(
        name=headers.get("Name", ""),
        version=headers.get("Version", ""),
        requires_python=headers.get("Requires-Python", ""),
        dependencies=tuple(headers.get_all("Requires-Dist", ())),
        description=headers.get("Summary", ""),
        license=headers.get("License-Expression", "") or headers.get("License", ""),
    )


def take_files(found: Found, into: Path) -> None:
    """The files that are installed: ``into`` becomes what is put on the plugin's ``sys.path``.

    From a wheel all its packages, from a project with ``src/`` all in there, else the plugin's package alone.

    Raises:
        PluginError: a module would hide one of Python's or Hermes's own.
    """
    into.mkdir()
    place, base = found.place, found.place.parent
    if place.is_file():
        shutil.copy(place, into / (place.name if place.suffix == ".py" else f"{found.manifest.name}.yaml"))
        return
    if not _is_wheel(base) and not (base.name == "src" and base.parent == found.project_folder):
        _copy(place, into / found.module)
        return
    for entry in sorted(base.iterdir()):
        if entry.is_dir() and (re.search(r"\.(dist-info|data|egg-info)$", entry.name) is None):
            if entry.name.isidentifier() and entry.name != "__pycache__":
                _check_module(entry.name)
                _copy(entry, into / entry.name)
        elif entry.name.endswith(".dist-info"):
            (into / entry.name).mkdir()
            for name in _METADATA:
                if (entry / name).is_file():
                    shutil.copyfile(entry / name, into / entry.name / name)
        elif entry.suffix in (".py", ".so", ".pyd"):
            _check_module(entry.name.partition(".")[0])
            shutil.copy(entry, into / entry.name)


_METADATA = ("METADATA", "entry_points.txt")
"""What is the same whoever unpacked the wheel."""


def _copy(folder: Path, into: Path) -> None:
    shutil.copytree(folder, into, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".git"))
