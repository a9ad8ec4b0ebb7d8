"""What comes back, cut anywhere, in all the forms that servers give it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import (
    BadRequest,
    Endpoint,
    Message,
    ModelEvent,
    ModelFinished,
    ModelRequest,
    Overloaded,
    RateLimited,
    StateUpdate,
    StreamBroken,
    TextDelta,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    Usage,
    UsageUpdate,
)
from hermes_plugin_openai.stream import Decoder

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="a-secret")


def request(*messages: Message, quirks: dict[str, Any] | None = None) -> ModelRequest:
    endpoint = msgspec.structs.replace(ENDPOINT, quirks=quirks or {})
    return ModelRequest(id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="a-model", messages=messages)


def decode(*pieces: bytes, asked: ModelRequest | None = None) -> list[ModelEvent]:
    decoder = Decoder(asked or request(), "req_1")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def sse(*chunks: Any, done: bool = True) -> bytes:
    lines = [chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"model": "a-model-1", "choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def piece(arguments: Any = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"function": {"name": name, "arguments": arguments}, **members}])


def calls_of(events: list[ModelEvent]) -> list[tuple[str, str, str]]:
    return [
        (event.call.id, event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallReady)
    ]


STREAM = "\ufeff: a comment\n\n".encode() + sse(
    delta(role="assistant", content=""),
    delta(reasoning_content="Hm … 考"),
    delta(content="Grüße, "),
    ": PROCESSING\r\n\r\n",
    "event: message\r\nid: 3\r\ndata: " + json.dumps(delta(content="世界 🌍")) + "\r\n\r\n",
    'data: {"choices": [{"delta":\ndata: {"content": "!"}}]}\n\n',
    piece('{"a', "add", index=0, id="x1"),
    piece('": 1}', index=0),
    piece("", "now", index=1, id="x2"),
    delta("tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4}},
)
EVENTS = [
    ThinkingDelta(text="Hm … 考"),
    TextDelta(text="Grüße, "),
    TextDelta(text="世界 🌍"),
    TextDelta(text="!"),
    UsageUpdate(usage=Usage(input_tokens=10, output_tokens=4)),
    ToolCallReady(call=ToolCallPart(id="x1", name="add", arguments='{"a": 1}')),
    ToolCallReady(call=ToolCallPart(id="x2", name="now", arguments="{}")),
    ModelFinished(reason="tool_calls", model="a-model-1", request_id="req_1"),
]


def test_a_stream_in_one_piece() -> None:
    assert decode(STREAM) == EVENTS


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_cut_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert decode(*(STREAM[start:end] for start, end in pairwise(edges))) == EVENTS


def test_a_stream_of_single_bytes() -> None:
    assert decode(*(STREAM[place : place + 1] for place in range(len(STREAM)))) == EVENTS


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_all_line_ends_are_known(end: bytes) -> None:
    stream = sse(delta(content="a"), delta("stop")).replace(b"\n", end)
    for pieces in ([stream], [stream[place : place + 1] for place in range(len(stream))]):
        assert decode(*pieces)[0] == TextDelta(text="a")


@pytest.mark.parametrize("length", range(0, len(STREAM), 7))
def test_a_stream_that_ends_anywhere_is_whole_or_broken_never_short(length: int) -> None:
    if length <= STREAM.index(b'"finish_reason": "tool_calls"'):
        with pytest.raises(StreamBroken):
            decode(STREAM[:length])
        return
    try:
        events = decode(STREAM[:length])
    except StreamBroken:
        return
    assert isinstance(events[-1], ModelFinished)
    assert calls_of(events) == calls_of(EVENTS)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(
            [piece('{"a":', "f", id="x"), piece(" 1}"), piece("{}", "g", id="y")],
            [("x", "f", '{"a": 1}'), ("y", "g", "{}")],
            id="no index",
        ),
        pytest.param(
            [piece('{"a":', "f", index=0, id="x"), piece(" 1}", "f", index=0, id="x")],
            [("x", "f", '{"a": 1}')],
            id="id and name repeated with every piece",
        ),
        pytest.param(
            [piece('{"a":', "f", index=0, id="x"), piece(" 1}", index=0, id="z")],
            [("x", "f", '{"a": 1}')],
            id="another id with every piece",
        ),
        pytest.param(
            [piece("{}", "f", index=0, id="x"), piece("{}", "g", index=0, id="y")],
            [("x", "f", "{}"), ("y", "g", "{}")],
            id="whole calls that all have the index 0",
        ),
        pytest.param(
            [piece({"a": 1}, "f", id="x"), piece('{"b": 2}', "f", id="x2")],
            [("x", "f", '{"a":1}'), ("x2", "f", '{"b": 2}')],
            id="whole calls, one with arguments that are no text",
        ),
        pytest.param(
            [
                piece('{"a"', "f", index=1, id="y"),
                piece('{"b"', "g", index=0, id="x"),
                piece(":1}", index=1),
                piece(":2}", index=0),
            ],
            [("y", "f", '{"a":1}'), ("x", "g", '{"b":2}')],
            id="interleaved",
        ),
        pytest.param([piece("  ", "f", index=0, id="x")], [("x", "f", "{}")], id="blank arguments"),
        pytest.param([piece(None, "f", index=0, id="x")], [("x", "f", "{}")], id="no arguments"),
        pytest.param([piece('{"a": ', "f", index=0, id="x")], [("x", "f", '{"a": ')], id="arguments that are no JSON"),
    ],
)
def test_tool_calls_are_put_together(pieces: list[Any], expected: list[tuple[str, str, str]]) -> None:
    assert calls_of(decode(sse(*pieces, delta("tool_calls")))) == expected


def test_ids_that_are_missing_or_taken_are_made_and_always_the_same() -> None:
    stream = sse(
        piece("{}", "f", index=0, id="same"),
        piece("{}", "g", index=1, id="same"),
        piece("{}", "h", index=2),
        piece("{}", "i", index=3, id=""),
        delta("tool_calls"),
    )
    first = calls_of(decode(stream))
    ids = [call_id for call_id, _, _ in first]
    assert ids[0] == "same"
    assert len(set(ids)) == 4
    assert all(ids)
    assert calls_of(decode(stream)) == first
    other = msgspec.structs.replace(request(), id="r2")
    assert not set(ids[1:]) & {call_id for call_id, _, _ in calls_of(decode(stream, asked=other))}


def test_an_id_of_an_earlier_answer_is_not_given_out_again() -> None:
    before = Message(role="assistant", parts=(ToolCallPart(id="call_0", name="f"),))
    stream = sse(piece("{}", "f", index=0, id="call_0"), delta("tool_calls"))
    (call,) = calls_of(decode(stream, asked=request(before)))
    assert call[0] != "call_0"
    assert calls_of(decode(stream)) == [("call_0", "f", "{}")]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"reasoning": "hm"}, [ThinkingDelta(text="hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, [ThinkingDelta(text="hm")]),
        ({"refusal": "No."}, [TextDelta(text="No.")]),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"text": "so"}]},
            [ThinkingDelta(text="hm"), TextDelta(text="so")],
        ),
        ({"content": None, "tool_calls": None}, []),
    ],
)
def test_the_forms_of_a_delta(members: dict[str, Any], expected: list[ModelEvent]) -> None:
    assert decode(sse(delta(**members), delta("stop")))[:-1] == expected


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (sse(delta("stop", content="a")), "stop"),
        (sse(delta("length", content="a")), "length"),
        (sse(delta("content_filter")), "refusal"),
        (sse(delta(refusal="No."), delta("stop")), "refusal"),
        (sse(piece("{}", "f", id="x"), delta("stop")), "tool_calls"),
        (sse(delta("pause_turn", content="a")), "pause_turn"),
        (sse(delta("stop", content="a"), done=False), "stop"),
        (sse(delta(content="a")), "stop"),
    ],
)
def test_how_an_answer_ends(stream: bytes, reason: str) -> None:
    last = decode(stream)[-1]
    assert isinstance(last, ModelFinished)
    assert last.reason == reason


def test_usage_does_not_count_tokens_twice() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
        "cost": 0.25,
    }
    (update,) = [
        event
        for event in decode(sse(delta("stop", content="a"), {"choices": [], "usage": raw}))
        if isinstance(event, UsageUpdate)
    ]
    assert update.usage == Usage(
        input_tokens=10,
        output_tokens=9,
        cache_read_tokens=60,
        cache_write_tokens=30,
        reasoning_tokens=5,
        cost_usd=0.25,
    )
    assert update.usage.prompt_tokens == 100


@pytest.mark.parametrize("raw", [{"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, {"prompt_tokens": 5}])
def test_other_forms_of_usage(raw: dict[str, Any]) -> None:
    usages = [event for event in decode(sse({**delta("stop"), "usage": raw})) if isinstance(event, UsageUpdate)]
    assert [event.usage.input_tokens for event in usages] == [5]


def test_usage_with_every_piece_counts_once() -> None:
    stream = sse(
        {**delta(content="a"), "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {**delta("stop", content="b"), "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
    )
    usages = [event.usage.output_tokens for event in decode(stream) if isinstance(event, UsageUpdate)]
    assert usages == [1, 2]


def states_of(events: list[ModelEvent]) -> list[Any]:
    found = []
    for event in events:
        if isinstance(event, StateUpdate):
            state = event.state
            assert (state.provider, state.model, state.endpoint) == ("acme", "a-model", "http://acme.test/v1")
            found.append(json.loads(state.data))
    return found


def test_reasoning_is_kept_only_for_those_who_want_it_back() -> None:
    stream = sse(delta(reasoning_content="h"), delta(reasoning_content="m"), delta("stop", content="a"))
    assert states_of(decode(stream)) == []
    assert states_of(decode(stream, asked=request(quirks={"echo_reasoning": True}))) == [{"reasoning_content": "hm"}]


def test_reasoning_details_are_kept_as_they_were_said() -> None:
    text = {"type": "reasoning.text", "index": 0, "format": "f"}
    stream = sse(
        delta(reasoning="h", reasoning_details=[{**text, "text": "h"}]),
        delta(reasoning="m", reasoning_details=[{**text, "text": "m", "signature": "s"}]),
        delta(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "e30="}]),
        delta(reasoning_details=[{"type": "reasoning.summary", "summary": "thought"}]),
        delta("stop", content="a"),
    )
    events = decode(stream)
    assert states_of(events) == [
        {
            "reasoning_details": [
                {**text, "text": "hm", "signature": "s"},
                {"type": "reasoning.encrypted", "index": 1, "data": "e30="},
                {"type": "reasoning.summary", "summary": "thought"},
            ]
        }
    ]
    assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == "hmthought"


def test_signatures_of_tool_calls_are_kept() -> None:
    extra = {"google": {"thought_signature": "s"}}
    stream = sse(piece("{}", "f", index=0, id="x", extra_content=extra), delta("tool_calls"))
    assert states_of(decode(stream)) == [{"extra_content": {"x": extra}}]


@pytest.mark.parametrize(
    ("chunk", "kind", "words"),
    [
        ({"error": {"message": "Busy", "type": "server_error", "code": None}}, Overloaded, "Busy"),
        ({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}, RateLimited, "Slow down"),
        ({"error": {"message": "Bad host", "code": 502}, **delta("error")}, Overloaded, "502"),
        ({"error": {"message": "Bad field", "type": "invalid_request_error"}}, BadRequest, "Bad field"),
        ({"object": "error", "message": "Mistral is busy", "code": "1234"}, Overloaded, "Mistral is busy"),
        ({"error": "just words with a-secret in them"}, Overloaded, "just words with [key]"),
        (delta("error"), StreamBroken, "ended the answer with an error"),
    ],
)
def test_errors_in_mid_stream(chunk: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        decode(sse(delta(content="so far"), chunk))
    assert words in str(caught.value)
    assert "acme" in str(caught.value)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": nothing but comments\n\n",
        sse(),
        sse(delta(content="a"), done=False),
        b"data: {not json\n\n",
        b"data: []\n\n",
        b'data: {"choices": 3}\n\n',
        sse(delta("stop", content="a"), {"usage": {"prompt_tokens": []}}),
        b"data: \xff\xfe\n\n",
    ],
)
def test_what_is_no_answer_is_a_broken_stream(stream: bytes) -> None:
    with pytest.raises(StreamBroken) as caught:
        decode(stream)
    assert str(caught.value).startswith("acme: ")


def test_what_follows_the_end_is_not_read() -> None:
    assert decode(sse(delta("stop", content="a")), b"data: {not json\n\n")[-1] == ModelFinished(
        reason="stop", model="a-model-1", request_id="req_1"
    )


def test_a_second_choice_is_left_alone() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    events = decode(sse(other, delta("stop", content="mine")))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["mine"]


def test_a_whole_answer() -> None:
    message = {
        "role": "assistant",
        "content": "Both.",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = {
        "model": "a-model-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    assert list(Decoder(request(), "req_1").whole(json.dumps(whole).encode())) == [
        ThinkingDelta(text="hm"),
        TextDelta(text="Both."),
        UsageUpdate(usage=Usage(input_tokens=3, output_tokens=2)),
        ToolCallReady(call=ToolCallPart(id="x", name="f", arguments="{}")),
        ModelFinished(reason="tool_calls", model="a-model-1", request_id="req_1"),
    ]


@pytest.mark.parametrize("body", [b"{}", b"", b"<html>", b'{"detail": "Not here"}'])
def test_a_whole_body_that_is_no_answer(body: bytes) -> None:
    with pytest.raises(StreamBroken):
        list(Decoder(request()).whole(body))


def test_an_error_in_a_whole_body() -> None:
    with pytest.raises(Overloaded, match="Busy"):
        list(Decoder(request()).whole(b'{"error": {"message": "Busy"}}'))


def test_half_a_character_does_not_break_the_answer() -> None:
    """Some servers cut a character's two halves apart."""
    events = decode(sse(delta(content="a \ud83d"), delta(content="\ude00 b"), delta(finish="stop")))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "a \ufffd\ufffd b"
    text.encode()
