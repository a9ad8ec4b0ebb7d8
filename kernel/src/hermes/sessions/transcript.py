"""Sessions as plain files, for people and other programs: ``<id>.jsonl`` with the messages that lead to the
head, ``session_<id>.json`` with usage and outcome. The store does not read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from hermes.contracts.errors import StoreError
from hermes.contracts.messages import Message
from hermes.contracts.store import SessionRecord

Redact = Callable[[str], str]

TAIL = 64 * 1024
_MEDIA = ("image", "audio", "file")


class _Line(msgspec.Struct):
    id: int


def write_transcript(folder: Path, record: SessionRecord, messages: Sequence[Message], *, redact: Redact = str) -> None:
    """Brings the two files up to date. ``messages``: the whole history, amended, as `SessionStore.history` gives it.

    Messages that the file has already are not written again; where the head was moved to another branch the
    file is written anew. A line is a `Message` in JSON, all its text passed through ``redact``.

    Raises:
        StoreError: a file cannot be written.
    """
    if Path(record.id).name != record.id:
        raise StoreError(f"The session id {record.id!r} cannot be a file's name; no transcript was written.")
    path = folder / f"{record.id}.jsonl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = _last_id(path)
        places = {message.id: place for place, message in enumerate(messages)}
        if known in places:
            fresh = messages[places[known] + 1 :]
            if fresh:
                _append(path, _lines(fresh, redact))
        else:
            _replace(path, _lines(messages, redact))
        summary = msgspec.json.format(msgspec.json.encode(_redacted(_summary(record), redact)), indent=2)
        _replace(folder / f"session_{record.id}.json", summary + b"\n")
    except OSError as error:
        raise StoreError(
            f"The transcript {path} cannot be written: {error.strerror or error}.",
            hint="Free some space or mend the folder's permissions; the session itself is in the store.",
        ) from error


def remove_transcript(folder: Path, session_id: str) -> None:
    for name in (f"{session_id}.jsonl", f"session_{session_id}.json"):
        (folder / Path(name).name).unlink(missing_ok=True)


def _summary(record: SessionRecord) -> dict[str, Any]:
    usage = record.usage
    return {
        "id": record.id,
        "model": record.model,
        "provider": record.provider,
        "started_at": _iso(record.created),
        "updated_at": _iso(record.updated),
        "message_count": record.message_count,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "api_call_count": record.api_calls,
        "estimated_cost_usd": record.cost_usd,
        "outcome": record.outcome,
        "error": record.error or None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lines(messages: Sequence[Message], redact: Redact) -> bytes:
    return b"".join(
        msgspec.json.encode(_redacted(msgspec.to_builtins(message), redact)) + b"\n" for message in messages
    )


def _redacted(value: Any, redact: Redact) -> Any:
    """Every text in it, one by one: redacting the JSON as a whole could break it. Media are left as they are."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        media = value.get("type") in _MEDIA
        return {key: found if media and key == "data" else _redacted(found, redact) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(found, redact) for found in value]
    return value


def _last_id(path: Path) -> int:
    """The id in the last line; 0: there is no file, or its last line is not whole."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            size = TAIL
            while True:
                start = max(0, end - size)
                file.seek(start)
                lines = file.read(end - start).split(b"\n")
                if len(lines) > 2 or start == 0:
                    break
                size *= 4
    except FileNotFoundError:
        return 0
    if len(lines) < 2 or lines[-1]:
        return 0
    try:
        return msgspec.json.decode(lines[-2], type=_Line).id
    except msgspec.DecodeError:
        return 0


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab", opener=_private) as file:
        file.write(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replace(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb", opener=_private) as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
