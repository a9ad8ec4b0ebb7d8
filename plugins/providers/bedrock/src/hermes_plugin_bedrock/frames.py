"""Amazon's binary frames for streams, ``application/vnd.amazon.eventstream``, from bytes that may be cut anywhere.

A frame is its length and that of its headers, a checksum of these two, the headers, the payload, and a checksum of all
that; big-endian.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Mapping

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
_MOST = 32 * 1024 * 1024
"""Bytes of a frame; Amazon's are half of it at most."""
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Of header values that are no text; 6 and 7 are bytes and text, with their length."""
_TEXT = 7


class FrameReader:
    """Feed it bytes; it gives headers and payload of each whole frame.

    ``damage``: what is wrong with the stream from here on; nothing is given after it.
    """

    def __init__(self) -> None:
        self.damage = ""
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0

    def feed(self, data: bytes) -> list[tuple[Mapping[str, str], bytes]]:
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._parts)
        frames: list[tuple[Mapping[str, str], bytes]] = []
        place, size, self._need = 0, len(data), 0
        while size - place >= _LEAST and not self.damage:
            total, named, checksum = _PRELUDE.unpack_from(data, place)
            summed = zlib.crc32(data[place : place + 8])
            end = place + total
            if summed != checksum:
                self.damage = "the checksum of a frame's beginning is wrong"
            elif not _LEAST + named <= total <= _MOST:
                self.damage = f"a frame of {total} bytes with {named} bytes of headers"
            elif end > size:
                self._need = total
                break
            elif zlib.crc32(data[place + 8 : end - 4], summed) != _CHECKSUM.unpack_from(data, end - 4)[0]:
                self.damage = "the checksum of a frame is wrong"
            elif (headers := _headers(data[place + 12 : place + 12 + named])) is None:
                self.damage = "the headers of a frame are damaged"
            else:
                frames.append((headers, data[place + 12 + named : end - 4]))
                place = end
        self._parts = [data[place:]] if place < size else []
        self._have = size - place
        return frames


@functools.lru_cache(maxsize=64)
def _headers(data: bytes) -> Mapping[str, str] | None:
    """Those whose values are text; None for what is none. Most frames have the same ones, byte for byte."""
    found: dict[str, str] = {}
    place = 0
    try:
        while place < len(data):
            end = place + 1 + data[place]
            name, kind = data[place + 1 : end].decode(), data[end]
            place = end + 1
            if kind in _SIZES:
                place += _SIZES[kind]
                continue
            size = int.from_bytes(data[place : place + 2], "big")
            place += 2 + size
            if kind == _TEXT:
                found[name] = data[place - size : place].decode()
    except (IndexError, UnicodeDecodeError):
        return None
    return found
