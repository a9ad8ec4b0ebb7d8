"""Puts tool calls together from the pieces that servers send them in."""

from __future__ import annotations

from typing import Any

import msgspec

from hermes.contracts.messages import ToolCallPart
from hermes.contracts.provider import ModelRequest
from hermes_carrier.calls import CallIds
from hermes_carrier.names import ToolNames

from .wire import WireCall


class _Pending:
    """A call that is being written."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.extra: Any = None

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def complete(self) -> bool:
        try:
            msgspec.json.decode(self.arguments)
        except msgspec.DecodeError:
            return False
        return True


class ToolCalls:
    """The calls of one answer, in the order in which they began.

    Pieces belong together by their index; where a server leaves that out, or gives several calls the same one, by
    id and name.
    """

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._calls: list[_Pending] = []

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, piece: WireCall) -> None:
        name = (piece.function.name if piece.function else None) or ""
        call = self._call_of(piece, name)
        call.id = call.id or piece.id or ""
        call.name = call.name or name
        call.extra = piece.extra_content if piece.extra_content is not None else call.extra
        if piece.function is not None and piece.function.arguments is not None:
            arguments = piece.function.arguments
            call.pieces.append(arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode())

    def _call_of(self, piece: WireCall, name: str) -> _Pending:
        if piece.index is None:
            found = self._without_index(piece, name)
        else:
            found = next((call for call in reversed(self._calls) if call.index == piece.index), None)
            if found is not None and name and piece.id and found.id and piece.id != found.id:
                found = None
        if found is None:
            found = _Pending(piece.index)
            self._calls.append(found)
        return found

    def _without_index(self, piece: WireCall, name: str) -> _Pending | None:
        if not self._calls:
            return None
        if piece.id:
            same = next((call for call in reversed(self._calls) if call.id == piece.id), None)
            begins = bool(name) and (same is None or same.complete)
            if begins or (same is None and self._calls[-1].id):
                return None
            return same or self._calls[-1]
        last = self._calls[-1]
        return None if name and last.name and (name != last.name or last.complete) else last

    def finished(self, names: ToolNames) -> list[tuple[ToolCallPart, Any]]:
        """The calls, each with the vendor's extra content or None."""
        ids = CallIds(self._request)
        return [(ids.call(call.id, names.ours(call.name), call.arguments), call.extra) for call in self._calls]
