"""The shell's own state while a command is read, and what running a command means for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .builtin_effects import apply_effects
from .paths import UNKNOWN
from .script import Command, Fields, Script, Stdin, quoted
from .words import Expander
from .wrappers import Inner, unwrap

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_COMMANDS = 400
MAX_DEPTH = 12
MAX_VALUES = 16
MAX_VALUE = 10_000
TOO_LONG = "it is too long or too deeply nested to be read"


class Shell:
    """Variables, functions, aliases, directories. `Reader` adds the walk over the syntax."""

    def __init__(self, result: Script) -> None:
        self.result = result
        self.expander = Expander(self.substitution, self.trouble)
        self.aliases: dict[str, str] = {}
        self.conditional = 0
        self.depth = 0
        self.functions: dict[str, Node] = {}
        self.stdin = Stdin()

    def script(self, text: str) -> None:
        raise NotImplementedError

    def walk(self, node: Node) -> None:
        raise NotImplementedError

    def substitution(self, node: Node) -> str:
        raise NotImplementedError

    def trouble(self, problem: str) -> None:
        if problem not in self.result.problems:
            self.result.problems.append(problem)

    @contextmanager
    def maybe(self) -> Iterator[None]:
        """What happens inside may not happen: assignments add a value instead of replacing it."""
        self.conditional += 1
        try:
            yield
        finally:
            self.conditional -= 1

    @contextmanager
    def reading(self, stdin: Stdin) -> Iterator[None]:
        before, self.stdin = self.stdin, stdin
        try:
            yield
        finally:
            self.stdin = before

    def assign(self, name: str, values: tuple[str, ...]) -> None:
        known = self.expander.variables
        if self.conditional:
            values = tuple(dict.fromkeys((*known.get(name, (UNKNOWN,)), *values)))
        fits = len(values) <= MAX_VALUES and all(len(value) <= MAX_VALUE for value in values)
        known[name] = values if fits else (UNKNOWN,)

    def call(self, body: Node, arguments: Fields | None) -> None:
        before, self.expander.positional = self.expander.positional, arguments
        self.depth += 1
        with self.maybe():
            self.walk(body)
        self.depth -= 1
        self.expander.positional = before

    def run(self, command: Command) -> None:
        """Files a command, or what it runs, and applies what it does to the shell itself."""
        if len(self.result.commands) >= MAX_COMMANDS or self.depth > MAX_DEPTH:
            self.trouble(TOO_LONG)
            return
        if not command.words:
            for name, value in command.assignments:
                self.assign(name, (value,))
                self.result.variables.add(name)
            return
        name = command.words[0]
        if name in self.functions and name not in ("", UNKNOWN):
            body = self.functions.pop(name)
            self.call(body, command.words[1:])
            self.functions[name] = body
            return
        if name in self.aliases:
            text = self.aliases.pop(name)
            self.script(" ".join((text, *(quoted(word) for word in command.words[1:]))))
            self.aliases[name] = text
            return
        is_glob = any(char in name for char in "*?[") and name not in ("[", "[[")
        if UNKNOWN in name or is_glob or not name or name.startswith("/dev/fd/"):
            self.trouble("what it runs is known only when it runs")
        inner = unwrap(command.words, command.stdin.text)
        if inner is None or any(each.outer for each in inner):
            self.result.commands.append(command)
            apply_effects(self, command)
        for each in inner or ():
            self._run_inner(each, command)

    def _run_inner(self, inner: Inner, command: Command) -> None:
        prefix = command.prefix + inner.prefix
        assignments = (*command.assignments, *inner.assignments)
        if inner.script is None:
            self.depth += 1
            self.run(Command(inner.words, command.cwds, assignments, command.stdin, prefix))
            self.depth -= 1
            return
        before = self.expander.positional
        self.expander.positional = inner.positional if inner.positional is not None else before
        start = len(self.result.commands)
        with self.maybe(), self.reading(command.stdin):
            self.script(inner.script)
        self.expander.positional = before
        if prefix or assignments:
            self.result.commands[start:] = [
                Command(made.words, made.cwds, (*assignments, *made.assignments), made.stdin, prefix + made.prefix)
                for made in self.result.commands[start:]
            ]
