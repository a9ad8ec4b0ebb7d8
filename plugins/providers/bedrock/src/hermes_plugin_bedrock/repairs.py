"""What a model refuses, and how the same request is made again without it: once for each thing.

A repair is a change of the endpoint's quirks. Most hold for every later request to the same model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hermes.contracts.errors import ModelNotFound, ProviderError
from hermes.contracts.provider import ModelRequest

from .errors import ON_DEMAND
from .quirks import Quirks
from .regions import GLOBAL, is_bare, prefixes, region_of

Change = dict[str, Any] | Callable[[str, Quirks, ModelRequest], dict[str, Any]]
_PLACES = (("tool", "tools"), ("system", "system"), ("message", "messages"))
_LIMIT = re.compile(r"max.{0,120}?(?:model limit of|not less or equal to|>) (\d+)", re.IGNORECASE)


class Repair(NamedTuple):
    said: str
    """What is done, for the log."""
    quirks: dict[str, Any]
    keep: bool = True


def _without_cache_point(said: str, quirks: Quirks, request: ModelRequest) -> dict[str, Any]:
    """The vendor names the place: ``#/toolConfig/tools/2: extraneous key [cachePoint] is not permitted``."""
    before = said.lower().partition("extraneous key")[0].rpartition("#/")[2]
    named = [place for word, place in _PLACES if before.startswith(word)]
    return {"cache": tuple(place for place in quirks.cache if named and place not in named)}


def _with_its_limit(said: str, quirks: Quirks, request: ModelRequest) -> dict[str, Any]:
    found = _LIMIT.search(said)
    return {"max_tokens": int(found[1])} if found and request.max_tokens is None else {}


def _with_the_schema_elsewhere(said: str, quirks: Quirks, request: ModelRequest) -> dict[str, Any]:
    """Who thinks all the time cannot be forced to use a tool."""
    if request.response_format is None:
        return {}
    return {"schema": "prompt" if quirks.thinking == "always" else "tool"}


_REPAIRS: tuple[tuple[str, str, Change, bool], ...] = (
    ("cachePoint|prompt caching", "without that cache point", _without_cache_point, True),
    (
        r"encrypt|redacted|invalid.{0,30}signature|thinking.{0,30}blocks?.{0,60}cannot be modified",
        "without what was thought before",
        {"replay_thinking": False},
        False,
    ),
    (r"expected .?thinking", "without thinking", {"thinking": ""}, False),
    (
        r"InvokeModelWithResponseStream|tool use in streaming|not support.{0,20}streaming",
        "whole, not as a stream",
        {"stream": False},
        True,
    ),
    (r"support system messages", "with the system text in the message", {"system": False}, True),
    (r"support tool use", "without tools", {"tools": False}, True),
    (_LIMIT.pattern, "with as many tokens as it can answer with", _with_its_limit, True),
    (r"\btemperature\b", "without a temperature", {"temperature": False}, True),
    (r"effort|reasoningConfig", "without thinking", {"thinking": ""}, True),
    (
        r"outputConfig|output_config|textFormat|structured output",
        "with the schema elsewhere",
        _with_the_schema_elsewhere,
        True,
    ),
)
"""What the vendor's sentence has in it, what is done, the change, and whether it holds from then on."""


def repair_of(request: ModelRequest, error: ProviderError) -> Repair | None:
    """None: it cannot be helped, or was tried in vain."""
    if error.status not in (0, 400, 403, 404):
        return None
    quirks, said = Quirks.of(request.endpoint), str(error)
    if profile := _profile(request, quirks, error):
        return Repair(f"as {profile}.{request.model}", {"profile": profile})
    for pattern, done, change, keep in _REPAIRS:
        if re.search(pattern, said, re.IGNORECASE):
            wanted = change if isinstance(change, dict) else change(said, quirks, request)
            changed = {name: value for name, value in wanted.items() if value != getattr(quirks, name)}
            if changed:
                return Repair(done, changed, keep)
    return None


def _profile(request: ModelRequest, quirks: Quirks, error: ProviderError) -> str:
    """The next inference profile to try: those of the region's geography, ``global`` only where it is allowed."""
    if not is_bare(request.model):
        return ""
    known = [*prefixes(region_of(request.endpoint)), *([GLOBAL] if quirks.allow_global else [])]
    if not quirks.profile:
        return known[0] if known and ON_DEMAND.search(str(error)) else ""
    if not isinstance(error, ModelNotFound) or quirks.profile not in known:
        return ""
    return next(iter(known[known.index(quirks.profile) + 1 :]), "")
