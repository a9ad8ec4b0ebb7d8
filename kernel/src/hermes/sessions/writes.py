"""What changes a session: each function is one transaction's work on the writing connection."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from hermes.contracts.errors import StoreError
from hermes.contracts.messages import (
    FrozenPrompt,
    Message,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from hermes.contracts.store import (
    AnswerResult,
    AnswerWrite,
    CallRecord,
    Committed,
    NewSession,
    RequestRecord,
    SessionChange,
    SessionRecord,
    SessionWrite,
    StateValue,
    TurnRecord,
    UsageRow,
)
from hermes.contracts.values import Done

from .inbox import confirm
from .leases import check_holder
from .reads import get, session_number, unknown_session
from .records import REQUEST, encode, encode_some, request_of

TITLE_LENGTH = 100
PREVIEW_LENGTH = 100


def create(db: sqlite3.Connection, session: NewSession) -> SessionRecord:
    try:
        db.execute(
            "INSERT INTO sessions (id, created, updated, surface, principal, person, workspace, provider, model, "
            "title, parent_session) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session.id,
                session.created,
                session.created,
                session.surface,
                session.principal.id,
                encode(session.principal),
                session.workspace,
                session.provider,
                session.model,
                _unique_title(db, session.title, session.id),
                session.parent_session,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise StoreError(f"There is a session {session.id} already.", hint="Choose another id.") from error
    return get(db, session.id)


def change(db: sqlite3.Connection, change: SessionChange) -> SessionRecord:
    values: dict[str, str] = {}
    for name in ("provider", "model", "workspace"):
        value = getattr(change, name)
        if value is not None:
            values[name] = value
    if change.title is not None:
        values["title"] = _unique_title(db, change.title, change.session_id)
    if values:
        assignments = ", ".join(f"{name}=?" for name in values)
        db.execute(f"UPDATE sessions SET {assignments} WHERE id=?", (*values.values(), change.session_id))
    return get(db, change.session_id)


def _unique_title(db: sqlite3.Connection, title: str, session_id: str) -> str:
    """On one line, cut to `TITLE_LENGTH`, with `` #2`` and so on behind it where another session has it."""
    wanted = " ".join(title.split())[:TITLE_LENGTH].rstrip()
    if not wanted:
        return ""
    unique, number = wanted, 1
    while db.execute("SELECT 1 FROM sessions WHERE title=? AND id<>?", (unique, session_id)).fetchone():
        number += 1
        suffix = f" #{number}"
        unique = wanted[: TITLE_LENGTH - len(suffix)].rstrip() + suffix
    return unique


def weight(write: SessionWrite) -> int:
    """About how many bytes it stores, as far as that is cheap to say: 400 stand for a short message."""
    heavy = sum(400 + _size(part) for message in write.messages for part in message.parts)
    return heavy + sum(len(event.data) for event in write.events)


def _size(part: Part) -> int:
    if isinstance(part, TextPart | ThinkingPart):
        return len(part.text)
    if isinstance(part, ToolResultPart):
        return sum(_size(inner) for inner in part.content)
    return len(part.arguments if isinstance(part, ToolCallPart) else part.data)


def commit(db: sqlite3.Connection, write: SessionWrite, now: float) -> Committed:
    row = db.execute(
        "SELECT num, head, depth, preview, updated FROM sessions WHERE id=?", (write.session_id,)
    ).fetchone()
    if row is None:
        raise unknown_session(write.session_id)
    session, head, depth, preview, updated = row
    check_holder(db, write.session_id, write.holder, now)
    if write.messages:
        duplicate = _duplicate(db, write.messages)
        if duplicate:
            return Committed(message_ids=(), head=head, duplicate=duplicate)
    ids: tuple[int, ...] = ()
    if write.messages:
        parent, depth = _position(db, session, write.parent, head, depth)
        ids = _append(db, session, write.messages, parent, depth)
        head, depth = ids[-1], depth + len(ids)
        preview = preview or _preview(write.messages)
        confirm(db, session, write)
    if write.head is not None:
        head, depth = _position(db, session, write.head, head, depth)
    last = ids[-1] if ids else 0
    _amend(db, session, write)
    _keep_calls(db, session, write.calls, last)
    _keep_requests(db, session, write.requests)
    if write.events:
        db.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?)",
            [(session, event.seq, event.turn_id, event.data) for event in write.events],
        )
    _add_usage(db, session, write.usage)
    if write.turn is not None:
        _keep_turn(db, session, write.turn, last)
    if write.prompt is not None:
        _freeze(db, session, write.prompt)
    numbers = [message.seq for message in write.messages] + [event.seq for event in write.events]
    db.execute(
        "UPDATE sessions SET head=?, depth=?, preview=?, updated=? WHERE num=?",
        (
            head,
            depth,
            preview,
            max(now, updated, (max(numbers, default=0) + 1) / 1e6),
            session,
        ),
    )
    return Committed(message_ids=ids, head=head)


