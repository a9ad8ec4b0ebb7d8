"""Paths as a guard sees them: where they lead, what is protected, what is secret.

The terminal may be on another machine, so paths of commands are resolved by their text alone. `HOME` stands for
the home directory, `UNKNOWN` for text that only the shell will know.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

UNKNOWN = "\0"
HOME = "\1"


def names(text: str) -> frozenset[str]:
    """A table of words."""
    return frozenset(text.split())


_SYSTEM = (
    "/ /Applications /Library /System /Users /bin /boot /dev /etc /home /lib /lib32 /lib64 /libx32 /opt /proc /root "
    "/run /sbin /srv /sys /usr /var /usr/bin /usr/lib /usr/lib64 /usr/local /usr/sbin /usr/share /usr/include /var/lib "
    "/var/log /System/Library /private /private/etc /private/var"
)
PROTECTED = tuple(tuple(part for part in path.split("/") if part) for path in _SYSTEM.split())

_DEVICE = re.compile(
    r"/dev/(?:[shv]d[a-z*?\[]|xvd|nvme|mmcblk|r?disk\d|md\d|dm-|mapper/|loop\d|nbd|zd\d|vg|pmem|k?mem$|port$|block/)"
)

_SECRET_DIRS = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure", ".password-store", "mcp-tokens"})
_SECRET_NAMES = names(
    ".env .env.* .envrc id_rsa id_dsa id_ecdsa id_ed25519 .netrc _netrc .pgpass .my.cnf .npmrc .pypirc .git- "
    "credentials .vault-token credentials credentials.json .credentials.json auth.json shadow shadow- gshadow "
    "gshadow- sudoers master.passwd .bash_history .zsh_history .python_history .psql_history .mysql_history *.pem "
    "*.key *.p12 *.pfx *.kdbx"
)
_SAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.test.example", ".env.local.example")
_SECRET_EXAMPLES = names(
    ".ssh .aws .gnupg .kube .docker .env id_rsa id_ed25519 .netrc .npmrc .git-credentials credentials shadow environ"
)
_SECRET_TAILS = ((".config", "gh"), (".config", "gcloud"), (".config", "op"), (".local", "share", "keyrings"))

_STARTUP = names(
    ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile .zlogin "
    ".zlogout .kshrc .cshrc .tcshrc .xprofile .xinitrc .xsessionrc .inputrc .gitconfig .vimrc .envrc "
    "authorized_keys sitecustomize.py usercustomize.py"
)
_WRITE_TREES = names(
    "/etc /boot /bin /sbin /lib /lib64 /usr /sys /proc /dev /var/spool/cron /var/lib /run /private/etc "
    "/private/var/root /Library /System"
)
_WRITE_PARTS = (
    (".git", "hooks"),
    (".git", "config"),
    (".config", "fish"),
    (".config", "autostart"),
    (".config", "systemd"),
    (".config", "git"),
    (".local", "bin"),
    ("Library", "LaunchAgents"),
    (".hermes", "config.yaml"),
    (".hermes", "plugins"),
)


def clean(path: str) -> str:
    """Without ``//``, ``.`` and ``..``; an absolute path stays absolute."""
    path = posixpath.normpath(path)
    return path[1:] if path.startswith("//") else path


def absolute(path: str, base: str) -> str:
    """``path`` from ``base``; a relative path from an unknown base starts with `UNKNOWN`.

    Above the home directory lies ``/home``, as far as a path's text can tell.
    """
    if not path.startswith(("/", HOME)):
        path = f"{base or UNKNOWN}/{path}"
    if path.startswith(HOME):
        return _from_home(path)
    return clean(path)


def _from_home(path: str) -> str:
    parts: list[str] = [HOME]
    for part in path.split("/")[1:]:
        if part == ".." and parts[0] == HOME and len(parts) == 1:
            parts = ["", "home"]
        elif part == "..":
            parts = parts[:-1] if len(parts) > 1 else parts
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "/"


def is_protected(path: str, homes: Iterable[str] = ()) -> bool:
    """Is the absolute ``path``, or glob, the root, a system or home directory, or all that is in one?"""
    parts = [part for part in path.split("/") if part]
    while parts and _matches_all(parts[-1]):
        parts.pop()
    return path.startswith(("/", HOME)) and _is_protected_directory(parts, homes, path)


def _is_protected_directory(parts: list[str], homes: Iterable[str], path: str) -> bool:
    if parts == [HOME] or any(parts == [part for part in home.split("/") if part] for home in homes if home):
        return True
    if path.startswith("/") and len(parts) == 2 and parts[0] in ("home", "Users") and UNKNOWN not in parts[1]:
        return True
    return any(len(protected) == len(parts) and all(map(_covers, parts, protected)) for protected in PROTECTED)


def _covers(pattern: str, name: str) -> bool:
    return pattern == name or (any(char in pattern for char in "*?[") and fnmatchcase(name, pattern))


def _matches_all(part: str) -> bool:
    return "*" in part and not part.strip("*?.[]!^")


def is_device(path: str) -> bool:
    """A raw block device, or the memory: what is written there overwrites a file system or the kernel."""
    return _DEVICE.match(clean(path)) is not None


@lru_cache(4096)
def is_secret(path: str) -> bool:
    """Does the path (or glob) lead to credentials?"""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return False
    if any(part in _SECRET_DIRS or _may_match(part) for part in parts):
        return True
    if any(_has_run(parts, tail) for tail in _SECRET_TAILS):
        return True
    name = parts[-1]
    if name in ("environ", "mem") and "proc" in parts:
        return True
    return (
        name not in _SAMPLES and not name.endswith(".pub") and any(fnmatchcase(name, known) for known in _SECRET_NAMES)
    )


def _may_match(part: str) -> bool:
    """A glob that could be meant for a secret: ``.s*``, ``id_*``, ``.en?``; not a plain ``*`` or ``*.py``."""
    if not any(char in part for char in "*?["):
        return False
    wild = part[0] in "*?["
    return part.lstrip("*") != "" and any(
        fnmatchcase(name, part) for name in _SECRET_EXAMPLES if not (wild and name.startswith("."))
    )


def _has_run(parts: list[str], run: tuple[str, ...]) -> bool:
    return any(tuple(parts[at : at + len(run)]) == run for at in range(len(parts)))


def is_sensitive_to_write(path: str, workspace: str, hermes_home: str = "") -> bool:
    """What is written there runs later by itself, opens a door, or changes this guard.

    A ``workspace`` inside a system directory is the user's own choice.
    """
    parts = [part for part in path.split("/") if part]
    if not parts or is_secret(path) or not _STARTUP.isdisjoint(parts) or "crontabs" in parts:
        return True
    if any(_has_run(parts, run) for run in _WRITE_PARTS):
        return True
    if any(is_inside(path, tree) and not is_inside(workspace, tree) for tree in _WRITE_TREES):
        return True
    return bool(hermes_home) and any(
        is_inside(path, f"{hermes_home}/{name}") for name in ("config.yaml", ".env", "auth.json", "plugins", "state.db")
    )


def is_in_workspace(path: str, workspace: str) -> bool:
    """A workspace that is the root, a system or a home directory is too wide to answer for at once."""
    return bool(workspace) and not is_protected(workspace) and is_inside(path, workspace)


def is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def display(path: str) -> str:
    return path.replace(HOME, "~").replace(UNKNOWN, "…")
