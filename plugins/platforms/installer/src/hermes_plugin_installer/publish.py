"""A plugin as an archive that anybody can make again byte for byte, and its entry for an index."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import msgspec

from hermes.contracts.errors import PluginError

from .finding import Found, find_plugin
from .indexes import FILE, Entry, IndexFile, provided
from .programs import run
from .signatures import read_key, verify_minisign
from .staging import file_hash

_BESIDE = ("pyproject.toml", "README", "LICENSE", "LICENCE", "COPYING", "NOTICE", "CHANGELOG")
_LEFT_OUT = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def publish_plugin(path: Path, folder: Path | None, key: Path | None) -> Entry:
    """Checks the plugin; with ``folder``, writes its archive and its entry there. ``key``: signs it, with minisign.

    Raises:
        PluginError: something that others need is missing, or that version is published already with other contents.
    """
    root = path.resolve() if path.is_dir() else path.resolve().parent
    found = _find(path.resolve(), root)
    _check(found)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{found.manifest.name}-{found.version}.tar.gz"
        archive.write_bytes(make_archive(found))
        entry = Entry(
            name=found.manifest.name,
            source=f"./{archive.name}",
            description=found.manifest.description or found.project.description,
            version=found.version,
            sha256=file_hash(archive),
            api=found.manifest.api,
            provides=provided(found.manifest),
            permissions=found.manifest.permissions,
            homepage=found.project.homepage,
        )
        if key is not None:
            entry = _sign(entry, archive, key)
        if folder is not None:
            _write(entry, archive, folder)
    return entry


def _find(path: Path, root: Path) -> Found:
    if path.is_dir():
        return find_plugin(root, str(path))
    with tempfile.TemporaryDirectory() as scratch:  # one file among others is looked at alone
        (Path(scratch) / path.name).write_bytes(path.read_bytes())
        return find_plugin(Path(scratch), str(path))._replace(place=path, project_folder=path.parent)


def _check(found: Found) -> None:
    folder, missing = found.project_folder, []
    if not found.version:
        missing.append("a version (in plugin.yaml, or in pyproject.toml)")
    if not (found.manifest.description or found.project.description):
        missing.append("a description (in plugin.yaml)")
    if found.place.is_dir() and not any(folder.glob("README*")):
        missing.append("a README")
    if (
        found.place.is_dir()
        and not found.project.license
        and not any([*folder.glob("LICEN[SC]E*"), *folder.glob("COPYING*")])
    ):
        missing.append("a license (a file LICENSE)")
    if missing:
        raise PluginError(
            f'"{found.manifest.name}" lacks {", ".join(missing)}.',
            plugin=found.manifest.name,
            hint="Nothing was written.",
        )


def make_archive(found: Found) -> bytes:
    """A ``.tar.gz``: sorted, of nobody, from the beginning of time; of equal files, equal bytes."""
    top = f"{found.manifest.name}-{found.version}"
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="wb", mtime=0, filename="") as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(_files(found), key=lambda file: file.relative_to(found.project_folder).as_posix()):
                content = path.read_bytes()
                info = tarfile.TarInfo(f"{top}/{path.relative_to(found.project_folder).as_posix()}")
                info.size, info.mode = len(content), 0o755 if os.access(path, os.X_OK) else 0o644
                tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def _files(found: Found) -> list[Path]:
    """The plugin and what tells about it; tests and tools of its project are not needed to use it."""
    folder = found.project_folder
    if found.place.is_file() and found.place.name != "plugin.yaml":
        return [found.place]
    package = found.place if found.place.is_dir() else found.place.parent
    code = package.parent if package.parent.name == "src" and package.parent.parent == folder else package
    beside = [path for path in folder.iterdir() if path.is_file() and path.name.startswith(_BESIDE)]
    inside = [
        path
        for path in code.rglob("*")
        if path.is_file() and _LEFT_OUT.isdisjoint(path.relative_to(code).parts) and path.suffix != ".pyc"
    ]
    return list(dict.fromkeys([*beside, *inside]))


def _sign(entry: Entry, archive: Path, key: Path) -> Entry:
    """minisign itself asks for the key's password, where it has one."""
    signature = archive.with_name(f"{archive.name}.minisig")
    comment = f"{entry.name} {entry.version}"
    run(["minisign", "-S", "-s", str(key), "-m", str(archive), "-x", str(signature), "-t", comment], "Signing")
    text, public = signature.read_text(), key.with_suffix(".pub")
    if not public.is_file():
        return msgspec.structs.replace(entry, signature=text)
    known = read_key(public.read_text())
    if verify_minisign(archive, text, [known]) is None:
        raise PluginError(f"{public} is not the public key of {key}.", hint="Nothing was written.")
    return msgspec.structs.replace(entry, signature=text, key=known.text)


def _write(entry: Entry, archive: Path, folder: Path) -> None:
    """The archive first, so that the index never names what is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    try:
        index = msgspec.json.decode(file.read_bytes(), type=IndexFile) if file.exists() else IndexFile()
    except msgspec.DecodeError as error:
        raise PluginError(f"{file} is no plugin index: {error}.", hint="Nothing was written. Mend it first.") from None
    others = []
    for known in index.plugins:
        if (known.name, known.version) != (entry.name, entry.version):
            others.append(known)
        elif known.sha256 != entry.sha256:
            raise PluginError(
                f"{entry.name} {entry.version} is published already, with other contents.",
                plugin=entry.name,
                hint="Give it a new version: those who have installed it rely on its hash.",
            )
    _replace(folder / archive.name, archive.read_bytes())
    if entry.signature:
        _replace(folder / f"{archive.name}.minisig", entry.signature.encode())
    plugins = sorted([*others, entry], key=lambda one: (one.name, one.version))
    _replace(file, msgspec.json.format(msgspec.json.encode(IndexFile(plugins=plugins)), indent=2) + b"\n")


def _replace(file: Path, data: bytes) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        scratch.write_bytes(data)
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
