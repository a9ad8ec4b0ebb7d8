"""What decoders have in common: how an answer is read, and what is said of one that is none."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from hermes.contracts.errors import StreamBroken
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import ModelRequest

from .errors import CUT_HINT, without_key
from .sse import EventStream

EXCERPT = 120
"""Characters of what came that are quoted."""
NO_PIECE = "what came is no piece of an answer"
NO_ANSWER = "what came is no answer"
NO_END = "the answer was cut: the stream ended without a finish reason"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")


class AnswerReader:
    """Of a `hermes_carrier.codec.Decoder`: what it was asked, and its ways to fail."""

    def __init__(self, request: ModelRequest, request_id: str = "") -> None:
        self._request = request
        self._request_id = request_id
        self.ended = False

    def _parsed(self, data: bytes, decoder: msgspec.json.Decoder[T], otherwise: str = NO_PIECE) -> T:
        """Raises StreamBroken for what is no JSON of the decoder's form."""
        try:
            return decoder.decode(data)
        except UNREADABLE as error:
            return self._repaired(data, decoder, f"{otherwise} ({error})")

    def _repaired(self, data: bytes, decoder: msgspec.json.Decoder[T], otherwise: str) -> T:
        """Half a character, which some servers send where a piece ends inside one, becomes U+FFFD."""
        try:
            text = json.dumps(json.loads(data), ensure_ascii=False)
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if whole != text:
                return decoder.decode(whole.encode())
        except (ValueError, RecursionError):
            pass  # what is said of the data as it came says more
        raise self._broken(otherwise, data)

    def _broken(self, what: str, data: bytes = b"") -> StreamBroken:
        """An answer that is none. ``data``: what came, of which the beginning is quoted."""
        endpoint = self._request.endpoint
        excerpt = without_key(data[: 4 * EXCERPT].decode("utf-8", "replace"), endpoint)[:EXCERPT]
        return StreamBroken(
            f"{endpoint.provider}: {what}: {excerpt}" if excerpt else f"{endpoint.provider}: {what}",
            provider=endpoint.provider,
            request_id=self._request_id,
            hint=CUT_HINT,
        )


class EventReader(AnswerReader, ABC):
    """Of an answer that comes as server-sent events."""

    def __init__(self, request: ModelRequest, request_id: str = "") -> None:
        super().__init__(request, request_id)
        self._events = EventStream()
        self._reason = ""
        """The vendor's word for how it ended; blank until that is known."""

    def feed(self, data: bytes) -> Iterator[ModelEvent]:
        for event in self._events.feed(data):
            yield from self._event(event)

    def finish(self) -> Iterator[ModelEvent]:
        for event in self._events.finish():
            yield from self._event(event)
        if not self.ended:
            if not self._reason:
                raise self._broken(NO_END)
            yield from self._end()

    @abstractmethod
    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        """What the data of one event say."""

    @abstractmethod
    def _end(self) -> Iterator[ModelEvent]:
        """What is known only at the end, and `ModelFinished`."""


def mapping_of(body: bytes) -> Mapping[str, Any]:
    """A JSON object; an empty one for what is none."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        return {}
    return found if isinstance(found, Mapping) else {}
