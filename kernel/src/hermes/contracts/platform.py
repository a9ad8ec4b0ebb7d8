"""Chat platforms: how messages come in and go out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from .messages import Part
from .scope import Origin, Principal
from .values import Done, Value


class PlatformCapabilities(Value, kw_only=True):
    edit: bool = False
    delete: bool = False
    typing: bool = False
    buttons: bool = False
    threads: bool = False
    media: bool = False
    voice: bool = False
    max_length: int = 0
    """0: no limit."""
    length_unit: Literal["characters", "utf16", "bytes"] = "characters"


class Connect(Value, kw_only=True):
    account: str = ""


class InMessage(Value, kw_only=True):
    """A message that a platform received. ``mentioned``: it was addressed to the bot."""

    origin: Origin
    principal: Principal
    parts: tuple[Part, ...]
    mentioned: bool = True
    at: float = 0.0


class Button(Value, kw_only=True):
    label: str
    value: str


class OutMessage(Value, kw_only=True):
    origin: Origin
    parts: tuple[Part, ...]
    buttons: tuple[Button, ...] = ()
    reply_to: str = ""


class SendResult(Value, kw_only=True):
    """``ids``: of what was sent, one a piece. ``retryable`` with ``retry_after`` seconds where it was not."""

    ids: tuple[str, ...] = ()
    error: str = ""
    retryable: bool = False
    retry_after: float = 0.0


class EditMessage(Value, kw_only=True):
    origin: Origin
    id: str
    parts: tuple[Part, ...]


class DeleteMessage(Value, kw_only=True):
    origin: Origin
    id: str


class ChatQuery(Value, kw_only=True):
    origin: Origin


class ChatInfo(Value, kw_only=True):
    title: str
    kind: Literal["direct", "group", "channel"]
    members: int = 0


class PlatformAdapter(Protocol):
    capabilities: PlatformCapabilities

    def connect(self, request: Connect) -> AsyncIterator[InMessage]: ...
    async def disconnect(self, request: Done) -> Done: ...
    async def send(self, message: OutMessage) -> SendResult: ...
    async def edit(self, message: EditMessage) -> SendResult: ...
    async def delete(self, message: DeleteMessage) -> SendResult: ...
    async def typing(self, origin: ChatQuery) -> Done: ...
    async def chat_info(self, query: ChatQuery) -> ChatInfo: ...
