"""Whether the parser read what the shell will read. Its grammar lets some text go as blank, or as part of a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_BLANK = re.compile(rb"(?:[ \t\n]|\\\n)*")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_ENDS_WORD = re.compile(rb"[\s;&|<>()]")
_BEFORE_COMMENT = b" \t\n;&|()"


def is_faithful(root: Node, source: bytes) -> bool:
    """Between tokens lie only blanks, no bare word holds what would end it, and comments start where words do."""
    at = 0
    stack = [root]
    while stack:
        node = stack.pop()
        if node.child_count and node.type != "string":
            stack.extend(reversed(node.children))
            continue
        if node.start_byte > at and not _BLANK.fullmatch(source, at, node.start_byte):
            return False
        if node.type == "comment" and at < node.start_byte + 1 and not _starts_word(source, node.start_byte):
            return False
        if node.type == "word" and _ENDS_WORD.search(_ESCAPED.sub(b"", node.text or b"")):
            return False
        at = max(at, node.end_byte)
    return _BLANK.fullmatch(source, at) is not None


def _starts_word(source: bytes, at: int) -> bool:
    return at == 0 or source[at - 1] in _BEFORE_COMMENT
