"""All or nothing: what is fetched lies in a staging folder, and one rename of the lock makes it count.

A tree that the lock does not name is a leftover. Whoever holds the home's lock may clean leftovers away.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hermes.config.home import Home
from hermes.contracts.errors import HermesError, PluginError
from hermes.plugins.announcements import ask_for_reload
from hermes.plugins.lock import LockedPlugin, PluginsLock, package_folder, read_lock, write_lock

from .text import plain

Listing = dict[str, str]
"""Path within a tree → SHA-256 of the file's content."""

_ASIDE = ".replaced"


def list_files(folder: Path) -> Listing:
    """Of every file, sorted. Python's bytecode caches do not count.

    Raises:
        PluginError: there is something that is neither file nor folder.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for path in [Path(place) / name for name in (*names, *folders)]:
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise PluginError(f"{path} is a link or a device.", hint="Install the plugin again.")
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = file_hash(path)
    return dict(sorted(found.items()))


def file_hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _canonical(listing: Mapping[str, str]) -> bytes:
    return msgspec.json.encode(dict(sorted(listing.items())))


def tree_hash(listing: Mapping[str, str]) -> str:
    return hashlib.sha256(_canonical(listing)).hexdigest()


def _listing_file(packages: Path, locked: LockedPlugin) -> Path:
    folder = package_folder(packages, locked)
    return folder.with_name(f"{folder.name}.files")


def installed_listing(packages: Path, locked: LockedPlugin) -> Listing:
    """What was installed, by the listing that was written then; empty if that is gone or was changed."""
    try:
        listing = msgspec.json.decode(_listing_file(packages, locked).read_bytes(), type=Listing)
    except (OSError, msgspec.DecodeError):
        return {}
    return listing if tree_hash(listing) == locked.tree else {}


def changed_by_hand(packages: Path, locked: LockedPlugin) -> list[str]:
    """How the installed tree differs from the lock, a sentence each; empty if it does not."""
    folder = package_folder(packages, locked)
    if not folder.is_dir():
        return [f"{folder} is gone."]
    try:
        found = list_files(folder)
    except (PluginError, OSError) as error:
        return [str(error)]
    if tree_hash(found) == locked.tree:
        return []
    known = installed_listing(packages, locked)
    return differences(known, found) if known else [f"{folder} is not what was installed."]


def differences(old: Listing, new: Listing) -> list[str]:
    marks = [(path, "removed" if path not in new else "added" if path not in old else "changed") for path in old | new]
    return [f"{path}: {mark}" for path, mark in sorted(marks) if old.get(path) != new.get(path)]


class Staging:
    """A folder of a home in which things are prepared. ``folder`` is gone afterwards, whatever happens."""

    def __init__(self, home: Home, folder: Path) -> None:
        self._home = home
        self.folder = folder

    def new(self) -> Path:
        """A name in the staging folder that nobody has yet."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / "x"

    def commit(self, lock: PluginsLock, trees: Mapping[str, Path]) -> None:
        """Moves the trees (plugin → folder) into place, writes the lock, and removes what it names no more.

        Programs that run take up what changed before their next turn.
        """
        packages = self._home.packages
        before = read_lock(self._home.plugins_lock).plugins
        try:
            for name, tree in trees.items():
                _move(tree, packages, lock.plugins[name])
            write_lock(self._home.plugins_lock, lock)
            ask_for_reload(self._home.run, sorted({*trees, *(set(before) - set(lock.plugins))}))
        finally:
            _clean_trees(self._home)


def _move(tree: Path, packages: Path, locked: LockedPlugin) -> None:
    place = package_folder(packages, locked)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listing = _listing_file(packages, locked)
    scratch = tree.with_name("files")
    scratch.write_bytes(_canonical(list_files(tree)))
    os.replace(scratch, listing)
    if place.exists():  # the same tree, perhaps changed by hand since
        os.replace(place, place.with_name(place.name + _ASIDE))
    os.replace(tree, place)


@contextlib.contextmanager
def staging(home: Home) -> Iterator[Staging]:
    """A staging folder, for one command at a time.

    Raises:
        PluginError: another command is at work, or the home cannot be written.
    """
    home.make()
    with _alone(home):
        clean(home)
        try:
            folder = Path(tempfile.mkdtemp(prefix="packages.staging-", dir=home.path))
        except OSError as error:
            raise PluginError(
                f"{home.path} cannot be written: {error.strerror}.", hint="Nothing was changed. Mend it, and try again."
            ) from None
        try:
            yield Staging(home, folder)
        except HermesError as error:
            error.args = (plain(error, 4000, keep="\n"),)
            raise
        except OSError as error:
            raise PluginError(
                f"It cannot be written: {error.filename or home.path}: {error.strerror}.",
                hint="Nothing was changed. Check the disk's space and the home's permissions: hermes doctor",
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """The kernel gives the lock back when the process dies, however it dies."""
    descriptor = os.open(home.path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise PluginError(
            "Another command is installing, updating or removing plugins in this home.", hint="Wait until it is done."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def clean(home: Home) -> None:
    """Removes what a killed command left: staging folders, trees without a lock. Not being able to is no error."""
    for folder in home.path.glob("packages.staging-*"):
        shutil.rmtree(folder, ignore_errors=True)
    _clean_trees(home)


def _clean_trees(home: Home) -> None:
    for scratch in home.path.glob(f"{home.plugins_lock.name}.[0-9]*"):
        _unlink(scratch)
    kept = {
        path
        for locked in read_lock(home.plugins_lock).plugins.values()
        for path in (package_folder(home.packages, locked), _listing_file(home.packages, locked))
    }
    for path in sorted(home.packages.glob("*/*")):
        original = path.with_name(path.name.removesuffix(_ASIDE))
        if path in kept:
            continue
        if original != path and original in kept and not original.exists():
            with contextlib.suppress(OSError):
                os.replace(path, original)  # killed between the two renames
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            _unlink(path)
    for folder in [*home.packages.glob("*"), home.packages]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
