"""What builtins do to the shell that runs them: where it is, what its variables may hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .paths import HOME, UNKNOWN

if TYPE_CHECKING:
    from .shell import Command, Reader

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READERS = frozenset("read mapfile readarray getopts let".split())
MAX_DIRECTORIES = 6


def apply_effects(reader: Reader, command: Command) -> None:
    name, arguments = command.words[0], command.words[1:]
    if command.prefix:
        return
    if name in ("cd", "pushd"):
        _change_directory(reader, command)
    elif name == "popd":
        _move(reader, (UNKNOWN,))
    elif name == "alias":
        _alias(reader, arguments)
    elif name in _READERS:
        for word in (*arguments, "REPLY", "MAPFILE"):
            _forget(reader, word.partition("=")[0])
    elif name == "printf" and arguments[:1] == ("-v",) and len(arguments) > 1:
        _forget(reader, arguments[1])
    elif name == "shift":
        reader.expander.positional = None
    elif name == "set" and "--" in arguments:
        known = not reader.conditional
        reader.expander.positional = arguments[arguments.index("--") + 1 :] if known else None
    elif name == "unset":
        for word in arguments:
            _forget(reader, word)
    elif name in ("declare", "typeset", "local") and any(
        word.startswith("-") and "n" in word for word in arguments
    ):
        reader.trouble("a variable stands for another one")


def _change_directory(reader: Reader, command: Command) -> None:
    operands = [word for word in command.words[1:] if not re.fullmatch(r"-[LPe@]+|--", word)]
    target = operands[0] if operands else (HOME if command.words[0] == "cd" else UNKNOWN)
    _move(reader, (UNKNOWN,) if target == "-" or UNKNOWN in target else command.paths(target))


def _move(reader: Reader, where: tuple[str, ...]) -> None:
    if reader.conditional:
        where = tuple(dict.fromkeys((*reader.result.cwds, *where)))
    reader.result.cwds = where if len(where) <= MAX_DIRECTORIES else (UNKNOWN,)


def _alias(reader: Reader, arguments: tuple[str, ...]) -> None:
    for word in arguments:
        name, equals, text = word.partition("=")
        if equals:
            reader.aliases[name] = text
            start = len(reader.result.commands)
            with reader.maybe():
                reader.script(text)
            del reader.result.commands[start:]


def _forget(reader: Reader, name: str) -> None:
    if _NAME.fullmatch(name):
        reader.expander.variables[name] = (UNKNOWN,)
