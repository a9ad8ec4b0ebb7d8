"""Names of tools as a vendor takes them, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from hermes.contracts.messages import ToolCallPart, ToolResultPart
from hermes.contracts.provider import ModelRequest

_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


class ToolNames:
    """Of one request. A name that the vendor refuses is mapped to one it takes, the same one in every request.

    ``first``: a regular expression for what a name has to begin with.
    """

    def __init__(self, request: ModelRequest, *, longest: int = 64, first: str = "") -> None:
        self._longest = longest
        self._first = re.compile(first) if first else None
        self._ours: dict[str, str] = {}
        for name in _names(request):
            if (theirs := self.theirs(name)) != name:
                self._ours[theirs] = name

    def theirs(self, name: str) -> str:
        """As the vendor takes it."""
        plain = _OTHERS.sub("_", name)
        if self._first is not None and not self._first.match(plain):
            plain = f"t_{plain}"
        if name and plain == name and len(name) <= self._longest:
            return name
        # Two names may differ only in what was replaced or cut off.
        mark = hashlib.sha256(name.encode()).hexdigest()[:6]
        return f"{plain[: self._longest - 7]}_{mark}"

    def ours(self, name: str) -> str:
        """As the tool is called here."""
        return self._ours.get(name, name)


def _names(request: ModelRequest) -> Iterable[str]:
    for tool in request.tools:
        yield tool.name
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart | ToolResultPart):
                yield part.name
