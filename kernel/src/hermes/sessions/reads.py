"""What is read of sessions: each function works on a connection that need not be the writer's."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter

from hermes.contracts.errors import SessionNotFound, StoreError
from hermes.contracts.messages import FrozenPrompt
from hermes.contracts.store import (
    Amendment,
    EventList,
    EventQuery,
    History,
    HistoryQuery,
    Pending,
    SessionList,
    SessionQuery,
    SessionRecord,
    StateKey,
    StateList,
    StateValue,
    StoredEvent,
    UsageQuery,
    UsageReport,
    UsageSum,
)

from .records import (
    AMENDMENT,
    MESSAGE,
    REQUEST,
    SESSION,
    Row,
    amended,
    amendment_of,
    call_of,
    message_of,
    request_of,
    session_of,
    system_of,
    tools_of,
    turn_of,
    usage_of,
)


def get(db: sqlite3.Connection, session_id: str) -> SessionRecord:
    row = db.execute(f"SELECT {SESSION} FROM sessions WHERE id=?", (session_id,)).fetchone()
    if row is None:
        raise unknown_session(session_id)
    return session_of(row)


def session_number(db: sqlite3.Connection, session_id: str) -> int:
    """The short id that rows refer to a session by."""
    row = db.execute("SELECT num FROM sessions WHERE id=?", (session_id,)).fetchone()
    if row is None:
        raise unknown_session(session_id)
    number: int = row[0]
    return number


def unknown_session(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}.", hint="`hermes sessions list` shows those there are.")


def find(db: sqlite3.Connection, query: SessionQuery) -> SessionList:
    conditions: list[str] = []
    values: list[object] = []
    for column, value in (("title", query.title), ("surface", query.surface), ("principal", query.principal)):
        if value:
            conditions.append(f"{column}=?")
            values.append(value)
    if query.prefix:
        conditions.append("id>=? AND id<?")
        values += (query.prefix, query.prefix + "\U0010ffff")
    if query.before:
        conditions.append("updated<?")
        values.append(query.before)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = db.execute(
        f"SELECT {SESSION} FROM sessions {where}ORDER BY updated DESC, num DESC LIMIT ? OFFSET ?",
        (*values, query.limit, query.offset),
    )
    return SessionList(sessions=tuple(session_of(row) for row in rows))


def history(db: sqlite3.Connection, query: HistoryQuery) -> History:
    row = db.execute(
        "SELECT num, head, system_blob, tools_blob FROM sessions WHERE id=?", (query.session_id,)
    ).fetchone()
    if row is None:
        raise unknown_session(query.session_id)
    session, head, system, tools = row
    if query.head is not None:
        head = query.head
        if head and not db.execute("SELECT 1 FROM messages WHERE id=? AND session=?", (head, session)).fetchone():
            raise StoreError(f"There is no message {head} in session {query.session_id}.")
    columns = ", ".join(f"m.{name}" for name in MESSAGE.split(", "))
    rows = db.execute(
        "WITH RECURSIVE path(n) AS (SELECT ? UNION ALL SELECT parent FROM path JOIN messages ON id=n WHERE parent>0) "
        f"SELECT {columns} FROM path CROSS JOIN messages m ON m.id=n WHERE m.session=?",
        (head, session),
    ).fetchall()
    rows.sort(key=itemgetter(0))
    amendments: defaultdict[int, list[Amendment]] = defaultdict(list)
    for found in db.execute(f"SELECT {AMENDMENT} FROM amendments WHERE session=? ORDER BY id", (session,)):
        amendments[found[0]].append(amendment_of(found))
    messages = [message_of(found) for found in rows]
    if amendments:
        messages = [
            amended(message, amendments[message.id]) if message.id in amendments else message for message in messages
        ]
    return History(messages=tuple(messages), prompt=_prompt(db, system, tools))


def _prompt(db: sqlite3.Connection, system: bytes | None, tools: bytes | None) -> FrozenPrompt | None:
    if system is None or tools is None:
        return None
    texts = dict(db.execute("SELECT hash, data FROM blobs WHERE hash IN (?, ?)", (system, tools)))
    return FrozenPrompt(system=system_of(texts[system]), tools=tools_of(texts[tools]))


def pending(db: sqlite3.Connection, session_id: str) -> Pending:
    session = session_number(db, session_id)
    row = db.execute(
        "SELECT id, status, started, message, outcome, error, model_calls FROM turns WHERE num="
        "(SELECT max(num) FROM turns WHERE session=?)",
        (session,),
    ).fetchone()
    if row is None:
        return Pending()
    turn = turn_of(row)
    calls = db.execute(
        "SELECT turn, id, name, state, effects, message, result FROM calls WHERE session=? AND turn=? ORDER BY num",
        (session, turn.id),
    )
    requests = db.execute(f"SELECT {REQUEST} FROM requests WHERE session=? AND turn=? ORDER BY num", (session, turn.id))
    return Pending(
        turn=turn if turn.status != "finished" else None,
        calls=tuple(call_of(found) for found in calls),
        requests=tuple(request_of(found) for found in requests),
    )


def events(db: sqlite3.Connection, query: EventQuery) -> EventList:
    session = session_number(db, query.session_id)
    rows = db.execute(
        "SELECT turn, seq, data FROM events WHERE session=? AND seq>? ORDER BY seq LIMIT ?",
        (session, query.after, query.limit),
    )
    return EventList(events=tuple(StoredEvent(turn_id=turn, seq=seq, data=data) for turn, seq, data in rows))


_USAGE_COLUMNS = {
    "provider": "provider",
    "model": "model",
    "task": "task",
    "session_id": "(SELECT id FROM sessions WHERE num=session)",
    "principal": "principal",
}
"""What usage can be summed by, and how it is read."""
_USAGE_SUMS = (
    "count(*), count(*)-count(cost_usd), sum(cost_usd), sum(input_tokens), sum(output_tokens), "
    "sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(reported_usd)"
)


def usage(db: sqlite3.Connection, query: UsageQuery) -> UsageReport:
    fields = [field for field in _USAGE_COLUMNS if field in query.by]
    groups = ", ".join("session" if field == "session_id" else field for field in fields)
    conditions, values = _usage_conditions(db, query)
    statement = (
        f"SELECT {', '.join((_USAGE_SUMS, *(_USAGE_COLUMNS[field] for field in fields)))} FROM usage "
        f"WHERE at>=? AND at<? {conditions}{f'GROUP BY {groups} ORDER BY min(num)' if groups else ''}"
    )
    sums: list[UsageSum] = []
    for period, stop in pairwise((*(query.periods or (0.0,)), math.inf)):  # sorting them apart takes longer
        bounds = (max(period, query.since), min(stop, query.until or math.inf))
        rows = db.execute(statement, (*bounds, *values))
        sums += [_usage_sum(row, period, fields) for row in rows if row[0]]
    return UsageReport(sums=tuple(sums))


def _usage_conditions(db: sqlite3.Connection, query: UsageQuery) -> tuple[str, list[object]]:
    conditions = ""
    values: list[object] = []
    if query.session_id:
        conditions += "AND session=? "
        values.append(session_number(db, query.session_id))
    for column, value in (("turn", query.turn_id), ("principal", query.principal)):
        if value:
            conditions += f"AND {column}=? "
            values.append(value)
    return conditions, values


def _usage_sum(row: Row, period: float, fields: Sequence[str]) -> UsageSum:
    apart = {field: value for field, value in zip(fields, row[9:], strict=True) if value is not None}
    return UsageSum(
        period=period, api_calls=row[0], unpriced_calls=row[1], cost_usd=row[2], usage=usage_of(row[3:9]), **apart
    )


def get_state(db: sqlite3.Connection, key: StateKey) -> StateValue:
    row = db.execute("SELECT value FROM plugin_state WHERE plugin=? AND key=?", (key.plugin, key.key)).fetchone()
    return StateValue(plugin=key.plugin, key=key.key, value=row[0] if row else None)


def list_state(db: sqlite3.Connection, key: StateKey) -> StateList:
    """Those whose key begins with ``key``."""
    rows = db.execute(
        "SELECT key, value FROM plugin_state WHERE plugin=? AND key>=? AND key<? ORDER BY key",
        (key.plugin, key.key, key.key + "\U0010ffff"),
    )
    return StateList(values=tuple(StateValue(plugin=key.plugin, key=name, value=value) for name, value in rows))


def has_inbox(db: sqlite3.Connection, session_id: str) -> bool:
    session = session_number(db, session_id)
    return bool(db.execute("SELECT 1 FROM inbox WHERE session=? LIMIT 1", (session,)).fetchone())