def _duplicate(db: sqlite3.Connection, messages: tuple[Message, ...]) -> int:
    keys = [message.origin.idempotency_key for message in messages if message.origin is not None]
    keys = [key for key in keys if key]
    if len(set(keys)) < len(keys):
        raise StoreError("Two messages of one write have the same idempotency key; nothing was written.")
    for key in keys:
        row = db.execute("SELECT id FROM messages WHERE key=?", (key,)).fetchone()
        if row is not None:
            found: int = row[0]
            return found
    return 0


def _position(db: sqlite3.Connection, session: int, wanted: int | None, head: int, depth: int) -> tuple[int, int]:
    """The message to go under or to point at, and its depth."""
    if wanted is None or wanted == head:
        return head, depth
    if wanted == 0:
        return 0, 0
    row = db.execute("SELECT depth FROM messages WHERE id=? AND session=?", (wanted, session)).fetchone()
    if row is None:
        raise StoreError(f"There is no message {wanted} in this session; nothing was written.")
    return wanted, row[0]


def _append(
    db: sqlite3.Connection, session: int, messages: tuple[Message, ...], parent: int, depth: int
) -> tuple[int, ...]:
    (newest,) = db.execute(
        "SELECT max(ifnull((SELECT max(id) FROM messages), 0),"
        " ifnull((SELECT value FROM meta WHERE key='last_message'), 0))"
    ).fetchone()
    rows = []
    for number, message in enumerate(messages, newest + 1):
        depth += 1
        origin = message.origin
        rows.append(
            (
                number,
                session,
                parent,
                depth,
                message.role,
                message.created,
                message.seq,
                message.turn_id,
                message.finish,
                (origin.idempotency_key or None) if origin else None,
                encode_some(message.principal),
                encode_some(origin),
                encode_some(message.provider_state),
                encode(message.parts),
            )
        )
        parent = number
    db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return tuple(range(newest + 1, newest + 1 + len(rows)))


def _preview(messages: tuple[Message, ...]) -> str:
    for message in messages:
        if message.role == "user":
            words = " ".join(text_of(message.parts)[: PREVIEW_LENGTH * 4].split())
            if words:
                return words[:PREVIEW_LENGTH]
    return ""


def _amend(db: sqlite3.Connection, session: int, write: SessionWrite) -> None:
    for amendment in write.amendments:
        _position(db, session, amendment.message_id, 0, 0)
        db.execute(
            "INSERT INTO amendments (session, message, kind, plugin, parts) VALUES (?, ?, ?, ?, ?)",
            (session, amendment.message_id, amendment.kind, amendment.plugin, encode(amendment.parts)),
        )


def _keep_calls(db: sqlite3.Connection, session: int, calls: tuple[CallRecord, ...], last: int) -> None:
    for call in calls:
        db.execute(
            "INSERT INTO calls (session, turn, id, name, state, effects, message, result) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, turn, id) DO UPDATE SET name=excluded.name, "
            "state=excluded.state, effects=excluded.effects, "
            # Another answer of the turn may use the id again: then nothing of the earlier call is its result.
            "result=CASE WHEN excluded.message IN (0, message) THEN ifnull(excluded.result, result) "
            "ELSE excluded.result END, message=CASE excluded.message WHEN 0 THEN message ELSE excluded.message END",
            (
                session,
                call.turn_id,
                call.call_id,
                call.name,
                call.state,
                call.effects,
                call.message_id or last,
                encode_some(call.result),
            ),
        )


