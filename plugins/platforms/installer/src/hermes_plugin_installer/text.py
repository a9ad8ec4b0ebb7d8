"""Strangers' texts, made fit for a terminal."""

from __future__ import annotations


def plain(text: object, limit: int = 300, *, keep: str = "") -> str:
    """On one line, without what would move the cursor or turn the writing around. ``keep``: letters to be left."""
    shown = "".join(letter if letter.isprintable() or letter in keep else "?" for letter in str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
