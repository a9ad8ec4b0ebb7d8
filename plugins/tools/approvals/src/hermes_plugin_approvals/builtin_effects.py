"""What builtins do to the shell that runs them: where it is, what its variables may hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .paths import HOME, UNKNOWN, names

if TYPE_CHECKING:
    from .script import Command
    from .shell import Shell

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READERS = names("read mapfile readarray getopts let")
MAX_DIRECTORIES = 6


def apply_effects(shell: Shell, command: Command) -> None:
    name, arguments = command.words[0], command.words[1:]
    if command.prefix:
        return
    if name in ("cd", "pushd"):
        _change_directory(shell, command)
    elif name == "popd":
        _move(shell, (UNKNOWN,))
    elif name == "alias":
        _alias(shell, arguments)
    elif name in _READERS:
        for word in (*arguments, "REPLY", "MAPFILE"):
            _forget(shell, word.partition("=")[0])
    elif name == "printf" and arguments[:1] == ("-v",) and len(arguments) > 1:
        _forget(shell, arguments[1])
    elif name == "shift":
        shell.expander.positional = None
    elif name == "set" and "--" in arguments:
        known = not shell.conditional
        shell.expander.positional = arguments[arguments.index("--") + 1 :] if known else None
    elif name == "unset":
        for word in arguments:
            _forget(shell, word)
    elif name in ("declare", "typeset", "local") and any(word.startswith("-") and "n" in word for word in arguments):
        shell.trouble("a variable stands for another one")


def _change_directory(shell: Shell, command: Command) -> None:
    operands = [word for word in command.words[1:] if not re.fullmatch(r"-[LPe@]+|--", word)]
    target = operands[0] if operands else (HOME if command.words[0] == "cd" else UNKNOWN)
    _move(shell, (UNKNOWN,) if target == "-" or UNKNOWN in target else command.paths(target))


def _move(shell: Shell, where: tuple[str, ...]) -> None:
    if shell.conditional:
        where = tuple(dict.fromkeys((*shell.result.cwds, *where)))
    shell.result.cwds = where if len(where) <= MAX_DIRECTORIES else (UNKNOWN,)


def _alias(shell: Shell, arguments: tuple[str, ...]) -> None:
    for word in arguments:
        name, equals, text = word.partition("=")
        if equals:
            shell.aliases[name] = text
            with shell.maybe():
                shell.script(text)


def _forget(shell: Shell, name: str) -> None:
    if _NAME.fullmatch(name):
        shell.expander.variables[name] = (UNKNOWN,)
