"""Plugin indexes: JSON, over HTTP or in folders, that says where plugins are and pins what will be found there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import msgspec
from packaging.version import InvalidVersion, Version

from hermes.contracts.errors import PluginError
from hermes.plugins.manifest import Manifest, Permissions

MAX_INDEX = 8 * 1024 * 1024
FILE = "index.json"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One version of a plugin. ``source``: as for ``plugins install``, or an archive's path beside the index."""

    name: str
    source: str
    description: str = ""
    version: str = ""
    commit: str = ""
    sha256: str = ""
    api: int = 1
    provides: dict[str, Any] = {}
    permissions: Permissions = Permissions()
    signature: str = ""
    """The text of the ``.minisig``."""
    key: str = ""
    """The public key that it can be verified with, for those who do not know it yet."""
    homepage: str = ""


class IndexFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    plugins: list[Entry] = []


class Listed(NamedTuple):
    """An entry; ``place``: the index that has it."""

    entry: Entry
    place: str


class _Kept(msgspec.Struct, frozen=True):
    """An answer of a server, kept for as long as its ETag holds."""

    etag: str
    body: bytes


def provided(manifest: Manifest) -> dict[str, Any]:
    """What a manifest provides, without the schemas: contract → names."""
    return {
        contract: sorted(str(name) for name in names) if isinstance(names, dict | list) else names
        for contract, names in manifest.provides.items()
    }


def load_indexes(places: Sequence[str], cache: Path) -> tuple[list[Listed], list[PluginError]]:
    """All entries of all indexes, and what is wrong with those that could not be read."""
    found, problems = [], []
    for place in places:
        try:
            found += [Listed(entry, place) for entry in _load(place, cache)]
        except PluginError as error:
            problems.append(error)
    return found, problems


def _load(place: str, cache: Path) -> list[Entry]:
    body = _get(place, cache) if place.startswith(("http://", "https://")) else _read(place)
    try:
        index = msgspec.json.decode(body, type=IndexFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PluginError(
            f"{place} is no plugin index: {error}.", hint="Check installer.index in the settings."
        ) from None
    if index.format > 1:
        raise PluginError(f"{place} is of a newer format.", hint="Upgrade Hermes: pip install --upgrade hermes-agent")
    return [msgspec.structs.replace(entry, source=_resolved(entry.source, place)) for entry in index.plugins]


def _read(place: str) -> bytes:
    path = Path(place.removeprefix("file://")).expanduser()
    path = path / FILE if path.is_dir() else path
    try:
        if path.stat().st_size > MAX_INDEX:
            raise _too_large(place)
        return path.read_bytes()
    except OSError as error:
        raise PluginError(
            f"The plugin index {path} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None


def _too_large(place: str) -> PluginError:
    return PluginError(f"The plugin index {place} is larger than {MAX_INDEX >> 20} MB.", hint="Do not use it.")


def _get(url: str, cache: Path) -> bytes:
    import httpx2

    file = cache / "plugin-indexes" / hashlib.sha256(url.encode()).hexdigest()
    kept = _kept(file)
    headers = {"If-None-Match": kept.etag} if kept else {}
    try:
        with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=10.0) as response:
            if response.status_code == 304 and kept:
                return kept.body
            response.raise_for_status()
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_INDEX:
                    raise _too_large(url)
            etag = response.headers.get("etag", "")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PluginError(f"The plugin index {url} cannot be reached: {error}", hint="Check the network.") from None
    if etag:
        _keep(file, _Kept(etag, bytes(body)))
    return bytes(body)


def _kept(file: Path) -> _Kept | None:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _keep(file: Path, kept: _Kept) -> None:
    """A cache that cannot be written is only a slower search."""
    scratch = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.write_bytes(msgspec.msgpack.encode(kept))
        os.replace(scratch, file)
    except OSError:
        scratch.unlink(missing_ok=True)


def _resolved(source: str, index: str) -> str:
    """``./archive.tar.gz`` of an entry as an address or a path."""
    if source.startswith("./"):
        if index.startswith(("http://", "https://")):
            return urljoin(index, source)
        path = Path(index.removeprefix("file://")).expanduser().absolute()
        return os.path.normpath((path if path.is_dir() else path.parent) / source)
    return source


def choose(listed: Iterable[Listed], name: str, version: str = "") -> Listed | None:
    """The newest entry of that name, or the one of that version; of equal ones, that of the first index."""
    fitting = [found for found in listed if found.entry.name == name and version in ("", found.entry.version)]
    return max(fitting, key=lambda found: sortable(found.entry.version), default=None)


def sortable(version: str) -> Version:
    """What is no version is older than all."""
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0.dev0")


def check_entry(entry: Entry, manifest: Manifest, version: str, commit: str, sha256: str) -> None:
    """Raises PluginError: the index said something else than what was fetched."""
    pairs = {
        "name": (entry.name, manifest.name),
        "version": (entry.version or version, version),
        "commit": (entry.commit or commit, commit),
        "SHA-256": (entry.sha256 or sha256, sha256),
        "plugin API": (entry.api, manifest.api),
        "permissions": (entry.permissions, manifest.permissions),
        "contents": (entry.provides, provided(manifest)),
    }
    for what, (said, found) in pairs.items():
        if said != found:
            raise PluginError(
                f'The index is wrong about "{entry.name}": it says {what} {_shown(said)}, and it is {_shown(found)}.',
                plugin=entry.name,
                hint="Nothing was changed. Do not install it; tell those who keep the index.",
            )


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:300] or "nothing"


def matching(listed: Iterable[Listed], words: Sequence[str]) -> list[Listed]:
    """The newest version of each plugin in which all the words are found, by name."""
    newest: dict[str, Listed] = {}
    for found in listed:
        text = f"{found.entry.name} {found.entry.description} {found.entry.provides}".casefold()
        best = newest.get(found.entry.name)
        if all(word.casefold() in text for word in words):
            newest[found.entry.name] = (best and choose([best, found], found.entry.name)) or found
    return [newest[name] for name in sorted(newest)]
