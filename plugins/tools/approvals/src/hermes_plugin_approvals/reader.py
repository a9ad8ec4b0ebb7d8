"""Reads a shell command: every simple command in it, with its words expanded as far as the text tells.

What is not understood is listed in ``problems``, and then has to be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from .faithful import is_faithful
from .paths import HOME, UNKNOWN, names
from .redirections import WORDS, Redirections
from .script import Command, Fields, Script, Stdin, output_of
from .shell import MAX_DEPTH, TOO_LONG
from .words import braces, decoded, encoded, text_of

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_BYTES = 65_536
MAX_NESTING = 40
MAX_STEPS = 20_000
"""Nodes that are looked at: loops and calls look at theirs again."""
MAX_LOOP = 8

_CONDITIONAL = names("if_statement elif_clause else_clause case_statement case_item subshell negated_command")
_GROUPS = names(
    "program compound_statement do_group variable_assignments test_command binary_expression unary_expression "
    "ternary_expression postfix_expression parenthesized_expression variable_name test_operator subscript "
    "special_variable_name"
)
_ODD = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\x85\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\ue000-\uf8ff]"
)
_NOT_IN_TESTS = frozenset({"<", ">", "<=", ">=", "<<", ">>", "&&", "||", "&", "|", ";", "(", ")", "=~", "\n", "?", ","})
_ARITHMETIC_TESTS = frozenset({b"-eq", b"-ne", b"-lt", b"-le", b"-gt", b"-ge", b"-v"})
_CONTINUATION = re.compile(r"(?<![\s\\])((?:\\\\)*)\\\n(?=\S)")
_GUESS = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;&|()<>`])+|[;&|()`\n]""", re.DOTALL)


@lru_cache(1)
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def read(text: str, cwds: tuple[str, ...]) -> Script:
    """Reads a command line or script that starts in one of ``cwds``."""
    reader = Reader(Script(cwds or (UNKNOWN,)))
    try:
        reader.script(text)
    except (_TooMuchError, RecursionError):
        reader.trouble(TOO_LONG)
        reader.guess(text[:MAX_BYTES])
    return reader.result


class _TooMuchError(Exception):
    pass