def _keep_requests(db: sqlite3.Connection, session: int, requests: tuple[RequestRecord, ...]) -> None:
    """An answer that came in meanwhile is not undone by a writer that still takes the request for open."""
    for record in requests:
        db.execute(
            "INSERT INTO requests (session, turn, id, status, answer, by, request) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (session, id) DO UPDATE SET turn=excluded.turn, status=excluded.status, "
            "answer=excluded.answer, by=excluded.by, request=excluded.request "
            "WHERE NOT (requests.status='answered' AND excluded.status='open')",
            (
                session,
                record.turn_id,
                record.request.id,
                record.status,
                record.answer,
                record.by,
                encode(record.request),
            ),
        )


def _add_usage(db: sqlite3.Connection, session: int, rows: tuple[UsageRow, ...]) -> None:
    for row in rows:
        usage = row.usage
        tokens = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
        db.execute(
            "INSERT INTO usage (session, turn, at, provider, model, task, principal, input_tokens, output_tokens, "
            "cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_usd, cost_usd) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session,
                row.turn_id,
                row.at,
                row.provider,
                row.model,
                row.task,
                row.principal,
                *tokens,
                usage.cost_usd,
                row.cost_usd,
            ),
        )
        db.execute(
            "UPDATE sessions SET api_calls=api_calls+1, input_tokens=input_tokens+?, output_tokens=output_tokens+?, "
            "cache_read_tokens=cache_read_tokens+?, cache_write_tokens=cache_write_tokens+?, "
            "reasoning_tokens=reasoning_tokens+?, "
            "reported_usd=ifnull(reported_usd+?, ifnull(reported_usd, ?)), "
            "cost_usd=ifnull(cost_usd+?, ifnull(cost_usd, ?)) WHERE num=?",
            (*tokens, usage.cost_usd, usage.cost_usd, row.cost_usd, row.cost_usd, session),
        )


def _keep_turn(db: sqlite3.Connection, session: int, turn: TurnRecord, last: int) -> None:
    db.execute(
        "INSERT INTO turns (session, id, status, started, message, outcome, error, model_calls) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, id) DO UPDATE SET status=excluded.status, "
        "started=excluded.started, outcome=excluded.outcome, error=excluded.error, "
        "model_calls=excluded.model_calls, "
        "message=CASE message WHEN 0 THEN excluded.message ELSE message END",
        (
            session,
            turn.id,
            turn.status,
            turn.started,
            turn.message_id or last,
            turn.outcome,
            encode_some(turn.error),
            turn.model_calls,
        ),
    )
    db.execute(
        "UPDATE sessions SET outcome=?, error=? WHERE num=?",
        (turn.outcome, turn.error.message if turn.error else "", session),
    )


def _freeze(db: sqlite3.Connection, session: int, prompt: FrozenPrompt) -> None:
    db.execute(
        "UPDATE sessions SET system_blob=?, tools_blob=? WHERE num=?",
        (_blob(db, encode(prompt.system)), _blob(db, encode(prompt.tools)), session),
    )


def _blob(db: sqlite3.Connection, data: str) -> bytes:
    digest = sha256(data.encode()).digest()
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, data))
    return digest


def answer(db: sqlite3.Connection, answer: AnswerWrite) -> AnswerResult:
    session = session_number(db, answer.session_id)
    accepted = db.execute(
        "UPDATE requests SET status='answered', answer=?, by=? WHERE session=? AND id=? AND status='open'",
        (answer.answer, answer.by, session, answer.request_id),
    ).rowcount
    row = db.execute(
        f"SELECT {REQUEST} FROM requests WHERE session=? AND id=?", (session, answer.request_id)
    ).fetchone()
    if row is None:
        raise StoreError(f"Session {answer.session_id} has no request {answer.request_id}.")
    return AnswerResult(accepted=bool(accepted), record=request_of(row))


def set_state(db: sqlite3.Connection, state: StateValue) -> Done:
    if state.value is None:
        db.execute("DELETE FROM plugin_state WHERE plugin=? AND key=?", (state.plugin, state.key))
    else:
        db.execute("INSERT OR REPLACE INTO plugin_state VALUES (?, ?, ?)", (state.plugin, state.key, state.value))
    return Done()
