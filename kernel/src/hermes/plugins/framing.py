"""Frames: how a plugin host and the kernel speak. Length, then one MessagePack array.

::

    length (4 bytes, big-endian) | [kind, id, target, body]

``target`` says what is called, as words: ``["tool", "dice", "roll_dice"]``. ``body`` is the encoded struct.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from hermes.contracts.errors import PluginError

LIMIT = 64 * 1024 * 1024
"""Bytes of one frame. A larger one is refused by who sends it, and ends the connection if it comes all the same."""

EMPTY = msgspec.msgpack.encode(None)

Target = tuple[str, ...]


class Kind(enum.IntEnum):
    """What a frame is. The first five are of who calls, the others of who is called."""

    CALL = 0
    STREAM = 1
    CAST = 2
    CANCEL = 3
    CREDIT = 4
    ANSWER = 5
    ITEM = 6
    END = 7
    ERROR = 8


class Frame(NamedTuple):
    kind: int
    id: int
    target: Target
    body: msgspec.Raw


_decoder = msgspec.msgpack.Decoder(Frame)
_encoder = msgspec.msgpack.Encoder()


def encode(kind: int, number: int, target: Target, body: bytes) -> bytes:
    """A frame as it goes over the wire.

    Raises:
        PluginError: it is too large.
    """
    data = _encoder.encode((kind, number, target, msgspec.Raw(body)))
    if len(data) > LIMIT:
        raise PluginError(f"{len(data)} bytes are more than fit into one message ({LIMIT}).")
    return len(data).to_bytes(4, "big") + data


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 4
        """Bytes without which there is nothing new to be read."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with ``data``.

        Raises:
            msgspec.DecodeError, ValueError: the other side does not speak this language.
        """
        self._buffer += data
        end = len(self._buffer)
        if end < self._needed:
            return
        view, start = memoryview(bytes(self._buffer)), 0
        self._needed = 4
        while end - start >= 4:
            length = int.from_bytes(view[start : start + 4], "big")
            if length > LIMIT:
                raise ValueError(f"a frame of {length} bytes")
            if end - start - 4 < length:
                self._needed = 4 + length
                break
            yield _decoder.decode(view[start + 4 : start + 4 + length])
            start += 4 + length
        del self._buffer[:start]
