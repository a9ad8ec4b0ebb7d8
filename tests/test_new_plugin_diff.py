"""A new plugin touches its own folder and the lock file, and nothing else of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hermes_testkit.command import Hermes

ROOT = Path(__file__).resolve().parent.parent
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"


def git(folder: Path, *arguments: str) -> str:
    """Without the settings of whoever runs the tests."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone of this one, as it was committed last."""
    copy = tmp_path / "repository"
    git(tmp_path, "clone", "-q", "--shared", str(ROOT), str(copy))
    return copy


def lock(folder: Path) -> None:
    """What is locked already is looked up nowhere: what is new are packages of the workspace."""
    done = subprocess.run([UV, "lock", "-q", "--offline"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def locked(text: str) -> set[tuple[str, str]]:
    """Names and versions."""
    return {(package["name"], package.get("version", "")) for package in tomllib.loads(text)["package"]}


@pytest.mark.parametrize("kind", ["tool", "provider", "command"])
def test_a_new_plugin_touches_its_folder_and_the_lock_file(repository: Path, hermes: Hermes, kind: str) -> None:
    place = repository / "plugins" / "tools"

    before = locked((repository / "uv.lock").read_text())

    ran = hermes("plugins", "new", kind, "brand-new", "--into", str(place))
    assert ran.code == 0, ran.err
    lock(repository)

    changed = {line[3:] for line in git(repository, "status", "--porcelain").splitlines()}
    assert changed == {"plugins/tools/brand-new/", "uv.lock"}
    assert locked((repository / "uv.lock").read_text()) - before == {("hermes-plugin-brand-new", "0.1.0")}
    assert before <= locked((repository / "uv.lock").read_text()), "the others stay at their versions"


def test_a_new_plugin_looks_like_the_others(repository: Path, hermes: Hermes) -> None:
    place = repository / "plugins" / "tools"
    assert hermes("plugins", "new", "tool", "brand-new", "--into", str(place)).code == 0
    folder = place / "brand-new"
    pyproject = (folder / "pyproject.toml").read_text()
    assert "[tool.uv.sources]\nhermes-kernel = { workspace = true }\n" in pyproject
    checked = hermes("plugins", "check", str(folder), "--no-tests")
    assert checked.code == 0, checked.out
    for command in (["check"], ["format", "--check"]):
        ruff = [Path(sys.executable).parent / "ruff", *command, "--no-cache", folder]
        done = subprocess.run(ruff, cwd=repository, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
