"""Reads a shell command: every simple command in it, with its words expanded as far as the text tells.

What is not understood is listed in ``problems``, and then has to be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from .builtin_effects import apply_effects
from .paths import HOME, UNKNOWN, absolute
from .words import Expander, Fields
from .wrappers import Inner, unwrap

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_BYTES = 100_000
MAX_COMMANDS = 400
MAX_DEPTH = 12
MAX_LOOP = 8

_WORDS = frozenset(
    "word string raw_string ansi_c_string translated_string concatenation simple_expansion expansion number regex "
    "command_substitution process_substitution arithmetic_expansion brace_expression extglob_pattern array".split()
)
_CONDITIONAL = frozenset(
    "if_statement elif_clause else_clause case_statement case_item subshell negated_command".split()
)
_GROUPS = frozenset(
    "program compound_statement do_group variable_assignments test_command binary_expression unary_expression "
    "ternary_expression postfix_expression parenthesized_expression variable_name test_operator subscript "
    "special_variable_name".split()
)
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\ue000-\uf8ff]")
_CONTINUATION = re.compile(r"(?<![\s\\])((?:\\\\)*)\\\n(?=\S)")
_GUESS = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;&|()<>`])+|[;&|()`\n]""", re.DOTALL)


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
    fork_bomb: bool = False


@lru_cache(1)
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def read(text: str, cwds: tuple[str, ...]) -> Script:
    """Reads a command line or script that starts in one of ``cwds``."""
    reader = Reader(Script(cwds or (UNKNOWN,)))
    reader.script(text)
    return reader.result


