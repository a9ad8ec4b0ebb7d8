"""Redirections and here-documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .paths import UNKNOWN, names
from .script import Redirect, Stdin
from .shell import Shell
from .words import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

WORDS = names(
    "word string raw_string ansi_c_string translated_string concatenation simple_expansion expansion number regex "
    "command_substitution process_substitution arithmetic_expansion brace_expression extglob_pattern array"
)


class Redirections(Shell):
    """What a command reads and writes."""

    def heredoc(self, node: Node, after: list[tuple[Node, bool]], more: list[Node]) -> str | None:
        """The document, where it is known; ``after`` gets the statements written behind its mark."""
        delimiter, body_text, end_text, known = "", "", "", True
        ends_line = False
        raw = False
        for child in node.children:
            text = text_of(child)
            if child.type == "heredoc_start":
                delimiter = re.sub(r"['\"\\]", "", text)
                raw = delimiter != text
            elif child.type == "heredoc_body":
                body_text = text
                known = (
                    raw
                    or not child.named_children
                    or all(part.type == "heredoc_content" for part in child.named_children)
                )
                for part in child.named_children:
                    if part.type != "heredoc_content":
                        self.walk(part)
            elif child.type == "heredoc_end":
                end_text = text
                ends_line = _following(child) in (b"", b"\n")
            elif child.type == "file_redirect":
                more += self.file_redirect(child)
            elif child.type == "herestring_redirect":
                self.herestring(child)
            elif child.type in WORDS:
                more.append(child)
            elif child.is_named and child.type != "file_descriptor":
                after.append((child, child.type == "pipeline"))
        lines = [line.lstrip("\t") for line in body_text.split("\n")]
        if not ends_line or end_text.strip("\t") != delimiter or delimiter in lines:
            self.trouble("a here-document's end is unclear")
        if not raw and ("`" in body_text or re.search(r"\\\n", body_text)):
            self.trouble("a here-document runs commands")
        if not raw and "$(" in body_text and known:
            self.trouble("a here-document runs commands")
        return body_text if known and (raw or "\\" not in body_text) else None

    def _herestring_redirect(self, node: Node) -> None:
        self.herestring(node)

    def herestring(self, node: Node) -> Stdin:
        values = self.expander.values(*node.named_children[-1:])
        return Stdin(values[0]) if len(values) == 1 and UNKNOWN not in values[0] else Stdin(sources=("<<<",))

    def file_redirect(self, node: Node) -> list[Node]:
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


def _following(node: Node) -> bytes:
    """The byte behind a node. A here-document's mark has its line to itself, which the grammar does not ask for."""
    root = node
    while root.parent is not None:
        root = root.parent
    return (root.text or b"")[node.end_byte - root.start_byte :][:1]
