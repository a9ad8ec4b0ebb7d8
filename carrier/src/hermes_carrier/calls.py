"""Calls of tools: their ids, and their arguments both ways."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from hermes.contracts.messages import ToolCallPart
from hermes.contracts.provider import ModelRequest

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class CallIds:
    """The ids of one answer's calls: none is given out twice in a conversation.

    One that has to be made is derived from the request's id, so it is the same whenever the answer is read.
    """

    def __init__(self, request: ModelRequest, *, prefix: str = "call_") -> None:
        self._request = request
        self._prefix = prefix
        self._taken: set[str] | None = None

    def free(self, call_id: str | None) -> str:
        """``call_id`` if it is one and still free, else another."""
        if self._taken is None:
            parts = (part for message in self._request.messages for part in message.parts)
            self._taken = {part.id for part in parts if isinstance(part, ToolCallPart)}
        free, attempt = call_id or "", 0
        while not free or free in self._taken:
            seed = f"{self._request.id}\n{attempt}"
            free, attempt = f"{self._prefix}{_digest(seed)[:24]}", attempt + 1
        self._taken.add(free)
        return free

    def call(self, call_id: str | None, name: str, arguments: str) -> ToolCallPart:
        """A call of the answer. ``name``: as the tool is called here. Blank arguments are those of no object's."""
        return ToolCallPart(id=self.free(call_id), name=name, arguments=arguments if arguments.strip() else "{}")


def accepted_id(call_id: str, form: re.Pattern[str], *, prefix: str = "call_", digits: int = 24) -> str:
    """``call_id`` if the vendor takes it, which ``form`` says, else one of that length: the same in every request."""
    return call_id if form.fullmatch(call_id) else f"{prefix}{_digest(call_id)[:digits]}"


def arguments_of(call: ToolCallPart) -> Any:
    """For vendors that want an object: byte for byte as it was written; what is no JSON object is put into one."""
    if not call.arguments.strip():
        return {}
    try:
        _object_decoder.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": call.arguments}
    return msgspec.Raw(call.arguments.encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
