"""What a reading of shell text yields: commands, redirections, and what was not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .paths import UNKNOWN, absolute

Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stdin:
    """What a command reads: a known ``text``, or what the programs named in ``sources`` print."""

    text: str | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command. ``cwds``: the directories it may run in. ``prefix``: see `wrappers.Inner`."""

    words: Fields
    cwds: tuple[str, ...]
    assignments: tuple[tuple[str, str], ...] = ()
    stdin: Stdin = Stdin()
    prefix: str = ""

    @property
    def program(self) -> str:
        """Without its directory."""
        return self.words[0].rsplit("/", 1)[-1]

    def paths(self, word: str) -> tuple[str, ...]:
        return tuple(absolute(word, cwd) for cwd in self.cwds)


@dataclass(frozen=True, slots=True)
class Redirect:
    path: str
    writes: bool
    cwds: tuple[str, ...]

    def paths(self) -> tuple[str, ...]:
        return tuple(absolute(self.path, cwd) for cwd in self.cwds)


@dataclass
class Script:
    """What was read. ``guesses`` are commands in text that does not parse: good for denying, not for allowing."""

    cwds: tuple[str, ...]
    commands: list[Command] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    guesses: list[Command] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    """Those that it sets in the shell itself."""
    fork_bomb: bool = False


def quoted(word: str) -> str:
    """A word as it is written in a command, marks kept."""
    if word and not re.search(r"[^\w@%+=:,./~\-\x00\x01*?\[\]{}]", word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def output_of(commands: list[Command]) -> str | None:
    """What they print, where that can be told: one echo, printf or cat of known text."""
    if len(commands) != 1 or commands[0].prefix:
        return None
    words, program = commands[0].words, commands[0].program
    if program == "cat" and len(words) == 1:
        return commands[0].stdin.text
    arguments = words[1:]
    if any(UNKNOWN in word for word in arguments):
        return None
    if program == "echo":
        while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
            arguments = arguments[1:]
        text = " ".join(arguments)
        return text if "\\" not in text else None
    if program == "printf" and arguments and "\\" not in arguments[0].replace("\\n", ""):
        shape = arguments[0].replace("\\n", "\n")
        if "%" not in shape:
            return shape if len(arguments) == 1 else None
        if shape.strip() == "%s":
            return "".join(shape.replace("%s", word) for word in arguments[1:])
    return None
