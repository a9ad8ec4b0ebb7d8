"""Unpacks archives of strangers: nothing lands outside, nothing grows without end, nothing is but files and folders."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from hermes.contracts.errors import PluginError

MAX_DOWNLOAD = 100 * 1024 * 1024
MAX_BYTES = 256 * 1024 * 1024
MAX_FILES = 10_000
CHUNK = 1 << 16

_IGNORED = frozenset({".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", ".tox"})
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile),
    *(EOFError, RuntimeError, UnicodeError, NotImplementedError),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Member(NamedTuple):
    name: str
    kind: str
    """``file``, ``folder``, ``link``, or what else it is."""
    executable: bool = False
    target: str = ""
    content: IO[bytes] | None = None


def unpack(archive: Path, into: Path) -> None:
    """Unpacks a tar, a zip or a wheel into a new folder. Links that stay within it become copies of files.

    Raises:
        PluginError: the archive is broken, too large, or holds what must not be there; the sentence names it.
        OSError: this machine could not write it.
    """
    into.mkdir()
    try:
        if archive.name.endswith((".zip", ".whl")):
            with zipfile.ZipFile(archive) as opened:
                _unpack(_zip_members(opened), into, archive.name)
        else:
            with archive.open("rb") as file, _Bounded(file, archive.name) as content:
                with tarfile.open(fileobj=content, mode="r:") as tar:
                    _unpack(_tar_members(tar), into, archive.name)
    except _BROKEN as error:
        raise PluginError(f"{archive.name} is broken: {error}.", hint="Fetch it again, or tell its author.") from None


class _Bounded(io.RawIOBase):
    """A tar, unzipped if need be. A header may not ask for more than a whole archive may hold."""

    def __init__(self, file: IO[bytes], origin: str) -> None:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._content: Any = gzip.GzipFile(fileobj=file) if zipped else file
        self._origin = origin

    def read(self, size: int = -1) -> bytes:
        self._check(self._content.tell() + max(size, 0))
        return bytes(self._content.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset)
        return int(self._content.seek(offset, whence))

    def tell(self) -> int:
        return int(self._content.tell())

    def _check(self, position: int) -> None:
        if position > MAX_BYTES + MAX_FILES * 1024:
            raise _refused(self._origin, f"it unpacks to more than {MAX_BYTES >> 20} MB")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        name = info.orig_filename.removesuffix("/") if info.is_dir() else info.orig_filename
        if info.flag_bits & 1:
            yield _Member(name, "encrypted")
        elif stat.S_ISLNK(mode):
            yield _Member(name, "link", target=_link_target(archive, info))
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield _Member(name, "a device")
        elif info.is_dir():
            yield _Member(name, "folder")
        else:
            with archive.open(info) as content:
                yield _Member(name, "file", bool(mode & 0o100), content=content)


def _link_target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as content:
        return content.read(4096).decode("utf-8", "replace")


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        if info.issym():
            yield _Member(info.name, "link", target=info.linkname)
        elif info.isdir():
            yield _Member(info.name, "folder")
        elif info.isreg():
            yield _Member(info.name, "file", bool(info.mode & 0o100), content=archive.extractfile(info))
        else:
            yield _Member(info.name, "a hard link" if info.islnk() else "a device")


def _unpack(members: Iterator[_Member], into: Path, origin: str) -> None:
    seen: dict[str, str] = {}
    links: list[tuple[str, str]] = []
    left = MAX_BYTES
    for member in members:
        name = _safe_name(member.name, origin)
        if name in ("", "."):
            continue
        _note(seen, name, member.kind, origin)
        if len(seen) > MAX_FILES:
            raise _refused(origin, f"it holds more than {MAX_FILES} files")
        place = into / name
        if member.kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
        elif member.kind == "file" and member.content is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            left -= _write(member.content, place, left, origin)
            place.chmod(0o755 if member.executable else 0o644)
        elif member.kind == "link":
            links.append((name, member.target))
        else:
            raise _refused(origin, f"{name!r} is {member.kind}")
    _copy_links(links, into, origin)


def _safe_name(name: str, origin: str) -> str:
    """The name as a relative path of ``/`` only."""
    if _CONTROL.search(name) or "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refused(origin, f"the name {name!r} leads outside")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(origin, f"the name {name!r} leads outside")
    return "/".join(parts)


def _note(seen: dict[str, str], name: str, kind: str, origin: str) -> None:
    """Keeps names apart that some file systems hold for one."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        part, leaf = "/".join(parts[:depth]), depth == len(parts) and kind != "folder"
        spelled = part if leaf else f"{part}/"
        key = unicodedata.normalize("NFC", part).casefold()
        if seen.get(key, spelled) != spelled:
            raise _refused(origin, f"{seen[key]!r} and {spelled!r} are the same name on some disks")
        if leaf and key in seen:
            raise _refused(origin, f"it holds {name!r} twice")
        seen[key] = spelled


def _write(content: IO[bytes], place: Path, left: int, origin: str) -> int:
    written = 0
    with place.open("xb") as file:
        while chunk := content.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise _refused(origin, f"it unpacks to more than {MAX_BYTES >> 20} MB")
            file.write(chunk)
    return written


def _copy_links(links: list[tuple[str, str]], into: Path, origin: str) -> None:
    """After all else, so that nothing can be written through one. A link to a folder is left out."""
    for name, target in links:
        aim = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if target.startswith("/") or aim == ".." or aim.startswith("../") or "\0" in target:
            raise _refused(origin, f"the link {name!r} leads outside, to {target!r}")
        if (into / aim).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(into / aim, into / name)


def copy_folder(folder: Path, into: Path) -> None:
    """Copies a person's own folder, without version control, environments and caches. Links within it become copies.

    Raises:
        PluginError: a link leads outside, something is neither file nor folder, or it is too large.
    """
    root, files, left = folder.resolve(), 0, MAX_BYTES
    into.mkdir()
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _IGNORED and not (Path(place) / name).is_symlink())
        for name in sorted(names):
            path = Path(place) / name
            inner = path.relative_to(root)
            if not path.resolve().is_relative_to(root):
                raise _refused(str(folder), f"the link {str(inner)!r} leads outside")
            if not path.is_file():
                raise _refused(str(folder), f"{str(inner)!r} is no file")
            files, left = files + 1, left - path.stat().st_size
            if files > MAX_FILES or left < 0:
                raise _refused(str(folder), f"it holds more than {MAX_FILES} files or {MAX_BYTES >> 20} MB")
            (into / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / inner)
            (into / inner).chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _refused(origin: str, why: str) -> PluginError:
    return PluginError(f"{origin} is refused: {why}.", hint="Nothing was changed. Tell its author, or do not trust it.")
