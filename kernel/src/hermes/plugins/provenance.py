"""Which distributions come with Hermes. Their plugins run in its process."""

from __future__ import annotations

import functools
import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

AGENT, KERNEL = "hermes-agent", "hermes-kernel"


def is_first_party(dist: Distribution | None) -> bool:
    """Whether it comes with Hermes: named by the distribution that brings all of it, or of the same working tree."""
    if dist is None:
        return False
    folder = _folder_of(dist)
    if folder is not None:
        return _working_tree() is not None and folder.is_relative_to(_working_tree() or folder)
    return _plain(dist.name) in _named_by_agent()


@functools.cache
def _named_by_agent() -> frozenset[str]:
    try:
        requirements = distribution(AGENT).requires or []
    except PackageNotFoundError:
        return frozenset()
    return frozenset(_plain(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in requirements)


@functools.cache
def _working_tree() -> Path | None:
    try:
        folder = _folder_of(distribution(KERNEL))
    except PackageNotFoundError:
        return None
    return folder.parent if folder is not None else None


def _folder_of(dist: Distribution) -> Path | None:
    """The folder that a distribution was installed from; None: it was not."""
    try:
        told: Any = json.loads(dist.read_text("direct_url.json") or "null")
    except ValueError:
        return None
    if not isinstance(told, dict) or "dir_info" not in told:
        return None
    return Path(unquote(urlsplit(told["url"]).path)).resolve()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
