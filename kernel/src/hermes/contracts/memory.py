"""Memory providers and context engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from .messages import Message, SystemBlock
from .scope import Origin, Principal, Scope
from .tool import ToolEntry
from .values import Done, Value


class MemoryScope(Value, kw_only=True):
    scope: Scope
    principal: Principal
    session_id: str = ""


class MemoryBlocks(Value, kw_only=True):
    blocks: tuple[SystemBlock, ...] = ()


class RecallQuery(Value, kw_only=True):
    """``deadline``: seconds the answer may take; ``tokens``: the most it may cost."""

    memory: MemoryScope
    text: str
    deadline: float
    tokens: int


class MemoryEntry(Value, kw_only=True):
    """``source`` says where it comes from: a session's id, a file, a person."""

    id: str
    text: str
    source: str
    created: float
    principal: str
    score: float = 0.0


class Recalled(Value, kw_only=True):
    entries: tuple[MemoryEntry, ...] = ()


class ObservedTurn(Value, kw_only=True):
    memory: MemoryScope
    turn_id: str
    messages: tuple[Message, ...]
    origin: Origin | None = None


class PreCompress(Value, kw_only=True):
    """These messages are about to be summarized: the last chance to keep something of them."""

    memory: MemoryScope
    messages: tuple[Message, ...]


class ForgetRequest(Value, kw_only=True):
    """Everything of the principal, or only these entries."""

    memory: MemoryScope
    ids: tuple[str, ...] = ()


class MemoryTools(Value, kw_only=True):
    tools: tuple[ToolEntry, ...] = ()


class MemoryProvider(Protocol):
    async def blocks(self, memory: MemoryScope) -> MemoryBlocks: ...
    async def recall(self, query: RecallQuery) -> Recalled: ...
    async def observe(self, turn: ObservedTurn) -> Done: ...
    async def pre_compress(self, notice: PreCompress) -> MemoryBlocks: ...
    async def switch(self, memory: MemoryScope) -> Done: ...
    async def forget(self, request: ForgetRequest) -> Done: ...
    def export(self, memory: MemoryScope) -> AsyncIterator[MemoryEntry]: ...
    async def tools(self, memory: MemoryScope) -> MemoryTools: ...


class FitRequest(Value, kw_only=True):
    session_id: str
    messages: tuple[Message, ...]
    window: int
    """Tokens the request may take; 0: unknown."""
    used: int = 0
    """Tokens the provider counted in the last request; 0: none yet."""
    force: bool = False
    """The provider said that it was too long."""


class Fitted(Value, kw_only=True):
    messages: tuple[Message, ...]
    changed: bool = False
    note: str = ""


class ModelChange(Value, kw_only=True):
    session_id: str
    provider: str
    model: str
    window: int = 0


class ContextEngine(Protocol):
    async def fit(self, request: FitRequest) -> Fitted: ...
    async def model_changed(self, change: ModelChange) -> Done: ...