class Reader(Redirections):
    """Walks the syntax as the shell would run it, every branch taken, every loop a few times."""

    def __init__(self, result: Script) -> None:
        super().__init__(result)
        self._more: list[Node] = []
        """Words of the coming command that the grammar files under a redirection."""
        self._steps = 0
        self._nesting = 0

    def script(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        text = data.decode()
        if len(data) > MAX_BYTES or self.depth > MAX_DEPTH:
            self.trouble(TOO_LONG)
            self.guess(text[:MAX_BYTES])
            return
        if _ODD.search(text) and _ODD.search(text.replace(HOME, "~").replace(UNKNOWN, "")):
            self.trouble("it contains control or invisible characters")
        if UNKNOWN in text or HOME in text:
            if UNKNOWN in text:
                self.trouble("a part of it is known only when it runs")
            text = text.replace(HOME, "$HOME").replace(UNKNOWN, "$UNKNOWN")
        if "\\\n" in text:
            joined = _CONTINUATION.sub(r"\1", text)
            if joined != text and ("#" in text or "'" in text):
                self.trouble("a line goes on where it may not")
            text = joined
        self.depth += 1
        source = encoded(text)
        tree = _parser().parse(source)
        if tree.root_node.has_error or not is_faithful(tree.root_node, source):
            self.trouble("its syntax cannot be read")
            self.guess(text)
        self.walk(tree.root_node)
        self.depth -= 1

    def guess(self, text: str) -> None:
        words: list[str] = []
        for token in [*_GUESS.findall(text), ";"]:
            if token in (";", "&", "|", "(", ")", "`", "\n"):
                if words and words[0]:
                    self.result.guesses.append(Command(tuple(words), self.result.cwds))
                words = []
            else:
                words += [re.sub(r"['\"\\]", "", word) for word in braces(token)]

    def walk(self, node: Node) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS or self._nesting > MAX_NESTING:
            raise _TooMuchError
        self._nesting += 1
        self._visit(node)
        self._nesting -= 1

    def _visit(self, node: Node) -> None:
        kind = node.type
        if kind in WORDS:
            texts = [field for fields in self.expander.fields(node) for field in fields]
            if any("$(" in text or "`" in text for text in texts):
                self.trouble("a test may run code")
        elif kind in _GROUPS or kind in _CONDITIONAL:
            if kind == "test_command" and node.children[0].type == "[":
                self._check_test(node)
            if _calculates(node):
                self.expander.check_arithmetic(node)
            self.conditional += kind in _CONDITIONAL
            for child in node.named_children:
                self.walk(child)
            self.conditional -= kind in _CONDITIONAL
        elif kind != "comment":
            handler = getattr(self, f"_{kind}", None)
            if handler is None:
                self.trouble("its syntax cannot be read")
                for child in node.named_children:
                    self.walk(child)
            else:
                handler(node)

    def _check_test(self, node: Node) -> None:
        """In ``[ ]`` the grammar takes for operators what redirects, and an unquoted word may become several."""
        if _has_operators(node):
            self.trouble("a test holds more than a test")
        for child in _descendants(node):
            if child.type in ("simple_expansion", "expansion", "command_substitution") and not _is_quoted(child):
                name = text_of(child).strip("${}")
                known = not any(UNKNOWN in field for fields in self.expander.fields(child) for field in fields)
                if not known and name not in self.expander.numeric and name not in ("#", "?", "$", "!"):
                    self.trouble("a test on a bare variable may become another test")

    def _list(self, node: Node) -> None:
        first, *rest = node.named_children
        self.walk(first)
        with self.maybe():
            for child in rest:
                self.walk(child)

    def _pipeline(self, node: Node) -> None:
        self._stages(node.named_children, self.stdin)

    def _stages(self, stages: list[Node], stdin: Stdin) -> None:
        sources: tuple[str, ...] = stdin.sources
        with self.maybe():
            for stage in stages:
                start = len(self.result.commands)
                with self.reading(stdin):
                    self.walk(stage)
                made = self.result.commands[start:]
                sources = (*sources, *(command.program for command in made))
                stdin = Stdin(output_of(made), sources)

    def _while_statement(self, node: Node) -> None:
        self._loop(node.named_children)

    def _c_style_for_statement(self, node: Node) -> None:
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.walk(child)
            elif child.type not in ("do_group", "compound_statement"):
                self.expander.check_arithmetic(child)
        self._loop(node.named_children)

    def _loop(self, children: list[Node]) -> None:
        """A second time where the first has changed what the first saw."""
        with self.maybe():
            for _ in range(2):
                before = dict(self.expander.variables)
                for child in children:
                    self.walk(child)
                if before == self.expander.variables:
                    break

    def _for_statement(self, node: Node) -> None:
        name = text_of(node.named_children[0])
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
        self.functions[decoded(name)] = body
        self.call(body, None)

    def _redirected_statement(self, node: Node) -> None:
        stdin = self.stdin
        after: list[tuple[Node, bool]] = []
        more: list[Node] = []
        body = node.child_by_field_name("body")
        for child in node.named_children:
            if child == body:
                continue
            if child.type == "heredoc_redirect":
                stdin = Stdin(self.heredoc(child, after, more))
            elif child.type == "herestring_redirect":
                stdin = self.herestring(child)
            elif child.type == "file_redirect":
                more += self.file_redirect(child)
            else:
                self.walk(child)
        start = len(self.result.commands)
        self._more = more
        with self.reading(stdin):
            if body is not None:
                self.walk(body)
        if self._more:
            self.trouble("words follow a redirection")
            self._more = []
        made = self.result.commands[start:]
        for statement, piped in after:
            if not piped:
                with self.maybe():
                    self.walk(statement)
                continue
            stages = statement.named_children if statement.type == "pipeline" else [statement]
            self._stages(stages, Stdin(output_of(made), tuple(command.program for command in made)))

    def _variable_assignment(self, node: Node) -> None:
        for name, values in self._assigned(node):
            self.assign(name, values)
            self.result.variables.add(name)

    def _assigned(self, node: Node) -> list[tuple[str, tuple[str, ...]]]:
        target, *value = node.named_children
        name = text_of(target)
        values = self.expander.values(*value) if value else ("",)
        if target.type == "subscript":
            self.walk(target)
            name = name.partition("[")[0]
            values = (UNKNOWN,)
        calculated = len(value) == 1 and value[0].type == "arithmetic_expansion"
        (self.expander.numeric.add if calculated else self.expander.numeric.discard)(name)
        if any(child.type == "+=" for child in node.children):
            values = tuple(old + new for old in self.expander.variables.get(name, (UNKNOWN,)) for new in values)
        if any("$(" in text or "`" in text for text in values):
            self.trouble("a variable holds code")
        return [(name, values)]

    def _declaration_command(self, node: Node) -> None:
        words = [text_of(node.children[0])]
        for child in node.named_children:
            if child.type == "variable_assignment":
                for name, values in self._assigned(child):
                    self.assign(name, values)
                    words.append(f"{name}={values[0] if len(values) == 1 else UNKNOWN}")
            elif child.type != "comment":
                words += [field for fields in self.expander.fields(child)[:1] for field in fields]
        self.run(Command(tuple(words), self.result.cwds, stdin=self.stdin))

    _unset_command = _declaration_command

    def _command(self, node: Node) -> None:
        assignments: list[tuple[str, str]] = []
        groups: list[list[Node]] = []
        stdin = self.stdin
        more, self._more = self._more, []
        for child in (*node.named_children, *more):
            if child.type == "variable_assignment":
                for name, values in self._assigned(child):
                    assignments.append((name, values[0] if len(values) == 1 else UNKNOWN))
            elif child.type == "file_redirect":
                groups += [[word] for word in self.file_redirect(child)]
            elif child.type == "herestring_redirect":
                stdin = self.herestring(child)
            elif groups and groups[-1][-1].end_byte == child.start_byte:
                groups[-1].append(child)
            else:
                groups.append([child])
        for words in self._combinations([self.expander.fields(*group) for group in groups]):
            self.run(Command(words, self.result.cwds, tuple(assignments), stdin))

    def _combinations(self, words: list[list[Fields]]) -> list[Fields]:
        if all(len(alternatives) == 1 for alternatives in words):
            return [tuple(field for alternatives in words for field in alternatives[0])]
        found: list[Fields] = [()]
        for alternatives in words:
            found = [(*start, *fields) for start in found for fields in alternatives]
            if len(found) > 16:
                self.trouble("it has too many readings")
                found = found[:16]
        return found

    def substitution(self, node: Node) -> str:
        """Reads the commands of ``$(…)``, `` `…` `` or ``<(…)``; its output, where it is known."""
        text = node.text or b""
        if b"\\" in text and not text.startswith((b"$(", b"<(", b">(")):
            self.trouble("a substitution is nested in a substitution")
        start = len(self.result.commands)
        with self.maybe(), self.reading(Stdin()):
            for child in node.named_children:
                if child.type == "file_redirect":
                    self.file_redirect(child)
                else:
                    self.walk(child)
        output = output_of(self.result.commands[start:])
        return UNKNOWN if output is None else output.rstrip("\n")


def _has_operators(node: Node) -> bool:
    return any(
        child.type in _NOT_IN_TESTS or (child.type not in WORDS and _has_operators(child)) for child in node.children
    )


def _is_quoted(node: Node) -> bool:
    while node.parent is not None and node.type != "test_command":
        if node.type == "string":
            return True
        node = node.parent
    return False


def _calculates(node: Node) -> bool:
    """Is it ``((…))``, or a comparison of numbers in ``[[ ]]``?"""
    if node.type == "compound_statement":
        return node.children[0].type == "(("
    return node.type in ("binary_expression", "unary_expression") and any(
        child.type == "test_operator" and child.text in _ARITHMETIC_TESTS for child in node.children
    )


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
