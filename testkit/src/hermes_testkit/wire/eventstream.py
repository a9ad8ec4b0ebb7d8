"""Amazon's binary frames for streams, ``application/vnd.amazon.eventstream``."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

STRING = 7


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Total and header length, their checksum, headers, payload, and the checksum of all that; big-endian."""
    named = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 4 + 4 + 4 + len(named) + len(payload) + 4, len(named))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    data = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([STRING]) + struct.pack(">H", len(data)) + data
