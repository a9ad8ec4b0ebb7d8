"""Rows to structs and back. Parts, origins and the like are kept as JSON text."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from hermes.contracts.errors import ErrorInfo
from hermes.contracts.events import InputRequest
from hermes.contracts.messages import (
    Message,
    Part,
    ProviderState,
    SystemBlock,
    TextPart,
    ToolResultPart,
    ToolSpec,
    Usage,
)
from hermes.contracts.scope import Origin, Principal
from hermes.contracts.store import Amendment, CallRecord, InboxMessage, RequestRecord, SessionRecord, TurnRecord

Row = Sequence[Any]

_encoder = msgspec.json.Encoder()


def encode(value: object) -> str:
    return _encoder.encode(value).decode()


def encode_some(value: object) -> str | None:
    return _encoder.encode(value).decode() if value else None


@functools.cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Made on first use: a run that reads no messages does not pay for their decoder."""
    return msgspec.json.Decoder(kind)


def decode(text: str, kind: Any) -> Any:
    return decoder(kind).decode(text)


def decode_some(text: str | None, kind: Any) -> Any:
    return None if text is None else decoder(kind).decode(text)


SESSION = (
    "id, created, updated, surface, person, workspace, provider, model, title, parent_session, head, depth, "
    "api_calls, outcome, error, preview, cost_usd, "
    "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_usd"
)


def session_of(row: Row) -> SessionRecord:
    """Of the columns `SESSION`."""
    return SessionRecord(
        id=row[0],
        created=row[1],
        updated=row[2],
        surface=row[3],
        principal=decode(row[4], Principal),
        workspace=row[5],
        provider=row[6],
        model=row[7],
        title=row[8],
        parent_session=row[9],
        head=row[10],
        message_count=row[11],
        api_calls=row[12],
        outcome=row[13],
        error=row[14],
        preview=row[15],
        cost_usd=row[16],
        usage=usage_of(row[17:23]),
    )


def usage_of(row: Row) -> Usage:
    return Usage(
        input_tokens=row[0],
        output_tokens=row[1],
        cache_read_tokens=row[2],
        cache_write_tokens=row[3],
        reasoning_tokens=row[4],
        cost_usd=row[5],
    )


MESSAGE = "id, parent, role, created, seq, turn, finish, principal, origin, state, parts"


def message_of(row: Row) -> Message:
    """Of the columns `MESSAGE`."""
    return Message(
        id=row[0],
        parent=row[1],
        role=row[2],
        created=row[3],
        seq=row[4],
        turn_id=row[5],
        finish=row[6],
        principal=decode_some(row[7], Principal),
        origin=decode_some(row[8], Origin),
        provider_state=decode(row[9], tuple[ProviderState, ...]) if row[9] else (),
        parts=decode(row[10], tuple[Part, ...]),
    )


def amended(message: Message, amendments: Sequence[Amendment]) -> Message:
    """The message as it is to be read. The last replacement counts; contexts stay in order, behind all else."""
    parts = list(message.parts)
    context: list[Part] = []
    for amendment in amendments:
        if amendment.kind == "context":
            context += amendment.parts
            continue
        first = next((i for i, part in enumerate(parts) if isinstance(part, TextPart)), len(parts))
        others = [part for part in parts[first:] if not isinstance(part, TextPart)]
        parts = [*parts[:first], *amendment.parts, *others]
    return msgspec.structs.replace(message, parts=(*parts, *context))


AMENDMENT = "message, kind, plugin, parts"


def amendment_of(row: Row) -> Amendment:
    """Of the columns `AMENDMENT`."""
    return Amendment(message_id=row[0], kind=row[1], plugin=row[2], parts=decode(row[3], tuple[TextPart, ...]))


def turn_of(row: Row) -> TurnRecord:
    """Of the columns id, status, started, message, outcome, error, model_calls."""
    return TurnRecord(
        id=row[0],
        status=row[1],
        started=row[2],
        message_id=row[3],
        outcome=row[4],
        error=decode_some(row[5], ErrorInfo),
        model_calls=row[6],
    )


def call_of(row: Row) -> CallRecord:
    """Of the columns turn, id, name, state, effects, message, result."""
    return CallRecord(
        turn_id=row[0],
        call_id=row[1],
        name=row[2],
        state=row[3],
        effects=row[4],
        message_id=row[5],
        result=decode_some(row[6], ToolResultPart),
    )


REQUEST = "turn, request, status, answer, by"


def request_of(row: Row) -> RequestRecord:
    """Of the columns `REQUEST`."""
    return RequestRecord(turn_id=row[0], request=decode(row[1], InputRequest), status=row[2], answer=row[3], by=row[4])


def inbox_message_of(text: str) -> InboxMessage:
    message: InboxMessage = decode(text, InboxMessage)
    return message


def system_of(text: str) -> tuple[SystemBlock, ...]:
    blocks: tuple[SystemBlock, ...] = decode(text, tuple[SystemBlock, ...])
    return blocks


def tools_of(text: str) -> tuple[ToolSpec, ...]:
    tools: tuple[ToolSpec, ...] = decode(text, tuple[ToolSpec, ...])
    return tools
