"""The session store: an append-only tree of messages per session, and what a turn needs to survive a crash."""

from __future__ import annotations

from typing import Literal, Protocol

from .errors import ErrorInfo
from .events import InputRequest
from .messages import FrozenPrompt, ImagePart, Message, TextPart, ToolResultPart, Usage
from .scope import Origin, Principal
from .values import Done, Value


class SessionRef(Value, kw_only=True):
    session_id: str


class NewSession(Value, kw_only=True):
    id: str
    created: float
    surface: str
    """Where it was begun: ``cli``, ``library``, a platform's name."""
    principal: Principal
    workspace: str = ""
    provider: str = ""
    model: str = ""
    title: str = ""
    parent_session: str = ""


class SessionRecord(Value, kw_only=True):
    """A session without its messages. ``usage`` and ``cost_usd`` are sums over its usage rows."""

    id: str
    created: float
    updated: float
    surface: str
    principal: Principal
    workspace: str = ""
    provider: str = ""
    model: str = ""
    title: str = ""
    parent_session: str = ""
    head: int = 0
    """The id of the newest message; 0: none yet."""
    message_count: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None
    api_calls: int = 0
    outcome: str = ""
    """Of the last turn."""
    error: str = ""
    preview: str = ""
    """The first words the user said."""


class SessionQuery(Value, kw_only=True):
    """Newest first. ``prefix`` matches ids; ``title`` whole titles; times are seconds since the epoch."""

    prefix: str = ""
    title: str = ""
    surface: str = ""
    principal: str = ""
    before: float = 0.0
    """Not updated since; 0: any time."""
    limit: int = 50
    offset: int = 0


class SessionList(Value, kw_only=True):
    sessions: tuple[SessionRecord, ...]


class SessionChange(Value, kw_only=True):
    """None: as it is. A title is unique among the sessions, at most 100 characters."""

    session_id: str
    title: str | None = None
    provider: str | None = None
    model: str | None = None
    workspace: str | None = None


class TurnRecord(Value, kw_only=True):
    id: str
    status: Literal["running", "suspended", "finished"]
    started: float
    message_id: int = 0
    """The user's message; 0: the one in this write."""
    outcome: str = ""
    error: ErrorInfo | None = None
    model_calls: int = 0


class CallRecord(Value, kw_only=True):
    """How far a tool call got. ``message_id`` 0: the last message of this write."""

    turn_id: str
    call_id: str
    name: str
    state: Literal["intended", "started", "finished"]
    effects: str
    message_id: int = 0
    result: ToolResultPart | None = None


class UsageRow(Value, kw_only=True):
    turn_id: str
    at: float
    provider: str
    model: str
    principal: str
    usage: Usage
    cost_usd: float | None = None
    """Of this call; None: unknown."""
    task: str = "main"
    """``main``, or the auxiliary task it was made for."""


class Amendment(Value, kw_only=True):
    """Added to a stored message: ``context`` goes behind its parts; ``replacement`` in place of its text."""

    message_id: int
    kind: Literal["context", "replacement"]
    parts: tuple[TextPart, ...]
    plugin: str = ""


class RequestRecord(Value, kw_only=True):
    turn_id: str
    request: InputRequest
    status: Literal["open", "answered", "void"] = "open"
    answer: str = ""
    by: str = ""


class StoredEvent(Value, kw_only=True):
    turn_id: str
    seq: int
    data: bytes
    """`events.encode` of a durable event."""


