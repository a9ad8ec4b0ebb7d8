"""A block of an answer, put together from its pieces."""

from __future__ import annotations

from typing import Any

import msgspec

from .wire import WireDelta


class OpenBlock:
    """``begun``: the block as its first event has it; its pieces are added to that."""

    def __init__(self, begun: dict[str, Any]) -> None:
        self._begun = begun
        self.kind = str(begun.get("type", ""))
        self.name = str(begun.get("name", ""))
        self._json: list[str] = []
        self._said: list[str] = []
        self._signature: str | None = None
        self._citations: list[Any] = []

    @property
    def opening(self) -> str:
        """The text or thinking that the first event has already; mostly none."""
        return str(self._begun.get(self.kind) or "") if self.kind in ("text", "thinking") else ""

    def add(self, delta: WireDelta) -> None:
        if delta.partial_json:
            self._json.append(delta.partial_json)
        if delta.signature is not None:
            self._signature = delta.signature
        if delta.citation is not None:
            self._citations.append(delta.citation)

    def say(self, text: str) -> None:
        self._said.append(text)

    @property
    def arguments(self) -> str:
        """Of a call: JSON text as it came, valid or not."""
        whole = "".join(self._json)
        if whole.strip():
            return whole
        given = self._begun.get("input")
        return msgspec.json.encode(given).decode() if given else "{}"

    @property
    def id(self) -> str:
        return str(self._begun.get("id") or "")

    def kept(self, call_id: str = "") -> dict[str, Any]:
        """The block as it goes back. A call without name and input: the message has them."""
        kept = dict(self._begun)
        if self.kind in ("text", "thinking"):
            kept[self.kind] = "".join(self._said)
        if self._signature is not None:
            kept["signature"] = self._signature
        if self._citations:
            kept["citations"] = [*(kept.get("citations") or []), *self._citations]
        if self.kind == "tool_use":
            return {name: value for name, value in kept.items() if name not in ("name", "input")} | {"id": call_id}
        if self._json:
            kept["input"] = _object(self.arguments)
        return kept


def _object(arguments: str) -> Any:
    """What was cut is no JSON, and has to be left out: state that cannot be read would end the session."""
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {}
