"""Packages that a plugin needs and Hermes does not have: a folder of them, by the hash of what was asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hermes.config.home import host_environment
from hermes.contracts.errors import PluginError

INSTALL_SECONDS = 600.0
OWN = ("hermes-kernel", "hermes-agent", "hermes-testkit")
"""What a plugin's packages may ask for and is here already."""


def unmet(requirements: Iterable[str]) -> list[str]:
    """Those of the requirements that Hermes's own environment does not meet.

    Raises:
        PluginError: one is no requirement.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    missing = []
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise PluginError(f"{text!r} is no requirement: {error}.") from None
        if canonicalize_name(wanted.name) in OWN or (wanted.marker and not wanted.marker.evaluate()):
            continue
        try:
            met = wanted.specifier.contains(version(wanted.name), prereleases=True) and not wanted.url
        except PackageNotFoundError:
            met = False
        if not met or wanted.extras:
            missing.append(text)
    return missing


def environment_folder(cache: Path, requirements: Sequence[str]) -> Path:
    """Where the packages of these requirements are, or will be."""
    asked = "\n".join([*sorted(requirements), sys.version, sys.platform])
    return cache / "environments" / hashlib.sha256(asked.encode()).hexdigest()[:20]


def build_environment(
    cache: Path, requirements: Sequence[str], tell: Callable[[str], None] = lambda text: None
) -> Path:
    """Installs the packages, if they are not there yet; only wheels, so that nothing of theirs is run.

    Raises:
        PluginError: they cannot be had, with the last lines of what the installer said.
    """
    folder = environment_folder(cache, requirements)
    if folder.is_dir():
        return folder
    tell(f"Installing {', '.join(requirements)} …")
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        done = subprocess.run(
            [*_installer(scratch), "--target", str(scratch / "packages"), *requirements],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            env=host_environment(),
        )
        if done.returncode != 0:
            if "No module named pip" in done.stderr:
                raise PluginError("its packages need pip or uv to be installed.", hint="pip install uv, or ensurepip.")
            said = "\n  ".join(done.stderr.strip().splitlines()[-6:])
            raise PluginError(
                f"the packages {', '.join(requirements)} cannot be installed:\n  {said}",
                hint="Nothing was changed. Check the network and the requirements, then retry.",
            )
        try:
            os.replace(scratch / "packages", folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    except subprocess.TimeoutExpired:
        raise PluginError(f"the packages {', '.join(requirements)} took too long to install.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _installer(scratch: Path) -> list[str]:
    """uv if it is here, else pip. uv can be told that what Hermes itself is need not be installed again."""
    beside = os.path.join(os.path.dirname(sys.executable), "uv")
    uv = beside if os.access(beside, os.X_OK) else shutil.which("uv")
    if uv is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [*pip, "--no-input", "--only-binary", ":all:"]
    overrides = scratch / "overrides.txt"
    overrides.write_text("".join(f"{name} ; python_version < '0'\n" for name in OWN))
    ours = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--only-binary", ":all:"]
    return [*ours, "--overrides", str(overrides)]