class Reader:
    """Walks the syntax as the shell would run it, every branch taken, every loop a few times."""

    def __init__(self, result: Script) -> None:
        self.result = result
        self.expander = Expander(self._substitution, self.trouble)
        self.aliases: dict[str, str] = {}
        self.conditional = 0
        self._functions: dict[str, Node] = {}
        self._stdin = Stdin()
        self._depth = 0
        self._more: list[Node] = []
        """Words of the coming command that the grammar files under a redirection."""

    def trouble(self, problem: str) -> None:
        if problem not in self.result.problems:
            self.result.problems.append(problem)

    def script(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        if len(data) > MAX_BYTES or self._depth > MAX_DEPTH:
            self.trouble("it is too long or too deeply nested to be read")
            return
        if _ODD.search(text) and _ODD.search(text.replace(HOME, "~").replace(UNKNOWN, "")):
            self.trouble("it contains control or invisible characters")
        if UNKNOWN in text or HOME in text:
            if UNKNOWN in text:
                self.trouble("a part of it is known only when it runs")
            data = text.replace(HOME, "$HOME").replace(UNKNOWN, "$UNKNOWN").encode("utf-8", "replace")
        if b"\\\n" in data:
            joined = _CONTINUATION.sub(r"\1", data.decode("utf-8", "replace"))
            if b"#" in data and len(joined.encode()) != len(data):
                self.trouble("a line goes on near a comment")
            data = joined.encode()
        self._depth += 1
        tree = _parser().parse(data)
        if tree.root_node.has_error:
            self.trouble("its syntax cannot be read")
            self._guess(text)
        self._walk(tree.root_node)
        self._depth -= 1

    def _guess(self, text: str) -> None:
        from .words import braces

        words: list[str] = []
        for token in [*_GUESS.findall(text), ";"]:
            if token in (";", "&", "|", "(", ")", "`", "\n"):
                if words and words[0]:
                    self.result.guesses.append(Command(tuple(words), self.result.cwds))
                words = []
            else:
                words += [re.sub(r"['\"\\]", "", word) for word in braces(token)]

    @contextmanager
    def maybe(self) -> Iterator[None]:
        """What happens inside may not happen: assignments add a value instead of replacing it."""
        self.conditional += 1
        try:
            yield
        finally:
            self.conditional -= 1

    @contextmanager
    def _reading(self, stdin: Stdin) -> Iterator[None]:
        before, self._stdin = self._stdin, stdin
        try:
            yield
        finally:
            self._stdin = before

    def _walk(self, node: Node) -> None:
        kind = node.type
        if kind in _WORDS:
            self.expander.fields(node)
        elif kind in _GROUPS or kind in _CONDITIONAL:
            self.conditional += kind in _CONDITIONAL
            for child in node.named_children:
                self._walk(child)
            self.conditional -= kind in _CONDITIONAL
        elif kind == "comment":
            before = node.parent.text[: node.start_byte - node.parent.start_byte] if node.parent and node.parent.text else b""
            if before and before[-1:] not in b" \t\n;&|()":
                self.trouble("a comment starts inside a word")
        else:
            handler = getattr(self, f"_{kind}", None)
            if handler is None:
                self.trouble("its syntax cannot be read")
                for child in node.named_children:
                    self._walk(child)
            else:
                handler(node)

    def _list(self, node: Node) -> None:
        first, *rest = node.named_children
        self._walk(first)
        with self.maybe():
            for child in rest:
                self._walk(child)

    def _pipeline(self, node: Node) -> None:
        self._stages(node.named_children, self._stdin)

    def _stages(self, stages: list[Node], stdin: Stdin) -> None:
        sources: tuple[str, ...] = stdin.sources
        with self.maybe():
            for stage in stages:
                start = len(self.result.commands)
                with self._reading(stdin):
                    self._walk(stage)
                made = self.result.commands[start:]
                sources = (*sources, *(command.program for command in made))
                stdin = Stdin(_output(made), sources)

    def _while_statement(self, node: Node) -> None:
        self._loop(node.named_children)

    def _c_style_for_statement(self, node: Node) -> None:
        self._loop(node.named_children)

    def _loop(self, children: list[Node]) -> None:
        """A second time where the first has changed what the first saw."""
        with self.maybe():
            for _ in range(2):
                before = dict(self.expander.variables)
                for child in children:
                    self._walk(child)
                if before == self.expander.variables:
                    break

    def _for_statement(self, node: Node) -> None:
        name = (node.named_children[0].text or b"").decode()
        body = node.child_by_field_name("body")
        words = [child for child in node.named_children[1:] if child != body]
        values = [value for word in words for fields in self.expander.fields(word) for value in fields]
        if not any(child.type == "in" for child in node.children):
            values = list(self.expander.positional or (UNKNOWN,))
        if body is None:
            return
        if len(values) > MAX_LOOP:
            self.expander.variables[name] = (UNKNOWN,)
            values = [UNKNOWN]
        for value in values:
            self.expander.variables[name] = (value,)
            self._loop([body])

    def _function_definition(self, node: Node) -> None:
        name = (node.child_by_field_name("name") or node.named_children[0]).text or b""
        body = node.child_by_field_name("body")
        if body is None:
            return
        self.result.fork_bomb |= _calls_itself_twice(body, name)
        self._functions[name.decode("utf-8", "replace")] = body
        self._call(body, None)

    def _call(self, body: Node, arguments: Fields | None) -> None:
        before, self.expander.positional = self.expander.positional, arguments
        self._depth += 1
        with self.maybe():
            self._walk(body)
        self._depth -= 1
        self.expander.positional = before

    def _redirected_statement(self, node: Node) -> None:
        stdin = self._stdin
        after: list[tuple[Node, bool]] = []
        more: list[Node] = []
        body = node.child_by_field_name("body")
        for child in node.named_children:
            if child == body:
                continue
            if child.type == "heredoc_redirect":
                stdin = Stdin(self._heredoc(child, after, more))
            elif child.type == "herestring_redirect":
                stdin = self._herestring(child)
            elif child.type == "file_redirect":
                more += self._file_redirect(child)
            else:
                self._walk(child)
        start = len(self.result.commands)
        self._more = more
        with self._reading(stdin):
            if body is not None:
                self._walk(body)
        if self._more:
            self.trouble("words follow a redirection")
            self._more = []
        made = self.result.commands[start:]
        for statement, piped in after:
            if not piped:
                with self.maybe():
                    self._walk(statement)
                continue
            stages = statement.named_children if statement.type == "pipeline" else [statement]
            self._stages(stages, Stdin(_output(made), tuple(command.program for command in made)))

    def _heredoc(self, node: Node, after: list[tuple[Node, bool]], more: list[Node]) -> str | None:
        """The document, where it is known; ``after`` gets the statements written behind its mark."""
        delimiter, body_text, end_text, known = "", "", "", True
        raw = False
        for child in node.children:
            text = (child.text or b"").decode("utf-8", "replace")
            if child.type == "heredoc_start":
                delimiter = re.sub(r"['\"\\]", "", text)
                raw = delimiter != text
            elif child.type == "heredoc_body":
                body_text = text
                known = raw or not child.named_children or all(part.type == "heredoc_content" for part in child.named_children)
                for part in child.named_children:
                    if part.type != "heredoc_content":
                        self._walk(part)
            elif child.type == "heredoc_end":
                end_text = text
            elif child.type == "file_redirect":
                more += self._file_redirect(child)
            elif child.type == "herestring_redirect":
                self._herestring(child)
            elif child.type in _WORDS:
                more.append(child)
            elif child.is_named and child.type != "file_descriptor":
                after.append((child, child.type == "pipeline"))
        lines = [line.lstrip("\t") for line in body_text.split("\n")]
        if end_text.strip("\t") != delimiter or delimiter in lines:
            self.trouble("a here-document's end is unclear")
        if not raw and ("`" in body_text or re.search(r"\\\n", body_text)):
            self.trouble("a here-document runs commands")
        if not raw and "$(" in body_text and known:
            self.trouble("a here-document runs commands")
        return body_text if known and (raw or "\\" not in body_text) else None

    def _herestring_redirect(self, node: Node) -> None:
        self._herestring(node)

    def _herestring(self, node: Node) -> Stdin:
        values = self.expander.values(*node.named_children[-1:])
        return Stdin(values[0]) if len(values) == 1 and UNKNOWN not in values[0] else Stdin(sources=("<<<",))

    def _file_redirect(self, node: Node) -> list[Node]:
        """Files the redirection; gives back words behind its target, which belong to the command."""
        operator = next((child.type for child in node.children if not child.is_named), "")
        targets = [child for child in node.named_children if child.type != "file_descriptor"]
        if not targets:
            return []
        for path in self.expander.values(targets[0]):
            if operator in (">&", "<&") and (path == "-" or path.rstrip("-").isdigit()):
                continue
            self.result.redirects.append(Redirect(path, operator != "<" and operator != "<&", self.result.cwds))
        return targets[1:]

    def _variable_assignment(self, node: Node) -> None:
        for name, values in self._assigned(node):
            self.assign(name, values)

    def _assigned(self, node: Node) -> list[tuple[str, tuple[str, ...]]]:
        target, *value = node.named_children
        name = (target.text or b"").decode("utf-8", "replace")
        values = self.expander.values(*value) if value else ("",)
        if target.type == "subscript":
            self._walk(target)
            name = name.partition("[")[0]
            values = (UNKNOWN,)
        if any(child.type == "+=" for child in node.children):
            values = tuple(old + new for old in self.expander.variables.get(name, (UNKNOWN,)) for new in values)
        if any("$(" in text or "`" in text for text in values):
            self.trouble("a variable holds code")
        return [(name, values)]

    def assign(self, name: str, values: tuple[str, ...]) -> None:
        known = self.expander.variables
        if self.conditional:
            values = tuple(dict.fromkeys((*known.get(name, (UNKNOWN,)), *values)))
        known[name] = values if len(values) <= 16 else (UNKNOWN,)

    def _declaration_command(self, node: Node) -> None:
        words = [(node.children[0].text or b"").decode()]
        for child in node.named_children:
            if child.type == "variable_assignment":
                for name, values in self._assigned(child):
                    self.assign(name, values)
                    words.append(f"{name}={values[0] if len(values) == 1 else UNKNOWN}")
            elif child.type != "comment":
                words += [field for fields in self.expander.fields(child)[:1] for field in fields]
        self.run(Command(tuple(words), self.result.cwds, stdin=self._stdin))

    _unset_command = _declaration_command

    def _command(self, node: Node) -> None:
        assignments: list[tuple[str, str]] = []
        groups: list[list[Node]] = []
        stdin = self._stdin
        more, self._more = self._more, []
        for child in (*node.named_children, *more):
            if child.type == "variable_assignment":
                for name, values in self._assigned(child):
                    assignments.append((name, values[0] if len(values) == 1 else UNKNOWN))
            elif child.type == "file_redirect":
                groups += [[word] for word in self._file_redirect(child)]
            elif child.type == "herestring_redirect":
                stdin = self._herestring(child)
            elif groups and groups[-1][-1].end_byte == child.start_byte:
                groups[-1].append(child)
            else:
                groups.append([child])
        for words in self._combinations([self.expander.fields(*group) for group in groups]):
            self.run(Command(words, self.result.cwds, tuple(assignments), stdin))

    def _combinations(self, words: list[list[Fields]]) -> list[Fields]:
        found: list[Fields] = [()]
        for alternatives in words:
            found = [(*start, *fields) for start in found for fields in alternatives]
            if len(found) > 16:
                self.trouble("it has too many readings")
                found = found[:16]
        return found

    def run(self, command: Command) -> None:
        """Files a command, or what it runs, and applies what it does to the shell itself."""
        if len(self.result.commands) >= MAX_COMMANDS or self._depth > MAX_DEPTH:
            self.trouble("it is too long or too deeply nested to be read")
            return
        if not command.words:
            for name, value in command.assignments:
                self.assign(name, (value,))
            return
        name = command.words[0]
        if name in self._functions and name not in ("", UNKNOWN):
            body = self._functions.pop(name)
            self._call(body, command.words[1:])
            self._functions[name] = body
            return
        if name in self.aliases:
            text = self.aliases.pop(name)
            self.script(" ".join((text, *(quoted(word) for word in command.words[1:]))))
            self.aliases[name] = text
            return
        if UNKNOWN in name or not name or name.startswith("/dev/fd/"):
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
            self._depth += 1
            self.run(Command(inner.words, command.cwds, assignments, command.stdin, prefix))
            self._depth -= 1
            return
        before = self.expander.positional
        self.expander.positional = inner.positional if inner.positional is not None else before
        start = len(self.result.commands)
        with self.maybe(), self._reading(command.stdin):
            self.script(inner.script)
        self.expander.positional = before
        if prefix or assignments:
            self.result.commands[start:] = [
                Command(made.words, made.cwds, (*assignments, *made.assignments), made.stdin, prefix + made.prefix)
                for made in self.result.commands[start:]
            ]

    def _substitution(self, node: Node) -> str:
        """Reads the commands of ``$(…)``, `` `…` `` or ``<(…)``; its output, where it is known."""
        text = node.text or b""
        if text.startswith(b"`") and b"\\" in text:
            self.trouble("a substitution is nested in a substitution")
        start = len(self.result.commands)
        with self.maybe(), self._reading(Stdin()):
            for child in node.named_children:
                if child.type == "file_redirect":
                    self._file_redirect(child)
                else:
                    self._walk(child)
        output = _output(self.result.commands[start:])
        return UNKNOWN if output is None else output.rstrip("\n")


def quoted(word: str) -> str:
    """A word as it is written in a command, marks kept."""
    if word and not re.search(r"[^\w@%+=:,./~\-\x00\x01*?\[\]{}]", word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _output(commands: list[Command]) -> str | None:
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


def _calls_itself_twice(body: Node, name: bytes) -> bool:
    """A fork bomb: a function that pipes itself into itself, or starts itself in the background."""
    for node in _descendants(body):
        if node.type == "command" and node.named_children and node.named_children[0].text == name:
            following = node.next_sibling
            if following is not None and following.type == "&":
                return True
        if node.type == "pipeline" and sum(child.text == name for child in node.named_children) > 1:
            return True
    return False


def _descendants(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield child
        yield from _descendants(child)
