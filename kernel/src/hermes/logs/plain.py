"""What somebody else said, fit to be shown: one line, without what a terminal would obey."""

from __future__ import annotations

import logging
import unicodedata

SHOWN = 500
"""Characters of a notice."""


def plain(text: str, limit: int = SHOWN) -> str:
    """``text`` on one line, control and formatting characters replaced, cut at ``limit``."""
    cut = text[: limit + 1]
    if not cut.isprintable():
        cut = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in cut)
    return cut if len(cut) <= limit else f"{cut[:limit]}…"


def log_failure(log: logging.Logger, text: str, error: BaseException) -> None:
    """Logs an exception of somebody else's. Its text may be made by code, and that code may fail."""
    try:
        log.error(text, exc_info=error)
    except BaseException:  # noqa: BLE001 (the boundary: SystemExit and worse included)
        log.error("%s: %s, which cannot be told", text, type(error).__name__)
