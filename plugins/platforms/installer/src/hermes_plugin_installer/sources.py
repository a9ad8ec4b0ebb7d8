"""What a person may write behind ``hermes plugins install``, taken apart."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, urldefrag, urlsplit, urlunsplit

from hermes.contracts.errors import ConfigError

ARCHIVES = (".tar.gz", ".tgz", ".zip", ".whl")
SINGLE_FILES = (".py", ".yaml", ".yml")

SourceKind = Literal["package", "git", "archive", "folder"]


class Source(NamedTuple):
    """``text``: as written. ``place``: a requirement, a clone address, an archive's address or path, a folder."""

    kind: SourceKind
    text: str
    place: str
    ref: str = ""
    subdirectory: str = ""

    @property
    def url(self) -> str:
        """What is kept in the lock: enough to fetch it again, together with the commit."""
        return f"{self.place}#subdirectory={self.subdirectory}" if self.subdirectory else self.place

    @property
    def origin(self) -> str:
        """The same for every version of it."""
        if self.kind == "package":
            return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[ ;@]", self.place)[0]).lower()
        if self.kind == "archive":
            return self.place.rpartition("/")[0]
        return self.url.removesuffix("/").removesuffix(".git")


_SHORTHAND = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)(?P<sub>(?:/[\w.-]+)*)(?:@(?P<ref>[\w./-]+))?"
)
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?(?: *(?:==|>=|<=|~=|!=|<|>)[\w.*+!<>=~, -]+)?")


def parse_source(text: str, github: str, *, local: bool = True) -> Source:
    """``github``: the address or folder under which ``owner/repo`` is found; ``local``: paths of this machine, too.

    Raises:
        ConfigError: it is nothing that can be installed.
    """
    text = text.strip()
    if text.removeprefix("git+").startswith(("http://", "https://", "ssh://", "git@", "git://")):
        return _address(text)
    if local and text.removeprefix("git+").startswith("file://"):
        return _address(text)
    if local and text and (found := _local(text)):
        return found
    if match := _SHORTHAND.fullmatch(text):
        base = github if "://" in github else os.path.abspath(os.path.expanduser(github))
        place = f"{base.rstrip('/')}/{match['repo'].removesuffix('.git')}"
        place += ".git" if "://" in base or os.path.isdir(f"{place}.git") else ""
        return Source("git", text, place, _ref(match["ref"] or ""), _inner(match["sub"].strip("/")))
    if _PACKAGE.fullmatch(text) and not text.endswith((*ARCHIVES, *SINGLE_FILES)):
        return Source("package", text, text.replace(" ", ""))
    raise ConfigError(
        f"{text!r} is no source of a plugin.",
        hint="Give a package's name, owner/repo, a git address, an archive (.whl .tar.gz .tgz .zip) or a folder.",
    )


def _address(text: str) -> Source:
    place, fragment = urldefrag(text)
    if text.startswith("git+") or not urlsplit(place).path.endswith((*ARCHIVES, *SINGLE_FILES)):
        return _git(text)
    _check_password(place)
    return Source("archive", text, place, subdirectory=_subdirectory(fragment))


def _local(text: str) -> Source | None:
    """A path, if it looks like one or is one."""
    path, _, fragment = text.partition("#")
    found = Path(path).expanduser()
    repository = re.match(r".*\.git(?=@|$)", path)
    if repository and Path(repository[0]).expanduser().is_dir():
        return _git(text)
    if not found.exists() and not path.startswith((".", "/", "~")) and not path.endswith((*ARCHIVES, *SINGLE_FILES)):
        return None
    return _path(text, Path(os.path.abspath(found)), fragment)


def locked_source(kind: SourceKind, text: str, url: str, commit: str) -> Source:
    """The source that a lock's entry was fetched from.

    Raises:
        ConfigError: the lock is from somebody who means to slip an option to pip, git or uv.
    """
    if kind == "package" and not _PACKAGE.fullmatch(url):
        raise ConfigError(f"{url!r} is no package.", hint="Nothing was changed. Where is that lock from?")
    place, fragment = urldefrag(url) if kind != "package" else (url, "")
    return Source(kind, text, place, _ref(commit), _subdirectory(fragment))


def _git(text: str) -> Source:
    place, fragment = urldefrag(text.removeprefix("git+"))
    ref = ""
    head, slash, tail = place.rpartition("/")
    if match := re.search(r"(?<=\.git)@(?P<ref>[\w./-]+)$", place):  # a ref may have a slash in it
        place, ref = place[: match.start()], match["ref"]
    elif "@" in tail:
        tail, _, ref = tail.partition("@")
        place = f"{head}{slash}{tail}"
    if "://" not in place and not place.startswith("git@"):
        place = os.path.abspath(os.path.expanduser(place))
    _check_password(place)
    return Source("git", text, place, _ref(ref), _subdirectory(fragment))


def _check_password(place: str) -> None:
    """What is written to the lock must not hold a secret."""
    parts = urlsplit(place)
    if parts.password:
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        raise ConfigError(f"The address of {bare} has a password in it.", hint="Use a git credential helper, or ssh.")


def _path(text: str, path: Path, fragment: str) -> Source:
    if path.is_dir():
        kind: SourceKind = "folder"
    elif path.is_file() and path.name.endswith((*ARCHIVES, *SINGLE_FILES)):
        kind = "archive"
    elif path.is_file():
        raise ConfigError(f"{path} is no archive.", hint=f"Known are: {' '.join((*ARCHIVES, *SINGLE_FILES))}")
    else:
        raise ConfigError(f"There is no {path}.", hint="Check the path.")
    return Source(kind, text, str(path), subdirectory=_subdirectory(fragment))


def _subdirectory(fragment: str) -> str:
    return _inner((parse_qs(fragment).get("subdirectory") or [""])[-1].strip("/"))


def _inner(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise ConfigError(f"{path!r} is no folder within a source.", hint="Name it without . and ..")
    return path


def _ref(ref: str) -> str:
    if ref.startswith("-") or ".." in ref:
        raise ConfigError(f"{ref!r} is no branch, tag or commit.", hint="Write owner/repo@v1.0")
    return ref
