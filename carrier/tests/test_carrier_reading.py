"""How answers are read, and what is said of one that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hermes import Endpoint, ModelEvent, ModelFinished, ModelRequest, StreamBroken, TextDelta
from hermes_carrier.listing import entries_of
from hermes_carrier.reading import EventReader, mapping_of
from hermes_carrier.sse import EventStream

KEY = "sk-test-0123456789abcdef"


class Piece(msgspec.Struct):
    text: str = ""
    reason: str = ""


DECODER = msgspec.json.Decoder(Piece)


class Reader(EventReader):
    """Of the smallest wire there is."""

    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        piece = self._parsed(data, DECODER)
        self._reason = piece.reason
        if piece.text:
            yield TextDelta(text=piece.text)

    def _end(self) -> Iterator[ModelEvent]:
        self.ended = True
        yield ModelFinished(reason=self._reason)


def reader() -> Reader:
    endpoint = Endpoint(provider="acme", base_url="http://acme.test", key=KEY)
    return Reader(ModelRequest(id="r", session_id="s", turn_id="t", endpoint=endpoint, model="m"), "req_1")


def read(stream: bytes, size: int) -> list[ModelEvent]:
    one = reader()
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    return [*(event for piece in pieces for event in one.feed(piece)), *one.finish()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_come_however_the_bytes_are_cut(size: int, end: str) -> None:
    lines = ["\ufeff: hello", 'data: {"text": "größer"}', "", "event: x", 'data:{"text":', 'data:"b"}', "", "id: 1", ""]
    stream = end.join([*lines, 'data: {"reason": "stop"}', "", ""]).encode()
    assert read(stream, size) == [TextDelta(text="größer"), TextDelta(text="b"), ModelFinished(reason="stop")]


def test_an_event_without_its_blank_line_counts() -> None:
    stream = EventStream()
    assert list(stream.feed(b"data: a\ndata\ndata: b")) == []
    assert list(stream.finish()) == [b"a\n\nb"]


def test_an_answer_without_its_end_is_cut() -> None:
    with pytest.raises(StreamBroken, match="acme: the answer was cut") as caught:
        read(b'data: {"text": "a"}\n\n', 9)
    assert caught.value.request_id == "req_1"
    assert "timeout" not in caught.value.hint


@pytest.mark.parametrize("data", [b"oops", b"[1]", b"\xff", b'{"text": 1}', b"[" * 100_000])
def test_what_is_no_piece_is_quoted_in_part_and_without_the_key(data: bytes) -> None:
    with pytest.raises(StreamBroken, match="no piece of an answer") as caught:
        list(reader().feed(b"data: " + data + KEY.encode() * 9 + b"\n\n"))
    assert KEY not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_key_that_is_cut_by_the_end_of_the_quotation_is_not_told() -> None:
    with pytest.raises(StreamBroken) as caught:
        list(reader().feed(b"data: " + b"x" * 110 + KEY.encode() + b"\n\n"))
    assert KEY[:8] not in str(caught.value)


def test_half_a_character_becomes_a_mark() -> None:
    stream = b'data: {"text": "a \\ud83d"}\n\ndata: {"reason": "stop"}\n\n'
    assert read(stream, 1000)[0] == TextDelta(text="a \N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(("body", "found"), [(b'{"a": 1}', {"a": 1}), (b"[]", {}), (b"oops", {}), (b"\xff", {})])
def test_an_object_or_nothing(body: bytes, found: dict[str, Any]) -> None:
    assert mapping_of(body) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"data": [{"id": "a"}, 1]}', [{"id": "a"}]),
        (b'{"models": [], "data": [{"id": "a"}]}', []),
        (b'[{"id": "a"}]', [{"id": "a"}]),
        (b'{"data": {}}', None),
        (b'{"other": []}', None),
        (b"1", None),
        (b"<html>", None),
    ],
)
def test_the_entries_of_a_list_of_models(body: bytes, found: Any) -> None:
    assert entries_of(body, "models", "data") == found