class SessionWrite(Value, kw_only=True):
    """One transaction. Messages are appended in order, the first under ``parent``, and become the head."""

    session_id: str
    holder: str
    """Who holds the session's lease; the write is refused with `LeaseLost` when that is somebody else."""
    parent: int | None = None
    """None: the head. 0: a new root."""
    messages: tuple[Message, ...] = ()
    head: int | None = None
    """Moves the head to a message that exists: undo, branch."""
    amendments: tuple[Amendment, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    requests: tuple[RequestRecord, ...] = ()
    events: tuple[StoredEvent, ...] = ()
    usage: tuple[UsageRow, ...] = ()
    turn: TurnRecord | None = None
    prompt: FrozenPrompt | None = None


class Committed(Value, kw_only=True):
    message_ids: tuple[int, ...]
    head: int
    duplicate: int = 0
    """The message that already has this idempotency key; then nothing was written."""


class HistoryQuery(Value, kw_only=True):
    session_id: str
    head: int | None = None
    """None: the session's head."""


class History(Value, kw_only=True):
    """From the root to the head, amended."""

    messages: tuple[Message, ...]
    prompt: FrozenPrompt | None = None


class Pending(Value, kw_only=True):
    """What the last turn left: the turn if it is not finished, its calls, its requests."""

    turn: TurnRecord | None = None
    calls: tuple[CallRecord, ...] = ()
    requests: tuple[RequestRecord, ...] = ()


class EventQuery(Value, kw_only=True):
    session_id: str
    after: int = 0
    limit: int = 1000


class EventList(Value, kw_only=True):
    events: tuple[StoredEvent, ...]


class InboxMessage(Value, kw_only=True):
    """A message for a session whose lease somebody else holds."""

    session_id: str
    text: str
    principal: Principal
    origin: Origin | None = None
    steer: bool = False
    at: float = 0.0
    images: tuple[ImagePart, ...] = ()


class Inbox(Value, kw_only=True):
    messages: tuple[InboxMessage, ...]


class DrainInbox(Value, kw_only=True):
    """Takes the messages out. ``steer_only``: leaves those that wait for the turn's end."""

    session_id: str
    holder: str
    steer_only: bool = False


class AnswerWrite(Value, kw_only=True):
    session_id: str
    request_id: str
    answer: str
    by: str


class AnswerResult(Value, kw_only=True):
    """``accepted`` is False for all but the first; ``record`` is then the one that won."""

    accepted: bool
    record: RequestRecord


class LeaseRequest(Value, kw_only=True):
    """Takes or renews. ``pid`` and ``boot`` let a dead holder be seen at once; else ``seconds`` end it."""

    name: str
    holder: str
    seconds: float
    pid: int = 0
    boot: str = ""


class Lease(Value, kw_only=True):
    granted: bool
    holder: str
    expires: float


class LeaseRelease(Value, kw_only=True):
    name: str
    holder: str


class SearchQuery(Value, kw_only=True):
    """Words, ``"a phrase"``, ``prefix*``; all must occur. Grouped by session, best first."""

    text: str
    limit: int = 20
    session_id: str = ""
    roles: tuple[str, ...] = ("user", "assistant")


class SearchHit(Value, kw_only=True):
    session_id: str
    title: str
    message_id: int
    role: str
    created: float
    snippet: str
    """With the words found between ``**``."""
    hits: int = 1
    """In this session."""


class SearchResult(Value, kw_only=True):
    hits: tuple[SearchHit, ...]
    partial: bool = False
    """The deadline passed before all was looked at."""


class StateKey(Value, kw_only=True):
    plugin: str
    key: str


class StateValue(Value, kw_only=True):
    """A plugin's own key and value; ``value`` is JSON text, None: not there (on writing: removed)."""

    plugin: str
    key: str
    value: str | None = None


class StateList(Value, kw_only=True):
    values: tuple[StateValue, ...]


class SessionIds(Value, kw_only=True):
    ids: tuple[str, ...]


class Prune(Value, kw_only=True):
    """Removes sessions not updated since ``before`` (0: none), and messages that no head reaches."""

    before: float = 0.0
    unreachable: bool = True
    dry_run: bool = False


class Pruned(Value, kw_only=True):
    session_ids: tuple[str, ...] = ()
    messages: int = 0


UsageField = Literal["provider", "model", "task", "session_id", "principal"]


class UsageQuery(Value, kw_only=True):
    """Times are seconds since the epoch."""

    session_id: str = ""
    turn_id: str = ""
    principal: str = ""
    since: float = 0.0
    until: float = 0.0
    """Before it; 0: up to now."""
    by: tuple[UsageField, ...] = ("provider", "model", "task")
    """What sums are kept apart by; with nothing in it, and no ``periods``, there is one sum, or none."""
    periods: tuple[float, ...] = ()
    """When stretches of time begin, ascending: sums are kept apart by these, too. What was before the first is left
    out."""


class UsageSum(Value, kw_only=True):
    """Blank: of all. ``session_id`` is blank for sessions that were deleted, too."""

    provider: str = ""
    model: str = ""
    task: str = ""
    session_id: str = ""
    principal: str = ""
    period: float = 0.0
    """When it begins."""
    api_calls: int
    unpriced_calls: int = 0
    """Those whose cost is not known; ``cost_usd`` is without them."""
    usage: Usage
    """Its ``cost_usd`` is the part of the cost that providers reported themselves."""
    cost_usd: float | None = None


class UsageReport(Value, kw_only=True):
    """In the order in which each was first seen; with ``periods``, period by period."""

    sums: tuple[UsageSum, ...]


class StoreStats(Value, kw_only=True):
    sessions: int
    messages: int
    bytes: int
    index_bytes: int
    oldest: float = 0.0
    newest: float = 0.0


class StoreReport(Value, kw_only=True):
    """``problems`` is empty for a sound store; ``repaired`` says what was mended in passing."""

    path: str
    problems: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()


class SessionStore(Protocol):
    """What is acknowledged is durable against the death of the process. Errors are `StoreError`s."""

    async def create(self, session: NewSession) -> SessionRecord: ...
    async def get(self, ref: SessionRef) -> SessionRecord: ...
    async def find(self, query: SessionQuery) -> SessionList: ...
    async def change(self, change: SessionChange) -> SessionRecord: ...
    async def commit(self, write: SessionWrite) -> Committed: ...
    async def history(self, query: HistoryQuery) -> History: ...
    async def pending(self, ref: SessionRef) -> Pending: ...
    async def events(self, query: EventQuery) -> EventList: ...
    async def enqueue(self, message: InboxMessage) -> Done: ...
    async def drain(self, request: DrainInbox) -> Inbox: ...
    async def answer(self, answer: AnswerWrite) -> AnswerResult: ...
    async def lease(self, request: LeaseRequest) -> Lease: ...
    async def release(self, lease: LeaseRelease) -> Done: ...
    async def search(self, query: SearchQuery) -> SearchResult: ...
    async def usage(self, query: UsageQuery) -> UsageReport: ...
    async def get_state(self, key: StateKey) -> StateValue: ...
    async def set_state(self, value: StateValue) -> Done: ...
    async def list_state(self, key: StateKey) -> StateList: ...
    async def delete(self, ids: SessionIds) -> Pruned: ...
    async def prune(self, request: Prune) -> Pruned: ...
    async def stats(self, request: Done) -> StoreStats: ...
    async def check(self, request: Done) -> StoreReport: ...
    async def close(self, request: Done) -> Done: ...
