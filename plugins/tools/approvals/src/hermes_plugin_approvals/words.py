"""Words of a shell command, expanded as far as their text tells: quotes, escapes, braces, tildes, known variables.

A word has one or more possible expansions, each a tuple of fields. What only the running shell can know is
`UNKNOWN` in a field's text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .paths import HOME, UNKNOWN, names

if TYPE_CHECKING:
    from tree_sitter import Node

Fields = tuple[str, ...]
MAX_ALTERNATIVES = 16
MAX_BRACES = 64

_PLACE = 0xE000
"""Pieces that braces, tildes and globs must not look into stand in as one private character each."""
_FIELD_BREAK = "\x1f"
_ANSI = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_ANSI_LETTERS = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SEQUENCE = re.compile(r"(-?\d{1,6}|[A-Za-z])\.\.(-?\d{1,6}|[A-Za-z])")
_HIDDEN = re.compile(r"(?<!\\)(?:\\\\)*(?:`|\$\()")

_BARE_EXPANSION = re.compile(r"(\$(?:[A-Za-z_]\w*|\d))")
_UNREAD_EXPANSION = re.compile(r"\$[{(@*#?!$'\"\[-]")
_QUOTED_EXPANSION = re.compile(r"(?<!\\)(?:\\\\)*(?:\$[\w{(@*#?!$-]|`)")

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ENCODED = re.compile("\x02([0-9a-f]{2,6})\x03")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBERS = names("RANDOM SECONDS LINENO EPOCHSECONDS PPID UID EUID SHLVL")

Variables = dict[str, tuple[str, ...]]
"""Name → possible values."""


class Piece:
    """A part of a word. ``kind``: ``literal``, ``quoted``, ``expanded`` (split into fields) or ``fields``."""

    __slots__ = ("kind", "values")

    def __init__(self, kind: str, *values: str) -> None:
        self.kind = kind
        self.values = values or ("",)


class Expander:
    """``substitute`` reads a command substitution and gives its output, where that is known.

    ``trouble`` is told what cannot be read.
    """

    def __init__(self, substitute: Callable[[Node], str], trouble: Callable[[str], None]) -> None:
        self.variables: Variables = {}
        self.positional: Fields | None = None
        self.numeric: set[str] = set()
        """Variables that hold the result of arithmetic."""
        self._substitute = substitute
        self._trouble = trouble

    def fields(self, *nodes: Node) -> list[Fields]:
        """The possible expansions of the word that ``nodes``, which touch one another, make up."""
        pieces = [piece for node in nodes for piece in self._pieces(node)]
        if any("$" in piece.values[0] for piece in pieces if piece.kind == "literal"):
            pieces = list(self._mended(pieces))
        if all(piece.kind == "literal" for piece in pieces) and len(pieces) == 1:
            text = pieces[0].values[0]
            if not text.startswith("~") and "{" not in text:
                return [(text,)]
        return list(dict.fromkeys(_fields(pieces, choice) for choice in _choices(pieces)))

    def values(self, *nodes: Node) -> tuple[str, ...]:
        """As in an assignment or a redirection: one field, never split."""
        alternatives = self.fields(*nodes)
        return tuple(dict.fromkeys(" ".join(fields) for fields in alternatives)) or ("",)

    def _mended(self, pieces: list[Piece]) -> Iterator[Piece]:
        """The grammar takes some expansions in the middle of a word for bare text, as in ``a$X-b$X/``."""
        runs = itertools.groupby(pieces, key=lambda piece: piece.kind == "literal")
        groups = [(bare, list(run)) for bare, run in runs]
        for number, (bare, run) in enumerate(groups):
            if not bare:
                yield from run
                continue
            text = "".join(piece.values[0] for piece in run)
            followed = number + 1 < len(groups)
            for part in _BARE_EXPANSION.split(text):
                if _BARE_EXPANSION.fullmatch(part):
                    yield self._variable(part[1:], "expanded")
                elif part:
                    yield Piece("literal", part)
            if _UNREAD_EXPANSION.search(text) or (followed and text.endswith("$")):
                self._trouble("an expansion cannot be read")
                yield Piece("expanded", UNKNOWN)

    def _pieces(self, node: Node) -> Iterator[Piece]:
        kind = node.type
        text = text_of(node)
        if kind in ("word", "number", "variable_name", "test_operator", "extglob_pattern", "regex"):
            if _HIDDEN.search(text):
                self._trouble("a substitution is hidden in a word")
            yield from _unescaped(text)
        elif kind in ("concatenation", "command_name", "brace_expression"):
            yield from self._slices(node, node.start_byte, node.end_byte, quoted=False)
        elif kind == "string":
            yield from self._slices(node, node.start_byte + 1, node.end_byte - 1, quoted=True)
        elif kind == "translated_string":
            for child in node.named_children:
                yield from self._pieces(child)
        elif kind == "raw_string":
            yield Piece("quoted", text[1:-1])
        elif kind == "ansi_c_string":
            yield Piece("quoted", _ANSI.sub(_ansi, text[2:-1]))
        else:
            yield from self._expansion(node, quoted=False)

    def _slices(self, node: Node, start: int, end: int, *, quoted: bool) -> Iterator[Piece]:
        """Children by their nodes, and the text between them as it stands."""
        source = node.text or b""
        at = start
        for child in node.children:
            if child.type in ('"', "string_content") or (quoted and not child.is_named):
                continue
            if child.type == "$" or (not child.is_named and not quoted):
                continue
            if child.start_byte > at:
                yield from self._literal(source[at - node.start_byte : child.start_byte - node.start_byte], quoted)
            yield from self._expansion(child, quoted=True) if quoted else self._pieces(child)
            at = child.end_byte
        if end > at:
            yield from self._literal(source[at - node.start_byte : end - node.start_byte], quoted)

    def _literal(self, data: bytes, quoted: bool) -> Iterator[Piece]:
        text = decoded(data)
        if not quoted:
            yield from _unescaped(text)
            return
        if _QUOTED_EXPANSION.search(text):
            self._trouble("an expansion cannot be read")
            yield Piece("quoted", UNKNOWN)
        yield Piece("quoted", re.sub(r'\\([$`"\\\n])', lambda match: match[1].strip("\n"), text))

    def _expansion(self, node: Node, *, quoted: bool) -> Iterator[Piece]:
        kind = "quoted" if quoted else "expanded"
        if node.type == "simple_expansion":
            yield self._variable(text_of(node)[1:], kind)
        elif node.type == "expansion":
            yield from self._braced(node, kind)
        elif node.type == "command_substitution":
            yield Piece(kind, self._substitute(node))
        elif node.type == "process_substitution":
            self._substitute(node)
            yield Piece("quoted", "/dev/fd/63")
        elif node.type == "arithmetic_expansion":
            self._inner_substitutions(node)
            self.check_arithmetic(node)
            yield Piece("quoted", UNKNOWN)
        elif node.type == "array":
            self._inner_substitutions(node)
            yield Piece(kind, UNKNOWN)
        else:
            self._inner_substitutions(node)
            self._trouble(f"{text_of(node)[:40]} cannot be read")
            yield Piece(kind, UNKNOWN)

    def _variable(self, name: str, kind: str) -> Piece:
        if name in ("@", "*"):
            if self.positional is None:
                return Piece(kind, UNKNOWN)
            return Piece(
                "fields" if name == "@" else kind, (_FIELD_BREAK if name == "@" else " ").join(self.positional)
            )
        if name.isdigit() and self.positional is not None and name != "0":
            return Piece(kind, self.positional[int(name) - 1] if int(name) <= len(self.positional) else "")
        if name in self.variables:
            values = self.variables[name]
            if kind == "expanded" and "IFS" in self.variables:
                values = (UNKNOWN,)
            return Piece(kind, *values)
        return Piece(kind, {"HOME": HOME, "IFS": " \t\n"}.get(name, UNKNOWN))

    def _braced(self, node: Node, kind: str) -> Iterator[Piece]:
        """``${…}``: plain names and defaults are known; of the rest only what runs inside is looked at."""
        children = node.children
        if len(children) == 3 and children[1].type in ("variable_name", "special_variable_name"):
            yield self._variable(text_of(children[1]), kind)
            return
        self._inner_substitutions(node)
        if "`" in text_of(node) or "$(" in text_of(node):
            self._trouble("a substitution is nested in a parameter")
        if any(child.type in ("subscript", ":") for child in children):
            self.check_arithmetic(*children[1 if children[1].type == "subscript" else 2 :])
        name = text_of(children[1]) if children[1].type == "variable_name" else ""
        operator = children[2].type if name and len(children) > 2 else ""
        if operator in (":=", "="):
            self.variables[name] = (*self.variables.get(name, ()), UNKNOWN)
        if operator in (":-", "-", ":=", "=") and all(self.variables.get(name, ("",))):
            own = self._variable(name, kind)
            if UNKNOWN not in own.values:
                yield own
                return
        if operator in (":-", "-", ":=", "=", ":+", "+"):
            default = self.values(*children[3:-1]) if len(children) > 4 else ("",)
            values = self._variable(name, kind).values if operator not in (":+", "+") else ("",)
            yield Piece(kind, *dict.fromkeys((*values, *default)))
            return
        yield Piece(kind, UNKNOWN)

    def check_arithmetic(self, *nodes: Node) -> None:
        """The shell evaluates what a variable holds, commands in subscripts too: so it has to be known for a number."""
        for node in nodes:
            for name in _names_in(node):
                values = self.variables.get(name)
                numbers = values is not None and all(re.fullmatch(r"-?\d*", value) for value in values)
                if not numbers and name not in self.numeric and name not in _NUMBERS:
                    self._trouble(f"it calculates with {name}, whose value is not known")

    def _inner_substitutions(self, node: Node) -> None:
        for child in node.children:
            if child.type in ("command_substitution", "process_substitution"):
                self._substitute(child)
            elif (
                child.child_count == 0 and _HIDDEN.search(text_of(child)) and child.type in ("word", "regex", "number")
            ):
                self._trouble("a substitution is hidden in a word")
            else:
                self._inner_substitutions(child)


def _names_in(node: Node) -> Iterator[str]:
    if node.type in ("variable_name", "word") and (names_found := _NAME.findall(text_of(node))):
        yield from (name for name in names_found if name)
    elif node.type == "subscript":
        yield from (name for child in node.named_children[1:] for name in _names_in(child))
    elif node.type not in ("command_substitution", "test_operator"):
        yield from (name for child in node.children for name in _names_in(child))


def encoded(text: str) -> bytes:
    """Source for the parser, in ASCII: the grammar's scanner reads beyond its tables at other characters."""
    if text.isascii():
        return text.encode()
    return _NOT_ASCII.sub(lambda match: f"\x02{ord(match[0]):x}\x03", text).encode()


