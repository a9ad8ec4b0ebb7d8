"""Whether the parser read what the shell will read. Its grammar lets some text go as blank, or as part of a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_BLANK = re.compile(rb"(?:[ \t\n]|\\\n)*")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_ENDS_WORD = re.compile(rb"[\s;&|<>()]")
_TEXTS = frozenset({"string", "heredoc_body"})
_BEFORE_COMMENT = b" \t\n;&|()"


def is_faithful(root: Node, source: bytes) -> bool:
    """Between tokens lie only blanks, no bare word holds what would end it, and comments start where words do."""
    at = _end_of_faithful(root, source, 0)
    return at >= 0 and _BLANK.fullmatch(source, at) is not None


def _end_of_faithful(root: Node, source: bytes, at: int) -> int:
    """Where the last token ends; -1 if one is not what it seems. In texts all that lies between expansions belongs."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type in _TEXTS:
            if any(_end_of_faithful(child, source, child.start_byte) < 0 for child in node.named_children):
                return -1
        elif node.child_count:
            stack.extend(reversed(node.children))
            continue
        if node.start_byte > at and not _BLANK.fullmatch(source, at, node.start_byte):
            return -1
        if node.type == "comment" and not _starts_word(source, node.start_byte):
            return -1
        if node.type == "word" and _ENDS_WORD.search(_ESCAPED.sub(b"", node.text or b"")):
            return -1
        at = max(at, node.end_byte)
    return at


def _starts_word(source: bytes, at: int) -> bool:
    return at == 0 or source[at - 1] in _BEFORE_COMMENT
