"""What a command does that has to be asked for: a sentence for the person, and the key that an answer covers."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import git
from .paths import UNKNOWN, display, is_in_workspace, is_sensitive_to_write, names
from .safe import reads_secret
from .script import Command, quoted
from .wrappers import SHELLS

JOIN = " + "
"""Between the keys of a compound command."""
MAX_KEY = 200

_FILE_COMMANDS = names(
    "rm rmdir unlink shred mv cp ln mkdir touch install tee truncate split chmod chown chgrp setfacl tar unzip "
    "zip gzip gunzip bzip2 xz patch rsync"
)
"""Their operands are paths: a key covers those inside the workspace, others one by one."""

_TOOLS = names("pytest ruff mypy black isort flake8 pylint pyright tox nox eslint prettier tsc jest vitest mocha")
"""They work on the project, whatever their arguments."""

_GIT_KEYS = names(
    "add commit push pull fetch merge checkout switch stash tag branch cherry-pick revert mv rm restore init "
    "reset clean"
)
_SUBCOMMAND_KEYS = {
    "cargo": names("build check test clippy fmt doc bench"),
    "go": names("build test vet fmt"),
    "npm": names("test ci"),
    "uv": names("sync lock"),
    "dotnet": names("build test"),
}
_INTERPRETERS = SHELLS | names(
    "python python2 python3 pypy pypy3 node deno bun ruby perl php lua Rscript osascript pwsh powershell tclsh awk"
)
_DOWNLOADERS = names("curl wget fetch aria2c http https nc ncat socat")
_DECODERS = names("base64 base32 xxd openssl uudecode gunzip zcat rev tr")
_INSTALLERS: dict[str, tuple[str, ...]] = {
    "pip": ("install",), "pip3": ("install",), "npm": ("install", "i", "add"), "pnpm": ("install", "add"),
    "yarn": ("add", "install"), "apt": ("install",), "apt-get": ("install",), "dnf": ("install",), "yum": ("install",),
    "apk": ("add",), "brew": ("install",), "cargo": ("install",), "gem": ("install",), "go": ("install", "get"),
    "uv": ("add", "pip", "tool"), "pipx": ("install",), "poetry": ("add", "install"), "pacman": ("-S",),
    "snap": ("install",), "conda": ("install",), "zypper": ("install",),
}  # fmt: skip
_SENTENCES: dict[str, str] = {
    "rmdir": "deletes directories",
    "unlink": "deletes a file",
    "shred": "overwrites files so that they cannot be recovered",
    "mv": "moves files, perhaps over others",
    "cp": "copies files, perhaps over others",
    "tee": "writes files",
    "truncate": "cuts files",
    "chown": "changes who owns files",
    "chgrp": "changes who owns files",
    "kill": "ends processes",
    "pkill": "ends processes by name",
    "killall": "ends processes by name",
    "systemctl": "controls services",
    "service": "controls services",
    "launchctl": "controls services",
    "crontab": "changes what runs on a schedule",
    "at": "schedules a command",
    "iptables": "changes the firewall",
    "ufw": "changes the firewall",
    "mount": "changes what is mounted",
    "umount": "changes what is mounted",
    "useradd": "changes the users of this machine",
    "usermod": "changes the users of this machine",
    "userdel": "changes the users of this machine",
    "passwd": "changes a password",
    "dropdb": "drops a database",
    "ssh": "opens a shell on another machine",
    "scp": "copies files to or from another machine",
    "rsync": "copies files, perhaps deleting others",
    "docker": "controls containers, which can reach this machine's files",
    "podman": "controls containers, which can reach this machine's files",
    "kubectl": "changes a cluster",
    "terraform": "changes infrastructure",
    "source": "runs a script in the current shell",
    ".": "runs a script in the current shell",
    "eval": "runs text as code",
    "alias": "changes what a command's name means",
    "env": "prints or changes the environment",
    "printenv": "prints the environment",
    "dd": "copies raw data",
    "mkfs": "makes a file system",
}
_PREFIXES = {
    "sudo": "runs as another user",
    "doas": "runs as another user",
    "su": "runs as another user",
    "pkexec": "runs as another user",
    "runuser": "runs as another user",
    "ssh": "runs on another machine",
    "find": "runs once for each file found",
    "xargs": "runs with arguments read from its input",
    "chroot": "runs in another root directory",
}
_SQL = re.compile(
    r"\b(?:DROP\s+(?:TABLE|DATABASE|SCHEMA|INDEX|VIEW)|TRUNCATE\s|DELETE\s+FROM(?!.*\bWHERE\b))", re.IGNORECASE
)
_OPEN_MODE = re.compile(r"[0-7]*[0-7][0-7][2367]|(?:[augo]*[ao][augo]*|)\+[rxXst]*w[rwxXst]*|[ugo]*\+[rwxX]*s[rwxX]*")


class Danger(NamedTuple):
    sentence: str
    keyed: bool = True
    """A key may cover it; otherwise an answer is for this once."""


def text_of(command: Command) -> str:
    """The command as one would write it, without the wrappers that change nothing."""
    words = " ".join(quoted(word) for word in command.words)
    assignments = "".join(f"{name}={quoted(value)} " for name, value in command.assignments)
    return display(f"{assignments}{command.prefix}{words}")


def describe(command: Command) -> Danger:
    program, arguments = command.program, command.words[1:]
    if secret := reads_secret(command):
        return Danger(f"touches {display(secret)}, which may hold secrets", keyed=False)
    if program in _INTERPRETERS and (command.stdin.sources or command.stdin.text is not None):
        return Danger(_fed(program, command.stdin.sources), keyed=False)
    if program in _INTERPRETERS and any(word.startswith("/dev/fd/") for word in arguments):
        return Danger(f"runs in {program} what another command prints", keyed=False)
    if any(_SQL.search(text[:4000]) for text in (*arguments, command.stdin.text or "")):
        return Danger("deletes from a database", keyed=False)
    sentence = _specific(program, arguments) or _SENTENCES.get(program, "")
    if not sentence and command.prefix:
        sentence = _PREFIXES.get(command.prefix.split()[-2 if command.prefix.count(" ") > 1 else 0], "")
        sentence = sentence or _PREFIXES.get(command.prefix.split()[0], "runs through another program")
    return Danger(sentence or "is not known to be harmless")


def _fed(program: str, sources: tuple[str, ...]) -> str:
    if not _DOWNLOADERS.isdisjoint(sources):
        return f"runs in {program} what it downloads"
    if not _DECODERS.isdisjoint(sources):
        return f"runs in {program} what it decodes"
    return f"runs in {program} the code it is given"


def _specific(program: str, arguments: tuple[str, ...]) -> str:
    if program == "rm":
        recursive = any(re.fullmatch(r"-[A-Za-z]*[rR][A-Za-z]*|--r.*", word) for word in arguments)
        return "deletes directories and everything in them" if recursive else "deletes files"
    if program == "git":
        return git.loss(arguments)[0] or "changes the repository"
    if program in _INSTALLERS and any(word in _INSTALLERS[program] for word in arguments[:2]):
        return "installs packages, whose code then runs here"
    if program == "chmod":
        open_to_all = any(_OPEN_MODE.fullmatch(word) for word in arguments)
        return "lets every user change files" if open_to_all else "changes permissions"
    if program == "find":
        return "deletes or writes what it finds" if "-exec" not in arguments else "runs a command for each file found"
    if program in _DOWNLOADERS:
        return "reaches the network"
    if program in ("sed", "perl", "ruby") and any(re.match(r"-[A-Za-z]*i|--in-place", word) for word in arguments):
        return "edits files in place"
    if program in _INTERPRETERS:
        return "runs code"
    return ""


def key_of(command: Command, workspace: str) -> str:
    """What an answer of "session" or "always" covers: never more than what was shown. Empty: nothing."""
    if any(UNKNOWN in word for word in (*command.words, *(value for _, value in command.assignments))):
        return ""
    if UNKNOWN in command.prefix:
        return ""
    exact = _fit(text_of(command))
    if command.assignments or "/" in command.words[0]:
        return exact
    short = _short_key(command.program, command.words[1:], command, workspace)
    return _fit(display(command.prefix) + short) if short else exact


def _short_key(program: str, arguments: tuple[str, ...], command: Command, workspace: str) -> str:
    if program in _TOOLS:
        return program
    if program == "git":
        return _git_key(arguments)
    if program in _SUBCOMMAND_KEYS and arguments[:1] and arguments[0] in _SUBCOMMAND_KEYS[program]:
        return f"{program} {arguments[0]}" if not any("config" in word for word in arguments) else ""
    if program in _FILE_COMMANDS:
        return _file_key(program, arguments, command, workspace)
    return ""


def _git_key(arguments: tuple[str, ...]) -> str:
    name, rest, _ = git.subcommand(arguments)
    if arguments[:1] != (name,) or name not in _GIT_KEYS:
        return ""
    if any(
        "://" in word or re.match(r"[\w.@-]+:|--(upload-pack|exec|receive-pack|template)", word) for word in rest[:3]
    ):
        return ""
    _, telling = git.loss(arguments)
    if name in ("clean", "restore", "checkout", "reset") and (telling or name in ("clean", "restore")):
        return ""
    return f"git {name} {telling}".strip()


def _file_key(program: str, arguments: tuple[str, ...], command: Command, workspace: str) -> str:
    options = sorted(word for word in arguments if word.startswith("-"))
    operands = [word for word in arguments if not word.startswith("-")]
    if program in ("chmod", "chown", "chgrp") and operands:
        options.append(operands.pop(0))
    if not workspace or any("/" in option for option in options):
        return ""
    for operand in operands:
        for path in command.paths(operand):
            inside = is_in_workspace(path, workspace) and path.rstrip("/") != workspace.rstrip("/")
            if not inside or ":" in operand or is_sensitive_to_write(path, workspace):
                return ""
    return " ".join((program, *options))


def _fit(key: str) -> str:
    return key if len(key) <= MAX_KEY and JOIN not in key and "\n" not in key else ""