def decoded(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), text) if "\x02" in text else text


def text_of(node: Node) -> str:
    return decoded(node.text or b"")


def _unescaped(text: str) -> Iterator[Piece]:
    """Bare text: an escaped character is as good as quoted."""
    for part in re.split(r"(\\.)", text, flags=re.DOTALL) if "\\" in text else (text,):
        if part[:1] == "\\":
            yield Piece("quoted", "" if part[1:] == "\n" else part[1:])
        elif part:
            yield Piece("literal", part)


def _ansi(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16) % 0x110000)
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    if code[0] == "c" and len(code) > 1:
        return chr(ord(code[1]) & 0x1F)
    return _ANSI_LETTERS.get(code, code)


def _choices(pieces: list[Piece]) -> Iterator[Fields]:
    count = 1
    for piece in pieces:
        count *= len(piece.values)
    if count > MAX_ALTERNATIVES:
        return iter([tuple(piece.values[0] if len(piece.values) == 1 else UNKNOWN for piece in pieces)])
    return itertools.product(*(piece.values for piece in pieces))


def _fields(pieces: list[Piece], choice: Fields) -> Fields:
    template = "".join(
        value if piece.kind == "literal" else chr(_PLACE + at)
        for at, (piece, value) in enumerate(zip(pieces, choice, strict=True))
    )
    fields: list[str] = []
    for word in braces(template):
        fields.extend(_split(_tilde(word), pieces, choice))
    return tuple(fields)


