"""What of a message is searched, and the forms of it that the index and the snippets need."""

from __future__ import annotations

import re
import unicodedata

import msgspec

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
CJK_RUN = re.compile(f"[{CJK}]+")


class _StoredPart(msgspec.Struct):
    """Any part, as far as its text goes."""

    type: str
    text: str = ""
    content: tuple[_StoredPart, ...] = ()


_parts = msgspec.json.Decoder(tuple[_StoredPart, ...])


def searched_text(parts: str, replacement: str | None = None) -> str:
    """The text of a message's parts, a tool result's included. Both are parts as stored."""
    stored = _parts.decode(parts)
    if replacement is not None:
        stored = (*_parts.decode(replacement), *(part for part in stored if part.type != "text"))
    if len(stored) == 1 and stored[0].type == "text":
        return stored[0].text
    found = []
    for part in stored:
        if part.type == "text":
            found.append(part.text)
        elif part.type == "tool_result":
            found += [inner.text for inner in part.content if inner.type == "text"]
    return "\n".join(found)


def with_bigrams(text: str) -> str:
    """Runs of Chinese, Japanese and Korean as overlapping pairs, and their last character by itself: so that
    each pair is a term, and each character begins one.
    """
    return text if text.isascii() else CJK_RUN.sub(_bigrams, text)


def _bigrams(match: re.Match[str]) -> str:
    run = match[0]
    return f" {' '.join(run[i : i + 2] for i in range(len(run)))} "


def folded(text: str) -> str:
    """Lower case without accents, character by character: positions stay."""
    if text.isascii():
        return text.lower()
    return "".join(c.lower() if c.isascii() else unicodedata.normalize("NFD", c)[0].lower()[0] for c in text)
