"""What a plugin needs beside Hermes: checked and pinned before anything is changed."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from hermes.contracts.errors import PluginError

from .finding import Found
from .programs import find_uv, have_pip, run

_HERMES = frozenset({"hermes-kernel", "hermes-agent"})
"""Their version is the program's own."""


def check_requirements(found: Found) -> None:
    """Raises PluginError: this Python or a program is not what it needs."""
    wanted = found.project.requires_python
    try:
        fits = platform.python_version() in SpecifierSet(wanted, prereleases=True)
    except InvalidSpecifier:
        raise PluginError(f"Its requires-python is wrong: {wanted!r}.", hint="Tell its author.") from None
    if not fits:
        raise PluginError(
            f'"{found.manifest.name}" needs Python {wanted}; this is {platform.python_version()}.',
            hint="Run Hermes with another Python, or install an older version of the plugin.",
        )
    missing = [name for name in found.manifest.requires.programs if shutil.which(name) is None]
    if missing:
        raise PluginError(
            f'"{found.manifest.name}" needs what is not on this machine: {", ".join(missing)}.',
            hint="Install that first, then try again. Nothing was changed.",
        )


def pinned_requirements(found: Found, scratch: Path) -> list[str]:
    """Every package it needs that Hermes does not bring, with its version; ``scratch``: a file to be made.

    Raises:
        PluginError: they cannot be had, or clash with Hermes's own.
    """
    wanted = list(_wanted([*found.project.dependencies, *found.manifest.requires.packages]))
    if not wanted:
        return []
    scratch.write_text("".join(f"{line}\n" for line in wanted))
    own = dict(_kernels_packages())
    limits = scratch.with_name("constraints.txt")
    limits.write_text("".join(f"{name}=={version}\n" for name, version in own.items()))
    pins = _resolved(f'What "{found.manifest.name}" needs', scratch, limits)
    return sorted(f"{name}=={version}" for name, version in pins if canonicalize_name(name) not in own)


def _wanted(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            raise PluginError(f"{line!r} is no requirement.", hint="Nothing was changed. Tell its author.") from None
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name in _HERMES:
            _check_hermes(requirement)
        elif requirement.url:
            raise PluginError(
                f"It needs {name} from an address of its own: {requirement.url}.",
                hint="Only packages of your package index can be checked and pinned. Tell its author.",
            )
        else:
            yield str(requirement)


def _check_hermes(requirement: Requirement) -> None:
    version = metadata.version("hermes-kernel")
    if not requirement.specifier.contains(version, prereleases=True):
        raise PluginError(
            f"It is for Hermes {requirement.specifier}; this is {version}.",
            hint="Upgrade Hermes (pip install --upgrade hermes-agent), or install another version of the plugin.",
        )


def _kernels_packages() -> Iterable[tuple[str, str]]:
    """What the kernel itself imports: in a plugin host there can be only one version of it."""
    for line in metadata.requires("hermes-kernel") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name), metadata.version(requirement.name)


def _resolved(what: str, wanted: Path, limits: Path) -> Sequence[tuple[str, str]]:
    """Names and versions, for this Python; only of wheels: nothing of theirs is run."""
    if uv := find_uv():
        told = run(
            [uv, "pip", "compile", "--quiet", "--no-progress", "--only-binary", ":all:", "--no-header", "--no-annotate",
             "--constraint", str(limits), "--python", sys.executable, str(wanted)], what)  # fmt: skip
        found = [re.match(r"([\w.-]+)==([^\s;]+)", line) for line in told.splitlines()]
        return [(match[1], match[2]) for match in found if match]
    if not have_pip():
        raise PluginError(f"{what} cannot be looked up without uv or pip.", hint="Install uv.")
    told = run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--dry-run",
         "--ignore-installed", "--only-binary", ":all:", "--constraint", str(limits), "--report", "-",
         "-r", str(wanted)], what)  # fmt: skip
    names = [entry["metadata"] for entry in json.loads(told)["install"]]
    return [(entry["name"], entry["version"]) for entry in names]
