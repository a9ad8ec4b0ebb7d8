"""Killed at any moment, out of space, without rights, two at once: the home is as before, or as after."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hermes.plugins.sandbox import bubblewrap
from hermes_plugin_installer.staging import changed_by_hand

Make = Callable[..., Any]

KILLS = 50
needs_bubblewrap = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap is missing or may not be used")


def state(plugins: Any) -> str | None:
    """The version that is installed, whole; None if nothing is."""
    locked = plugins.lock.plugins.get("greet")
    if locked is None:
        return None
    assert changed_by_hand(plugins.home / "packages", locked) == []
    return str(locked.version)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment_the_home_is_as_before_or_as_after(plugins: Any, make_project: Make) -> None:
    (plugins.home / "SOUL.md").write_text("mine\n")
    project = make_project(version="0")
    package = project.folder / "src" / project.module
    for number in range(100):
        (package / f"part_{number}.py").write_text(f"NUMBER = {number}\n" * 40)
    arguments = ("install", str(project.folder), "--yes")
    began = time.monotonic()
    plugins.done(*arguments)
    took = time.monotonic() - began
    chance, seen = random.Random(7), set()

    for version in range(1, KILLS + 1):
        before = state(plugins)
        project.write(str(version))
        process = plugins.hermes.start("plugins", *arguments)
        try:
            process.wait(timeout=took * chance.uniform(0.3, 1.1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        after = state(plugins)
        assert after in (before, str(version))
        seen.add((process.returncode, after == before))
        assert (plugins.home / "SOUL.md").read_text() == "mine\n"

    assert (-signal.SIGKILL, True) in seen, "none was killed before it was done"
    project.write("99")
    plugins.done(*arguments)
    assert state(plugins) == "99"
    left = {path.name for path in plugins.home.iterdir() if path.name.startswith(("packages", "plugins."))}
    assert left == {"packages", "plugins.lock"}
    tree = plugins.lock.plugins["greet"].tree[:16]
    assert {path.name for path in (plugins.home / "packages" / "greet").iterdir()} == {tree, f"{tree}.files"}


def test_killed_while_a_tree_is_replaced_the_next_command_puts_it_back(plugins: Any, make_project: Make) -> None:
    plugins.done("install", str(make_project().folder), "--yes")
    tree = plugins.home / "packages" / "greet" / plugins.lock.plugins["greet"].tree[:16]
    tree.rename(tree.with_name(f"{tree.name}.replaced"))
    (plugins.home / "packages" / "greet" / ("0" * 16)).mkdir()
    (plugins.home / "packages.staging-left").mkdir()
    (plugins.home / "plugins.lock.123").write_text("half")
    plugins.done("install", str(make_project("other").folder), "--yes")
    assert state(plugins) == "1.0"
    assert sorted(path.name for path in tree.parent.iterdir()) == [tree.name, f"{tree.name}.files"]
    assert not list(plugins.home.glob("packages.staging-*"))
    assert not (plugins.home / "plugins.lock.123").exists()


@pytest.mark.parametrize("part", ["staging", "lock"])
def test_a_file_that_cannot_be_written_changes_nothing(plugins: Any, make_project: Make, part: str) -> None:
    for name in ("one", "two", "three"):
        plugins.done("install", str(make_project(name).folder), "--yes")
    project = make_project()
    if part == "staging":
        (project.folder / "src" / project.module / "large.txt").write_text("x" * 100_000)
    limit = {"staging": 50_000, "lock": (plugins.home / "plugins.lock").stat().st_size}[part]
    largest = max(path.stat().st_size for path in project.folder.rglob("*") if path.is_file())
    assert (largest > limit) == (part == "staging")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    before = plugins.snapshot()
    process = plugins.hermes.start("plugins", "install", str(project.folder), "--yes", preexec_fn=limited)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "File too large" in said
    assert "Nothing was changed" in said
    assert plugins.snapshot() == before
    assert state(plugins) is None


def in_sandbox(plugins: Any, options: list[str], script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of bash in which ``hermes`` is the command, with mounts of its own."""
    hermes = f'hermes() {{ "{sys.executable}" -m hermes.cli.main "$@"; }}\n'
    command = [bubblewrap(), "--dev-bind", "/", "/", *options, "bash", "-c", hermes + script]
    environ, workspace = plugins.hermes.environ, plugins.hermes.workspace
    return subprocess.run(command, env=environ, cwd=workspace, capture_output=True, text=True, timeout=90)


@needs_bubblewrap
def test_a_full_disk_changes_nothing(plugins: Any, make_project: Make) -> None:
    small, large = make_project("small"), make_project("large")
    (large.folder / "src" / large.module / "large.bin").write_bytes(os.urandom(3_000_000))
    listing = f"(cd '{plugins.home}' && find . -type f -not -path '*__pycache__*' | sort | xargs sha256sum)"
    done = in_sandbox(
        plugins,
        ["--size", "2000000", "--tmpfs", str(plugins.home)],
        f"hermes plugins install '{small.folder}' --yes && {listing} > ../before\n"
        f"hermes plugins install '{large.folder}' --yes; echo code $?\n"
        f"{listing} > ../after; hermes plugins lock --check",
    )
    folder = plugins.hermes.workspace.parent
    assert "code 1" in done.stdout, done
    assert "No space left on device" in done.stderr
    assert "small: as installed" in done.stdout
    assert (folder / "before").read_text() == (folder / "after").read_text()
    assert "plugins.lock" in (folder / "after").read_text()


@needs_bubblewrap
@pytest.mark.parametrize("part", ["", "packages"])
def test_a_home_that_cannot_be_written_is_told(plugins: Any, make_project: Make, part: str) -> None:
    plugins.done("install", str(make_project("other").folder), "--yes")
    project, place = make_project(), str(plugins.home / part)
    before = plugins.snapshot()
    done = in_sandbox(
        plugins, ["--ro-bind", place, place], f"hermes plugins install '{project.folder}' --yes; echo code $?"
    )
    assert "code 0" not in done.stdout
    assert "cannot be" in done.stderr
    assert "Traceback" not in done.stderr
    assert plugins.snapshot() == before


def test_two_commands_do_not_meet_in_one_home(plugins: Any, make_project: Make) -> None:
    plugins.done("install", str(make_project("other").folder), "--yes")
    held = os.open(plugins.home, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        for arguments in (["install", str(make_project().folder), "--yes"], ["remove", "other"]):
            assert "Another command is installing" in plugins.refused(*arguments)
    finally:
        os.close(held)
    assert plugins.done("install", str(make_project().folder), "--yes")


def test_an_installed_tree_that_is_gone_is_told_and_restored(plugins: Any, make_project: Make) -> None:
    plugins.done("install", str(make_project().folder), "--yes")
    shutil.rmtree(plugins.home / "packages")
    ran = plugins("lock", "--check")
    assert ran.code == 1
    assert "is gone" in ran.out
    plugins.done("install", "--locked", "--yes")
    assert state(plugins) == "1.0"


def test_a_lock_that_cannot_be_read_is_not_overwritten(plugins: Any, make_project: Make) -> None:
    (plugins.home / "plugins.lock").write_text("{half")
    assert "is no lock file" in plugins.refused("install", str(make_project().folder), "--yes")
