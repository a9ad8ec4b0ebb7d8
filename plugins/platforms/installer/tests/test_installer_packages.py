"""Packages from a package index of our own (PEP 503), with pip and with uv."""

from __future__ import annotations

import itertools
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import PluginError
from hermes_plugin_installer.fetch import Fetched, with_pip, with_uv
from hermes_plugin_installer.finding import find_plugin, take_files
from hermes_plugin_installer.programs import find_uv, have_pip
from hermes_plugin_installer.staging import list_files

Make = Callable[..., Any]


@pytest.fixture
def index(plugins: Any, server: Any, make_project: Make) -> Any:
    """The server, as index for pip and uv, with ``hermes-plugin-greet`` 1.0 and 2.0."""
    simple = server.folder / "simple"
    for version in ("1.0", "2.0"):
        make_project(version=version).wheel(simple / "hermes-plugin-greet", version=version)
    url = f"{server.url}/simple/"
    plugins.hermes.environ |= {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url, "UV_INDEX_STRATEGY": "first-index"}
    return server


@pytest.mark.parametrize(
    ("source", "version"), [("greet", "2.0"), ("hermes-plugin-greet==1.0", "1.0"), ("hermes_plugin_greet<2", "1.0")]
)
@pytest.mark.usefixtures("index")
def test_a_package_is_fetched_by_its_name(plugins: Any, source: str, version: str) -> None:
    plugins.done("install", source, "--yes")
    locked = plugins.lock.plugins["greet"]
    assert (locked.kind, locked.version, locked.url) == ("package", version, f"hermes-plugin-greet=={version}")
    assert len(locked.sha256) == 64
    assert not list(plugins.home.rglob("was-imported"))


@pytest.mark.usefixtures("index")
def test_a_package_is_updated_and_taken_back(plugins: Any) -> None:
    plugins.done("install", "hermes-plugin-greet", "--yes")
    plugins.done("update", "greet", "--to", "1.0", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    assert "1.0 -> 2.0" in plugins.done("update", "--all", "--yes").err


def test_a_lock_takes_the_version_it_names_and_no_other_file(
    plugins: Any, index: Any, make_project: Make, tmp_path: Path
) -> None:
    plugins.done("install", "greet==1.0", "--yes")
    lock = tmp_path / "saved.lock"
    lock.write_bytes((plugins.home / "plugins.lock").read_bytes())
    plugins.done("remove", "greet")
    plugins.done("install", "--locked", str(lock), "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    plugins.done("remove", "greet")
    project = make_project(version="1.0", description="Not what it was.")
    project.wheel(index.folder / "simple" / "hermes-plugin-greet", version="1.0")
    said = plugins.refused("install", "--locked", str(lock), "--yes")
    assert "is not what the lock says" in said or "than the lock" in said  # pip fetches it first, uv is told its hash


@pytest.mark.usefixtures("index")
def test_a_package_that_is_not_there_is_told(plugins: Any) -> None:
    assert "Fetching hermes-plugin-nothing failed" in plugins.refused("install", "nothing", "--yes")


@pytest.mark.skipif(find_uv() is None or not have_pip(), reason="needs uv and pip")
@pytest.mark.usefixtures("index")
def test_uv_and_pip_bring_the_same(plugins: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in plugins.hermes.environ.items():
        monkeypatch.setenv(name, value)
    uv = find_uv()
    assert uv is not None
    numbers = itertools.count()

    def new() -> Path:
        folder = tmp_path / f"staged-{next(numbers)}"
        folder.mkdir()
        return folder / "x"

    programs: list[Callable[[str], Fetched]] = [lambda name: with_pip(name, new), lambda name: with_uv(uv, name, new)]
    listings, hashes = [], []
    for fetched_with in programs:
        fetched, taken = fetched_with("hermes-plugin-greet==1.0"), new()
        take_files(find_plugin(fetched.root, "greet"), taken)
        listings.append(list_files(taken))
        hashes.append(fetched.sha256)
        with pytest.raises(PluginError, match=r"Fetching hermes-plugin-nothing failed"):
            fetched_with("hermes-plugin-nothing")
    assert listings[0] == listings[1]
    assert hashes[0] == hashes[1]
    with pytest.raises(PluginError, match="another hermes_plugin_greet"):
        with_uv(uv, "hermes-plugin-greet==1.0", new, sha256="0" * 64)


def test_only_wheels_are_taken_from_an_index(plugins: Any, index: Any, make_project: Make) -> None:
    project = make_project("source")
    place = index.folder / "simple" / "hermes-plugin-source"
    place.mkdir()
    with tarfile.open(place / "hermes_plugin_source-1.0.tar.gz", "w:gz") as archive:
        archive.add(project.folder, "hermes_plugin_source-1.0")
    assert "failed" in plugins.refused("install", "source", "--yes")
    assert not project.trace.exists()
    plugins.done("install", str(place / "hermes_plugin_source-1.0.tar.gz"), "--yes")
    assert not project.trace.exists(), "the files of a source archive are taken, its build is not run"
    assert plugins.lock.plugins["source"].version == "1.0"


@pytest.mark.skipif(find_uv() is None, reason="needs uv")
def test_a_build_is_run_only_if_asked(plugins: Any, make_project: Make) -> None:
    project = make_project()
    plugins.done("install", str(project.folder), "--yes")
    assert not project.trace.exists()
    plugins.done("install", str(project.folder), "--build", "--yes")
    assert project.trace.exists()


@pytest.mark.skipif(find_uv() is None, reason="needs uv")
def test_a_wheel_that_uv_built_is_installed(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    project = make_project()
    command = [find_uv(), "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", project.folder]
    subprocess.run(command, check=True, env=plugins.hermes.environ)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    plugins.done("install", str(wheel), "--yes")
    assert (plugins.lock.plugins["greet"].kind, plugins.lock.plugins["greet"].version) == ("archive", "1.0")


def library(server: Any, name: str, version: str) -> None:
    from zipfile import ZipFile

    folder = server.folder / "simple" / name
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_what_it_needs_is_pinned_and_there_before_its_first_use(
    plugins: Any, index: Any, make_project: Make, tmp_path: Path
) -> None:
    for version in ("1.0", "1.5", "2.0"):
        library(index, "zzgreetings", version)
    project = make_project(dependencies=["zzgreetings<2"])
    plugins.done("install", str(project.folder), "--yes")
    assert plugins.lock.plugins["greet"].requirements == ["zzgreetings==1.5"]
    assert [path.read_text() for path in (tmp_path / "cache" / "hermes").rglob("zzgreetings.py")] == [
        "VERSION = '1.5'\n"
    ]
    (listed,) = [one for one in json.loads(plugins.done("list", "--json").out) if one["name"] == "greet"]
    assert (listed["state"], listed["problem"]) == ("enabled", "")


@pytest.mark.usefixtures("index")
def test_what_it_needs_and_cannot_be_had_is_told_before_anything_is_changed(plugins: Any, make_project: Make) -> None:
    project = make_project(dependencies=["zzmissing"])
    assert "zzmissing" in plugins.refused("install", str(project.folder), "--yes")
    clashing = make_project("clash", dependencies=["msgspec<0.1"])
    assert "msgspec" in plugins.refused("install", str(clashing.folder), "--yes")
