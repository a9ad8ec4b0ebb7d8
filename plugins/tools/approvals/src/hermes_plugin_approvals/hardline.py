"""The hard line: what no mode, rule or answer lets through."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from .paths import UNKNOWN, display, is_device, is_protected, names
from .script import Command, Script

Check = Callable[[Command, tuple[str, ...]], str]

_POWER = names("shutdown reboot halt poweroff")
_POWER_UNITS = re.compile(r"(?:poweroff|reboot|halt|kexec|soft-reboot)(?:\.target)?")
_FIND_TESTS = names(
    "-name -iname -path -ipath -wholename -regex -iregex -newer -mtime -mmin -atime -amin -ctime -cmin -size "
    "-user -group -uid -gid -perm -inum -links -lname -empty -nouser -nogroup"
)
_DEVICE_WRITERS = names("cp mv install tee shred wipefs blkdiscard sgdisk sfdisk mkswap badblocks truncate")


def crossed(script: Script, homes: tuple[str, ...]) -> str:
    """The sentence that says which line is crossed; empty: none."""
    if script.fork_bomb:
        return "a fork bomb makes the machine unusable"
    for redirect in script.redirects:
        for path in redirect.paths():
            if redirect.writes and (is_device(path) or path == "/proc/sysrq-trigger"):
                return f"it writes to {display(path)}, a raw device"
    for command in (*script.commands, *script.guesses):
        for name, check in _checks(command.program):
            if sentence := check(command, homes):
                return sentence.format(name=name)
    return ""


def _checks(program: str) -> list[tuple[str, Check]]:
    if any(char in program for char in "*?[") and program not in ("[", "[["):
        return [(name, check) for name, check in CHECKS.items() if fnmatchcase(name, program)]
    if program in CHECKS:
        return [(program, CHECKS[program])]
    if program.startswith(("mkfs.", "mke2fs", "newfs")):
        return [(program, _make_file_system)]
    return []


def _remove(command: Command, homes: tuple[str, ...]) -> str:
    recursive, operands = False, []
    options = True
    for word in command.words[1:]:
        if options and word == "--":
            options = False
        elif options and word.startswith("--") and len(word) > 2:
            recursive |= "--recursive".startswith(word.partition("=")[0])
        elif options and word.startswith("-") and len(word) > 1:
            recursive |= "r" in word or "R" in word
        else:
            operands.append(word)
    return _protected(command, operands, homes) if recursive else ""


def _protected(command: Command, operands: list[str], homes: tuple[str, ...]) -> str:
    for operand in operands:
        for path in command.paths(operand):
            if is_protected(path, homes):
                return f"it deletes {_braced(path)} and everything in it"
    return ""


def _find(command: Command, homes: tuple[str, ...]) -> str:
    words = command.words[1:]
    deletes = "-delete" in words or any(
        words[at] in ("-exec", "-execdir") and words[at + 1].rsplit("/", 1)[-1] in ("rm", "shred", "unlink")
        for at in range(len(words) - 1)
    )
    narrowed = any(
        word in _FIND_TESTS and not (word in ("-name", "-iname", "-path") and words[at + 1 : at + 2] == ("*",))
        for at, word in enumerate(words)
    )
    if not deletes or narrowed:
        return ""
    roots: list[str] = []
    for word in words:
        if word in ("-H", "-L", "-P"):
            continue
        if word.startswith("-") or word in ("(", "!"):
            break
        roots.append(word)
    return _protected(command, roots or ["."], homes)


def _dd(command: Command, homes: tuple[str, ...]) -> str:
    targets = [word[3:] for word in command.words[1:] if word.startswith("of=")]
    return _device(command, targets)


def _device(command: Command, operands: list[str]) -> str:
    for operand in operands:
        for path in command.paths(operand):
            if is_device(path):
                return f"it writes to {_braced(path)}, a raw device"
    return ""


def _to_device(command: Command, homes: tuple[str, ...]) -> str:
    operands = [word for word in command.words[1:] if not word.startswith("-")]
    if command.program in ("cp", "mv", "install"):
        targets = [word.partition("=")[2] for word in command.words if word.startswith("--target-directory=")]
        operands = operands[-1:] + targets
    return _device(command, operands)


def _make_file_system(command: Command, homes: tuple[str, ...]) -> str:
    operands = [word for word in command.words[1:] if not word.startswith("-")]
    if any(UNKNOWN in word or path.startswith("/dev/") for word in operands for path in command.paths(word)):
        return "{name} overwrites a disk with an empty file system"
    return ""


def _power(command: Command, homes: tuple[str, ...]) -> str:
    return "" if {"--help", "-c", "--version"} & set(command.words[1:]) else "{name} stops the machine"


def _init(command: Command, homes: tuple[str, ...]) -> str:
    return "{name} stops the machine" if {"0", "6"} & set(command.words[1:]) else ""


def _systemctl(command: Command, homes: tuple[str, ...]) -> str:
    stops = any(_POWER_UNITS.fullmatch(word) for word in command.words[1:])
    return "{name} stops the machine" if stops and "status" not in command.words else ""


def _kill(command: Command, homes: tuple[str, ...]) -> str:
    words = list(command.words[1:])
    named = False
    if words and words[0] in ("-s", "-n", "--signal"):
        words, named = words[2:], True
    elif (words and words[0].startswith("-") and words[0] not in ("-1", "--")) or (len(words) > 1 and words[0] == "-1"):
        words, named = words[1:], True
    if words and words[0] == "--":
        words = words[1:]
    if "-1" in words and (named or words == ["-1"] or words[-1] == "-1"):
        return "{name} -1 ends every process"
    return ""


def _braced(path: str) -> str:
    return display(path).replace("{", "{{").replace("}", "}}")


CHECKS: dict[str, Check] = {
    "rm": _remove,
    "find": _find,
    "dd": _dd,
    "kill": _kill,
    "systemctl": _systemctl,
    "loginctl": _systemctl,
    "init": _init,
    "telinit": _init,
    "mkfs": _make_file_system,
    **dict.fromkeys(_POWER, _power),
    **dict.fromkeys(_DEVICE_WRITERS, _to_device),
}