def _tilde(word: str) -> str:
    if not word.startswith("~"):
        return word
    name, slash, rest = word[1:].partition("/")
    if any(ord(char) >= _PLACE for char in name):
        return word
    home = {"": HOME, "root": "/root", "+": UNKNOWN, "-": UNKNOWN}.get(name, f"/home/{name}")
    return home + slash + rest


def _split(word: str, pieces: list[Piece], choice: Fields) -> list[str]:
    """Fields of a word. A quoted piece makes a field even when it is empty."""
    fields: list[str] = []
    current: str | None = None
    for char in word:
        at = ord(char) - _PLACE
        if not 0 <= at < len(pieces):
            current = (current or "") + char
            continue
        kind, value = pieces[at].kind, choice[at]
        if kind == "quoted":
            current = (current or "") + value
            continue
        parts = value.split(_FIELD_BREAK) if kind == "fields" else re.split(r"[ \t\n]+", value)
        for number, part in enumerate(parts):
            if number and current is not None:
                fields.append(current)
                current = None
            if part:
                current = (current or "") + part
    return fields if current is None else [*fields, current]


def braces(word: str) -> list[str]:
    """Brace expansion; more than `MAX_BRACES` words become one unknown one."""
    if word.count("{") > MAX_BRACES:
        return [UNKNOWN]
    words = _braces(word, MAX_BRACES)
    return words if len(words) <= MAX_BRACES else [UNKNOWN]


def _braces(word: str, limit: int) -> list[str]:
    for start in (at for at, char in enumerate(word) if char == "{"):
        parts, end = _brace_parts(word, start)
        if parts:
            tails = _braces(word[end:], limit)
            return [
                word[:start] + middle + tail
                for part in parts[: limit + 1]
                for middle in _braces(part, limit)
                for tail in tails[: limit + 1]
            ][: limit + 1]
    return [word]


def _brace_parts(word: str, start: int) -> tuple[list[str], int]:
    depth, begin = 0, start + 1
    parts: list[str] = []
    for at in range(start, len(word)):
        char = word[at]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                last = word[begin:at]
                if parts:
                    return [*parts, last], at + 1
                return _sequence(word[start + 1 : at]), at + 1
        elif char == "," and depth == 1:
            parts.append(word[begin:at])
            begin = at + 1
    return [], start


def _sequence(text: str) -> list[str]:
    match = _SEQUENCE.fullmatch(text)
    if match is None or match[1].lstrip("-").isdigit() != match[2].lstrip("-").isdigit():
        return []
    numeric = match[1].lstrip("-").isdigit()
    first, last = (int(match[1]), int(match[2])) if numeric else (ord(match[1]), ord(match[2]))
    step = 1 if last >= first else -1
    numbers = range(first, last + step, step)[: MAX_BRACES + 1]
    return [str(number) if numeric else chr(number) for number in numbers]
