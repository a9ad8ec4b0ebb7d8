"""Brings a source into a staging folder: with git, over HTTP, from the package index, or by copying."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from hermes.config.home import host_environment
from hermes.contracts.errors import ConfigError, PluginError

from .archives import MAX_DOWNLOAD, copy_folder, unpack
from .programs import find_uv, have_pip, run
from .sources import ARCHIVES, Source
from .staging import file_hash

SIGNATURES = (".minisig", ".sigstore.json", ".pub")
VERSION_TAG = "refs/tags/v"
"""Before a version; where there is no such tag, it may be called as the version alone."""
_MAX_SIGNATURE = 1 << 20


class Fetched(NamedTuple):
    """``root``: its files; ``archive``: what was signed, if it was one; ``beside``: suffix → what lay beside it."""

    root: Path
    url: str
    commit: str = ""
    sha256: str = ""
    archive: Path | None = None
    beside: dict[str, bytes] = {}


def fetch(source: Source, new: Callable[[], Path], *, build: bool = False, sha256: str = "") -> Fetched:
    """``new`` gives names in the staging folder. ``sha256``: what a package's archive has to be.

    Raises:
        PluginError: it is not there, cannot be reached, or is refused.
        OSError: this machine could not write it.
    """
    match source.kind:
        case "git":
            fetched = _git(source, new)
        case "archive":
            fetched = _archive(source, new)
        case "folder":
            fetched = Fetched(new(), source.url)
            copy_folder(Path(source.place), fetched.root)
        case "package":
            return _package(source, new, build=build, sha256=sha256)
    return _built(source, fetched, new) if build else fetched


def _git(source: Source, new: Callable[[], Path]) -> Fetched:
    """The files as of one commit; nothing is ever checked out, so neither filters nor links nor hooks can act."""
    repository, archive, root = new(), new(), new()
    what = f"Fetching {source.place}"
    git = ["git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false"]
    git += ["-c", "submodule.recurse=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false"]
    ssh = host_environment().get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    environ = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": ssh, "GIT_ALLOW_PROTOCOL": _PROTOCOLS}
    run([*git, "init", "--quiet", "--bare", "--template=", str(repository)], what, environ=environ)
    inside = [*git, f"--git-dir={repository}"]
    fetching = [*inside, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"]
    fetching += ["--depth=1", "--", source.place]
    try:
        run([*fetching, source.ref or "HEAD"], what, environ=environ)
    except PluginError:
        if not source.ref.startswith(VERSION_TAG):
            raise
        run([*fetching, f"refs/tags/{source.ref.removeprefix(VERSION_TAG)}"], what, environ=environ)
    commit = run([*inside, "rev-parse", "--verify", "FETCH_HEAD^{commit}"], what).strip()
    tar = archive.with_name("source.tar")
    run([*inside, "archive", "--format=tar", f"--output={tar}", commit], what)
    unpack(tar, root)
    return Fetched(root, source.url, commit)


_PROTOCOLS = "https:http:ssh:git:file"


def _archive(source: Source, new: Callable[[], Path]) -> Fetched:
    path = urlsplit(source.place).path if "://" in source.place else source.place
    file = new().with_name(Path(unquote(path)).name)
    if not read_place(source.place, file, MAX_DOWNLOAD):
        raise PluginError(f"There is no {source.place}.", hint="Check the address.")
    beside: dict[str, bytes] = {}
    for suffix in SIGNATURES:
        scratch = new()
        if (suffix != ".pub" or beside) and read_place(f"{source.place}{suffix}", scratch, _MAX_SIGNATURE):
            beside[suffix] = scratch.read_bytes()
    return Fetched(_opened(file, new), source.url, sha256=file_hash(file), archive=file, beside=beside)


def _opened(file: Path, new: Callable[[], Path]) -> Path:
    root = new()
    if file.name.endswith(ARCHIVES):
        unpack(file, root)
    else:
        root.mkdir()
        shutil.copy(file, root / file.name)
    return root


def read_place(place: str, into: Path, limit: int) -> bool:
    """Copies a file or an address; False if there is none.

    Raises:
        PluginError: it is larger than ``limit`` bytes, or cannot be reached.
    """
    if place.startswith(("http://", "https://")):
        return _download(place, into, limit)
    path = Path(url2pathname(urlsplit(place).path) if place.startswith("file://") else place)
    if not path.is_file():
        return False
    if path.stat().st_size > limit:
        raise PluginError(f"{path} is larger than {limit >> 20} MB.", hint="Nothing was changed.")
    shutil.copyfile(path, into)
    return True


def _download(url: str, into: Path, limit: int) -> bool:
    import httpx2

    try:
        with httpx2.stream("GET", url, follow_redirects=True, timeout=30.0) as response, into.open("wb") as file:
            if response.status_code in (403, 404, 410):
                return False
            response.raise_for_status()
            if url.startswith("https:") and response.url.scheme != "https":
                raise PluginError(f"{url} leads to an address without encryption.", hint="Nothing was changed.")
            size = 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > limit:
                    raise PluginError(f"{url} is larger than {limit >> 20} MB.", hint="Nothing was changed.")
                file.write(chunk)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PluginError(f"{url} cannot be fetched: {error}", hint="Check the address and the network.") from None
    return True


def _package(source: Source, new: Callable[[], Path], *, build: bool, sha256: str) -> Fetched:
    """A wheel from the package index that pip or uv is set to, unpacked and not run."""
    requirement = source.place if "hermes" in source.place.lower() else f"hermes-plugin-{source.place}"
    if have_pip():
        return with_pip(requirement, new, build=build)
    if uv := find_uv():
        return with_uv(uv, requirement, new, build=build, sha256=sha256)
    raise PluginError("A package needs pip or uv.", hint="Install uv, or name an archive or a repository instead.")


def with_pip(requirement: str, new: Callable[[], Path], *, build: bool = False) -> Fetched:
    wheels = new()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    how = ["wheel", "--wheel-dir"] if build else ["download", "--only-binary", ":all:", "--dest"]
    run([*pip, how[0], "--quiet", "--no-deps", *how[1:], str(wheels), "--", requirement], f"Fetching {requirement}")
    (wheel,) = wheels.iterdir()
    return Fetched(_opened(wheel, new), wheel.name, sha256=file_hash(wheel), archive=wheel)


def with_uv(uv: str, requirement: str, new: Callable[[], Path], *, build: bool = False, sha256: str = "") -> Fetched:
    """uv downloads no archives; it tells their hashes, and installs only what has the one that we chose."""
    wheels, what = new(), f"Fetching {requirement}"
    wheels.mkdir()
    root, binary = wheels / "root", [] if build else ["--only-binary", ":all:"]
    asked = wheels / "asked.txt"
    asked.write_text(requirement + "\n")
    common = [uv, "pip", "--quiet", "--no-progress"]
    compiling = [*common, "compile", "--no-deps", *binary, "--format", "pylock.toml", "--no-header"]
    told = run([*compiling, "--python", sys.executable, str(asked)], what)
    (package,) = tomllib.loads(told)["packages"]
    name, digest = _fitting_wheel(package, build=build)
    if sha256 and sha256 != digest:
        raise PluginError(f"The package index has another {name} than the lock.", hint="Nothing was changed.")
    pinned = f"{package['name']}=={package['version']}"
    asked.write_text(pinned + (f" --hash=sha256:{digest}" if digest else "") + "\n")
    installing = [*common, "install", "--no-deps", *binary, *(["--require-hashes"] if digest else [])]
    installing += ["--link-mode", "copy", "--python", sys.executable, "--target", str(root), "-r", str(asked)]
    run(installing, what)
    shutil.rmtree(root / "bin", ignore_errors=True)
    return Fetched(root, name, sha256=digest)


def _fitting_wheel(package: dict[str, Any], *, build: bool) -> tuple[str, str]:
    """File name and SHA-256 of the wheel that is best for this Python."""
    from packaging.tags import sys_tags
    from packaging.utils import parse_wheel_filename

    order = {tag: place for place, tag in enumerate(sys_tags())}
    ranked = []
    for wheel in package.get("wheels", ()):
        name = wheel.get("name") or unquote(str(wheel.get("url") or wheel.get("path")).rpartition("/")[2])
        places = [order[tag] for tag in parse_wheel_filename(name)[3] if tag in order]
        if places:
            ranked.append((min(places), name, str(wheel.get("hashes", {}).get("sha256", ""))))
    if ranked:
        return min(ranked)[1:]
    if build:
        return f"{package['name']}-{package['version']}", ""
    raise PluginError(f"{package['name']} has no wheel for this Python.", hint="Add --build to run its build here.")


def _built(source: Source, fetched: Fetched, new: Callable[[], Path]) -> Fetched:
    """Its wheel, by running its build: only if the person said so."""
    wheels, folder = new(), fetched.root / source.subdirectory
    only = [entry for entry in folder.iterdir() if entry.is_dir()]
    if not (folder / "pyproject.toml").is_file() and len(only) == 1:
        folder = only[0]
    if not (folder / "pyproject.toml").is_file():
        raise ConfigError(f"There is no pyproject.toml in {source.text}.", hint="Install it without --build.")
    what = f"Building {source.text}"
    if uv := find_uv():
        run(
            [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(wheels), str(folder)], what
        )
    else:
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(wheels), str(folder)], what)
    (wheel,) = wheels.glob("*.whl")
    return fetched._replace(root=_opened(wheel, new))
