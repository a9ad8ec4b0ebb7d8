"""The plugin that a command is about, as its author has it: a package, a folder, a single file, or only data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hermes import ConfigError, PluginError
from hermes.plugins.manifest import Manifest, header_of, parse_manifest

Kind = Literal["package", "folder", "file", "data"]


@dataclass(frozen=True)
class Subject:
    """``root`` has README, tests and pyproject.toml, where there are any; ``module`` is what the code is imported as.

    ``search`` has to be on ``sys.path`` for that; without it, ``location`` (a file or a folder) is loaded by itself.
    """

    kind: Kind
    root: Path
    manifest_file: Path
    module: str = ""
    search: str = ""
    location: str = ""
    project: dict[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> list[Path]:
        """The Python files of the plugin itself."""
        if self.kind == "data":
            return []
        return [self.manifest_file] if self.kind == "file" else sorted(self.manifest_file.parent.rglob("*.py"))

    @property
    def tests(self) -> list[Path]:
        return sorted(self.root.glob("tests/**/*.py")) if self.kind in ("package", "folder") else []

    @property
    def readme(self) -> Path:
        return self.root / "README.md"

    def text(self) -> str:
        try:
            return self.manifest_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.manifest_file} cannot be read: {error}") from None

    def tree(self) -> dict[str, Any]:
        """The manifest as it stands, unchecked.

        Raises:
            PluginError: it is no YAML mapping.
        """
        if self.kind == "file":
            return {"name": self.manifest_file.stem.replace("_", "-"), **(header_of(self.text()) or {})}
        try:
            tree = yaml.safe_load(self.text())
        except yaml.YAMLError as error:
            raise PluginError(f"{self.manifest_file} is not YAML: {error}", hint="Mend it.") from None
        if not isinstance(tree, dict):
            raise PluginError(f"{self.manifest_file} has to be `key: value` lines.", hint="Begin with: name: …")
        return tree

    def manifest(self) -> Manifest:
        """Raises PluginError: it is no manifest."""
        return parse_manifest(self.tree(), str(self.manifest_file))


def find_subject(path: Path) -> Subject:
    """What lies at a path: a package's folder, a folder with a ``plugin.yaml``, a ``.py`` or a ``.yaml``.

    Raises:
        ConfigError: no plugin is there.
    """
    path = path.absolute()
    if path.name == "plugin.yaml":
        path = path.parent
    if path.is_file() and path.suffix == ".py":
        return Subject("file", path.parent, path, f"hermes_plugin_{path.stem.replace('-', '_')}", location=str(path))
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return Subject("data", path.parent, path)
    if not path.is_dir():
        raise ConfigError(f"{path} is no plugin: it is not there.", hint="Give a folder, a .py or a .yaml file.")
    if (path / "pyproject.toml").exists():
        return _package(path)
    if (path / "plugin.yaml").exists():
        for root in (path.parent, path.parent.parent):
            if (root / "pyproject.toml").exists() and (path / "__init__.py").exists():
                return _package(root)
        return _folder(path)
    raise ConfigError(
        f"{path} is no plugin: there is neither a pyproject.toml nor a plugin.yaml.",
        hint="Begin one: hermes plugins new tool NAME",
    )


def _package(root: Path) -> Subject:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{root / 'pyproject.toml'} cannot be read: {error}") from None
    found = sorted([*root.glob("src/*/plugin.yaml"), *root.glob("*/plugin.yaml")])
    if len(found) != 1:
        several = f"several: {', '.join(str(file.relative_to(root)) for file in found)}" if found else "none"
        raise ConfigError(
            f"{root} has to have one package with a plugin.yaml; there is {several}.",
            hint="Put it beside the package's __init__.py, which belongs in src/.",
        )
    package = found[0].parent
    return Subject("package", root, found[0], package.name, search=str(package.parent), project=project)


def _folder(folder: Path) -> Subject:
    code = folder / "__init__.py"
    module = f"hermes_plugin_{folder.name.replace('-', '_')}"
    if not code.exists():
        return Subject("data", folder, folder / "plugin.yaml")
    return Subject("folder", folder, folder / "plugin.yaml", module, location=str(folder))
