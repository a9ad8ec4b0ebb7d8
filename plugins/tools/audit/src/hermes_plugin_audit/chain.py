"""A record as a line: how it is sealed, and what a line tells of itself.

A line is a JSON object in UTF-8 whose last field is ``hash``: the SHA-256 of the object's text without that field.
``previous`` is the ``hash`` of the line before, so that every line vouches for all that stand above it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

BEGINNING = "0" * 64
"""What the first record of all has as ``previous``."""

HASH = re.compile(r"[0-9a-f]{64}")
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)
_FIELD = b',"hash":"'
_SEAL = len(_FIELD) + 64 + len(b'"}')


class Entry(msgspec.Struct, frozen=True):
    """What the chain needs of a line."""

    seq: int
    previous: str
    hash: str


class Head(NamedTuple):
    """Where a chain ends."""

    seq: int = 0
    hash: str = BEGINNING


def seal(head: Head, fields: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The line that follows ``head``, without its newline, and the new head. Halves of characters become ``?``."""
    record = {"seq": head.seq + 1, "previous": head.hash, **fields}
    body = _JSON.encode(record).encode(errors="replace")
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _FIELD + digest.encode() + b'"}', Head(head.seq + 1, digest)


def read(line: bytes) -> Entry | None:
    """None: the line is no record, or has lost its form."""
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return entry if HASH.fullmatch(entry.hash) and HASH.fullmatch(entry.previous) else None


def is_sound(line: bytes, entry: Entry) -> bool:
    """Whether the line is as it was written."""
    body, seal = line[:-_SEAL] + b"}", line[-_SEAL:]
    return seal == _FIELD + entry.hash.encode() + b'"}' and hashlib.sha256(body).hexdigest() == entry.hash
