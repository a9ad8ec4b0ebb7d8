"""Archives of people who mean no good, and manifests that lie. Each is refused, and the home is as it was."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import PluginError
from hermes_plugin_installer import archives
from hermes_plugin_installer.archives import copy_folder, unpack

Make = Callable[..., Any]
Members = Iterable[tuple[tarfile.TarInfo, bytes]]


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(file: Path, members: Members) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file


def zipped(file: Path, members: Iterable[tuple[str, bytes, int]]) -> Path:
    """Name, content, mode."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return file


MANIFEST = entry("x/plugin.yaml", b"name: greet\n")
HOSTILE_TARS: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "parent": ([entry("x/../../evil", b"x")], "leads outside"),
    "absolute": ([entry("/tmp/evil", b"x")], "leads outside"),
    "windows": ([entry("C:/evil", b"x")], "leads outside"),
    "backslash": ([entry("..\\evil", b"x")], "leads outside"),
    "newline": ([entry("x/a\nb", b"x")], "leads outside"),
    "symlink out": ([entry("x/a", type=tarfile.SYMTYPE, linkname="../../etc/passwd")], "leads outside"),
    "symlink absolute": ([entry("x/a", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "leads outside"),
    "through a symlink": (
        [entry("x/a", type=tarfile.SYMTYPE, linkname=".."), entry("x/a/../evil", b"x")],
        "leads outside",
    ),
    "hard link": ([entry("x/a", type=tarfile.LNKTYPE, linkname="/etc/passwd")], "is a hard link"),
    "device": ([entry("x/a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)], "is a device"),
    "pipe": ([entry("x/a", type=tarfile.FIFOTYPE)], "is a device"),
    "twice": ([entry("x/a", b"1"), entry("x/a", b"2")], "twice"),
    "case": ([entry("x/a.py", b"1"), entry("x/A.py", b"2")], "same name on some disks"),
    "folder case": ([entry("x/lib/a", b"1"), entry("x/LIB/b", b"2")], "same name on some disks"),
    "unicode": ([entry("x/é", b"1"), entry("x/e\u0301", b"2")], "same name on some disks"),
    "file as folder": ([entry("x/a", b"1"), entry("x/a/b", b"2")], "same name on some disks"),
}


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_a_hostile_tar_is_refused(tmp_path: Path, name: str) -> None:
    members, told = HOSTILE_TARS[name]
    archive = tar(tmp_path / "x.tar.gz", [MANIFEST, *members])
    with pytest.raises(PluginError, match=told):
        unpack(archive, tmp_path / "into")
    assert not (tmp_path / "evil").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar.gz", "into"}


LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644
HOSTILE_ZIPS = {
    "parent": ([("../evil", b"x", 0)], "leads outside"),
    "absolute": ([("/evil", b"x", 0)], "leads outside"),
    "backslash": ([("..\\evil", b"x", 0)], "leads outside"),
    "symlink out": ([("x/a", b"../../evil", LINK)], "leads outside"),
    "pipe": ([("x/a", b"", PIPE)], "is a device"),
    "case": ([("x/a", b"1", 0), ("x/A", b"2", 0)], "same name on some disks"),
}


@pytest.mark.parametrize("name", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused(tmp_path: Path, name: str) -> None:
    members, told = HOSTILE_ZIPS[name]
    with pytest.raises(PluginError, match=told):
        unpack(zipped(tmp_path / "x.zip", members), tmp_path / "into")
    assert not (tmp_path / "evil").exists()


def test_a_zip_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(tmp_path / "x.zip", [("x/a", b"1", 0), ("x/a", b"2", 0)])
    with pytest.raises(PluginError, match="twice"):
        unpack(archive, tmp_path / "into")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_bomb_is_stopped_before_it_fills_the_disk(tmp_path: Path, suffix: str) -> None:
    archive, block = tmp_path / f"bomb{suffix}", b"\0" * (1 << 20)
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened, opened.open("big", "w") as member:
            for _ in range((archives.MAX_BYTES >> 20) + 8):
                member.write(block)
    else:
        info = tarfile.TarInfo("big")
        info.size = 8 << 40
        with gzip.open(archive, "wb", compresslevel=1) as opened:
            opened.write(info.tobuf())
            for _ in range((archives.MAX_BYTES >> 20) + 8):
                opened.write(block)
    assert archive.stat().st_size < 4 << 20
    with pytest.raises(PluginError, match=r"unpacks to more than"):
        unpack(archive, tmp_path / "into")
    assert sum(path.stat().st_size for path in (tmp_path / "into").rglob("*")) <= archives.MAX_BYTES


def test_a_header_may_not_ask_for_all_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 4 << 30
    with gzip.open(tmp_path / "x.tar.gz", "wb") as opened:
        opened.write(info.tobuf())
    with pytest.raises(PluginError, match="unpacks to more than"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "into")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "x.tar.gz", (entry(f"x/{number}") for number in range(archives.MAX_FILES + 1)))
    with pytest.raises(PluginError, match="more than 10000 files"):
        unpack(archive, tmp_path / "into")


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08broken", b"PK\x03\x04broken"])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".whl"])
def test_a_broken_archive_is_told(tmp_path: Path, data: bytes, suffix: str) -> None:
    archive = tmp_path / f"x{suffix}"
    archive.write_bytes(data)
    with pytest.raises(PluginError, match="is broken"):
        unpack(archive, tmp_path / "into")


def test_links_within_become_copies_and_modes_are_plain(tmp_path: Path) -> None:
    members = [
        entry("x/real", b"text", mode=0o4755),
        entry("x/link", type=tarfile.SYMTYPE, linkname="real"),
        entry("x/dir", type=tarfile.SYMTYPE, linkname="."),
    ]
    into = tmp_path / "into"
    unpack(tar(tmp_path / "x.tar.gz", members), into)
    assert (into / "x" / "link").read_bytes() == b"text"
    assert not [path for path in into.rglob("*") if path.is_symlink()]
    assert stat.S_IMODE((into / "x" / "real").stat().st_mode) == 0o755
    assert not (into / "x" / "dir").exists()


def test_a_folder_is_copied_without_what_leads_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("x")
    (folder / "a").write_text("a")
    (folder / "b").symlink_to("a")
    copy_folder(folder, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["a", "b"]
    assert not (tmp_path / "copy" / "b").is_symlink()
    (folder / "c").symlink_to("/etc/passwd")
    with pytest.raises(PluginError, match="leads outside"):
        copy_folder(folder, tmp_path / "again")
    (folder / "c").unlink()
    os.mkfifo(folder / "d")
    with pytest.raises(PluginError, match="is no file"):
        copy_folder(folder, tmp_path / "once-more")


def test_through_the_command_line_the_home_stays_as_it_was(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    plugins.done("install", str(make_project("other").folder), "--yes")
    for name, (members, told) in HOSTILE_TARS.items():
        if name in ("parent", "symlink out", "hard link", "twice"):
            assert told in plugins.refused("install", str(tar(tmp_path / "x.tar.gz", members)), "--yes")


MANIFESTS = {
    "empty": (b"", "plugin.yaml: Expected"),
    "no mapping": (b"- a\n- b\n", "plugin.yaml: Expected"),
    "no YAML": (b"a: [", "is not YAML"),
    "no text": (b"\xff\xfe\x00", "is no text"),
    "unknown field": (b"name: x\nsteal: yes\n", "steal"),
    "no name": (b"name: ../../x\n", "is no name for a plugin"),
    "huge": (b"name: x\n#" + b"x" * (1 << 20), "is larger than"),
    "deep": (b"name: " + b"[" * 100_000, "nested deeper"),
    "laughs": (
        b"name: x\nprovides:\n  a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
        + b"".join(f"  a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n".encode() for n in range(1, 12)),
        "YAML aliases",
    ),
    "another name": (b"name: files\n", "its manifest says it is"),
    "escapes": (b'"steal\\e[2J": 1\nname: x\n', "steal?[2J"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_lies_or_is_none_is_refused(plugins: Any, make_project: Make, name: str) -> None:
    data, told = MANIFESTS[name]
    project = make_project()
    (project.folder / "src" / project.module / "plugin.yaml").write_bytes(data)
    assert told in plugins.refused("install", str(project.folder), "--yes")


def test_several_plugins_are_named_and_one_is_asked_for(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_project(name, folder=tmp_path / "many" / "plugins" / name)
    said = plugins.refused("install", str(tmp_path / "many"), "--yes")
    assert "There are 2 plugins" in said
    assert "plugins/one, plugins/two" in said
    plugins.done("install", f"{tmp_path / 'many'}#subdirectory=plugins/two", "--yes")
    assert list(plugins.lock.plugins) == ["two"]
    assert "There is no plugin in" in plugins.refused("install", str(make_empty(tmp_path)), "--yes")


def make_empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    (folder / "empty" / "setup.py").write_text("raise SystemExit('run')\n")
    return folder / "empty"


@pytest.mark.parametrize("module", ["hermes", "json", "sitecustomize"])
def test_a_module_may_not_hide_pythons_or_hermess(plugins: Any, make_project: Make, module: str) -> None:
    project = make_project()
    (project.folder / "src" / module).mkdir()
    (project.folder / "src" / module / "__init__.py").write_text("")
    (project.folder / "src" / "evil.pth").write_text("import os\n")
    assert f"a module '{module}'" in plugins.refused("install", str(project.folder), "--yes")
    (project.folder / "src" / module / "__init__.py").unlink()
    (project.folder / "src" / module).rmdir()
    plugins.done("install", str(project.folder), "--yes")
    assert not list((plugins.home / "packages").rglob("*.pth"))
