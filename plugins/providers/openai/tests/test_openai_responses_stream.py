"""What comes back from Responses, cut anywhere, in all the forms that servers give it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import (
    BadRequest,
    ContextOverflow,
    Endpoint,
    Message,
    ModelEvent,
    ModelFinished,
    ModelRequest,
    NotEntitled,
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
from hermes_plugin_openai.responses_stream import ResponsesDecoder
from hermes_testkit.provider_cases import assistant

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="a-secret")
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e30="}


def request(*messages: Message, request_id: str = "r1") -> ModelRequest:
    return ModelRequest(
        id=request_id, session_id="s", turn_id="t", endpoint=ENDPOINT, model="a-model", messages=messages
    )


def decode(*pieces: bytes, asked: ModelRequest | None = None) -> list[ModelEvent]:
    decoder = ResponsesDecoder(asked or request(), "req_1")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def sse(*events: Any) -> bytes:
    return "".join(
        event if isinstance(event, str) else f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n"
        for event in events
    ).encode()


def delta(kind: str, text: Any, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text, "output_index": index, "item_id": f"i{index}", **more}


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def message(text: str, number: int = 1, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"msg_{number}", "status": "completed", "content": content, **more}


def call(call_id: str = "c1", arguments: Any = "{}", name: str = "look", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def end(status: str = "completed", **more: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "a-model-1", "status": status, "output": [], **more}
    return {"type": f"response.{status}", "response": response}


STREAM = "\ufeff: a comment\n\n".encode() + sse(
    {"type": "response.created", "response": {"status": "in_progress"}},
    delta("reasoning_summary_text", "Hm … ", summary_index=0),
    delta("reasoning_summary_text", "考", summary_index=0),
    delta("reasoning_summary_text", "", summary_index=1),
    delta("reasoning_summary_text", "And", summary_index=1),
    done(THOUGHT),
    ": PROCESSING\r\n\r\n",
    delta("output_text", "Grüße, ", 1),
    {"type": "response.something.new", "delta": {"odd": 1}},
    delta("output_text", "世界 🌍", 1),
    done(message("Grüße, 世界 🌍"), 1),
    delta("function_call_arguments", '{"a": 1}', 2),
    done(call("c1", '{"a": 1}', id="fc_1", status="completed"), 2),
    done(call("c2", "", "now"), 3),
    end(usage={"input_tokens": 10, "output_tokens": 4}),
)
KEPT = [
    THOUGHT,
    {"type": "message", "id": "msg_1", "status": "completed", "length": 11},
    {"type": "function_call", "call_id": "c1", "id": "fc_1"},
    {"type": "function_call", "call_id": "c2"},
]
EVENTS = [
    ThinkingDelta(text="Hm … "),
    ThinkingDelta(text="考"),
    ThinkingDelta(text="\n\nAnd"),
    TextDelta(text="Grüße, "),
    TextDelta(text="世界 🌍"),
    ToolCallReady(call=ToolCallPart(id="c1", name="look", arguments='{"a": 1}')),
    ToolCallReady(call=ToolCallPart(id="c2", name="now", arguments="{}")),
    UsageUpdate(usage=Usage(input_tokens=10, output_tokens=4)),
    ModelFinished(reason="tool_calls", model="a-model-1", request_id="req_1"),
]


def without_state(events: list[ModelEvent]) -> list[ModelEvent]:
    return [event for event in events if not isinstance(event, StateUpdate)]


def kept(events: list[ModelEvent]) -> list[Any]:
    states = [event.state for event in events if isinstance(event, StateUpdate)]
    tags = {(state.provider, state.model, state.endpoint) for state in states}
    assert tags <= {("acme", "a-model", "http://acme.test/v1")}
    return [json.loads(state.data)["items"] for state in states]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls_of(events: list[ModelEvent]) -> list[tuple[str, str]]:
    return [(event.call.id, event.call.arguments) for event in events if isinstance(event, ToolCallReady)]


def test_a_stream_in_one_piece() -> None:
    events = decode(STREAM)
    assert without_state(events) == EVENTS
    assert kept(events) == [KEPT]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_cut_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert without_state(decode(*(STREAM[start:stop] for start, stop in pairwise(edges)))) == EVENTS


def test_a_stream_of_single_bytes() -> None:
    assert without_state(decode(*(STREAM[place : place + 1] for place in range(len(STREAM))))) == EVENTS


@pytest.mark.parametrize("length", range(0, STREAM.index(b"event: response.completed"), 13))
def test_a_stream_without_its_end_is_broken(length: int) -> None:
    with pytest.raises(StreamBroken):
        decode(STREAM[:length])


@pytest.mark.parametrize(
    ("items", "text", "calls"),
    [
        ([message("One"), message("Two", 2)], "One\n\nTwo", []),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, message("so")], "so", []),
        ([call(arguments={"a": 1})], "", [("c1", '{"a":1}')]),
        ([call(arguments=None)], "", [("c1", "{}")]),
        ([call(arguments='{"a": ')], "", [("c1", '{"a": ')]),
        ([{"type": "web_search_call", "id": "ws_1"}, message("so")], "so", []),
    ],
)
def test_what_came_in_no_pieces_comes_with_its_item_or_at_the_end(
    items: list[dict[str, Any]], text: str, calls: list[tuple[str, str]]
) -> None:
    """Some servers send no deltas, some no items, and a whole answer is its items alone."""
    streamed = decode(sse(*(done(item, place) for place, item in enumerate(items)), end()))
    late = decode(sse(end(output=items)))
    whole = list(ResponsesDecoder(request(), "req_1").whole(json.dumps(end(output=items)["response"]).encode()))
    assert streamed == late == whole
    assert (text_of(whole), calls_of(whole)) == (text, calls)


def test_messages_of_one_answer_stand_apart() -> None:
    pieces = [delta("output_text", "One"), delta("output_text", " more"), delta("output_text", "Two", 2)]
    items = [done(message("One more", phase="commentary")), done(message("Two", 2), 2)]
    events = decode(sse(*pieces, *items, end()))
    assert text_of(events) == "One more\n\nTwo"
    assert [(item["length"], item.get("phase")) for item in kept(events)[0]] == [(8, "commentary"), (3, None)]


def test_an_empty_message_leaves_no_trace() -> None:
    items = [message("", phase="commentary"), message("Two", 2, phase="final_answer")]
    events = decode(sse(*(done(item, place) for place, item in enumerate(items)), end()))
    assert text_of(events) == "Two"
    assert [item["length"] for item in kept(events)[0]] == [3]


@pytest.mark.parametrize(
    ("place", "at_the_end"),
    [
        ({"output_index": 0, "item_id": "a"}, {"output_index": 0, "item_id": "another"}),
        ({"item_id": "msg_1"}, {"item_id": "msg_1"}),
        ({"item_id": "msg_1"}, {}),
    ],
)
def test_text_counts_once_however_its_place_is_told(place: dict[str, Any], at_the_end: dict[str, Any]) -> None:
    piece = {"type": "response.output_text.delta", "delta": "One", **place}
    item = {"type": "response.output_item.done", "item": message("One"), **at_the_end}
    assert text_of(decode(sse(piece, item, end()))) == "One"


def test_thoughts_themselves_are_thoughts_too() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    pieces = [delta("reasoning_text", "h", content_index=0), delta("reasoning_text", "m", content_index=0)]
    for stream in (sse(*pieces, done(thought), done(message("a"), 1), end()), sse(done(thought), end())):
        events = decode(stream)
        assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == "hm"
        assert kept(events)[0][0] == thought


def test_only_what_can_be_sent_back_is_kept() -> None:
    """Reasoning that is neither encrypted nor there refers to what nobody has stored; null members are not taken."""
    bare = {"type": "reasoning", "id": "rs_0", "summary": []}
    assert kept(decode(sse(done(bare), done(message("a"), 1), end()))) == []
    odd = {**THOUGHT, "status": None, "content": None}
    assert kept(decode(sse(done(odd), end()))) == [[THOUGHT]]


def test_nothing_is_kept_of_a_plain_answer() -> None:
    assert kept(decode(sse(done(message("a")), done(call(), 1), end()))) == []


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (sse(done(message("a")), end()), "stop"),
        (sse(done(call()), end()), "tool_calls"),
        (sse(done(message("a")), end("incomplete", incomplete_details={"reason": "max_output_tokens"})), "length"),
        (sse(end("incomplete", incomplete_details={"reason": "content_filter"})), "refusal"),
        (sse(end("incomplete", incomplete_details={"reason": "steered"})), "steered"),
        (sse(end("incomplete")), "incomplete"),
        (sse(done(call()), end("incomplete", incomplete_details={"reason": "max_output_tokens"})), "length"),
        (sse(delta("refusal", "No."), end()), "refusal"),
        (sse(done({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}), end()), "refusal"),
        (sse(done(message("a")), {"type": "response.completed"}), "stop"),
    ],
)
def test_how_an_answer_ends(stream: bytes, reason: str) -> None:
    last = decode(stream)[-1]
    assert isinstance(last, ModelFinished)
    assert last.reason == reason


def test_a_refusal_is_shown() -> None:
    item = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    assert text_of(decode(sse(delta("refusal", "No."), done(item), end()))) == "No."


def test_usage_does_not_count_tokens_twice() -> None:
    raw = {
        "input_tokens": 100,
        "output_tokens": 9,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 5},
        "cost": 0.25,
    }
    (update,) = [event for event in decode(sse(end(usage=raw))) if isinstance(event, UsageUpdate)]
    assert update.usage == Usage(
        input_tokens=10,
        output_tokens=9,
        cache_read_tokens=60,
        cache_write_tokens=30,
        reasoning_tokens=5,
        cost_usd=0.25,
    )


def test_usage_of_a_part_of_an_answer_counts_too() -> None:
    events = decode(sse(end("incomplete", usage={"input_tokens": 3, "output_tokens": 2})))
    assert UsageUpdate(usage=Usage(input_tokens=3, output_tokens=2)) in events


def test_ids_that_are_missing_or_taken_are_made_and_always_the_same() -> None:
    stream = sse(*(done(call(call_id), place) for place, call_id in enumerate(["same", "same", "", "old"])), end())
    before = assistant(ToolCallPart(id="old", name="look"))
    first = [call_id for call_id, _ in calls_of(decode(stream, asked=request(before)))]
    assert first[0] == "same"
    assert len({*first, "old"}) == 5
    assert [call_id for call_id, _ in calls_of(decode(stream, asked=request(before)))] == first
    other = [call_id for call_id, _ in calls_of(decode(stream, asked=request(before, request_id="r2")))]
    assert not set(first[1:]) & set(other[1:])


def test_kept_calls_go_by_the_ids_that_were_given_out() -> None:
    events = decode(sse(done(THOUGHT), done(call(""), 1), end()))
    assert kept(events)[0][1]["call_id"] == calls_of(events)[0][0]


def failed(**error: Any) -> dict[str, Any]:
    return end("failed", error=error)


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (
            {"type": "error", "code": "server_is_overloaded", "message": "Busy"},
            Overloaded,
            "server_is_overloaded: Busy",
        ),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow"}}, RateLimited, "Slow"),
        ({"type": "error", "code": None, "message": "with a-secret in it"}, Overloaded, r"with \[key\] in it"),
        ({"error": {"message": "Bad", "type": "invalid_request_error"}}, BadRequest, "Bad"),
        (failed(code="rate_limit_exceeded", message="Slow down"), RateLimited, "Slow down"),
        (failed(code="server_error", message="Oops"), Overloaded, "Oops"),
        (failed(code="context_length_exceeded", message="Too long"), ContextOverflow, "Too long"),
        (failed(code="insufficient_quota", message="No credit"), NotEntitled, "No credit"),
        (failed(code="invalid_prompt", message="Bad prompt"), BadRequest, "Bad prompt"),
        (end("failed"), StreamBroken, "failed"),
        (end("cancelled"), StreamBroken, "cancelled"),
    ],
)
def test_errors_in_mid_stream(event: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        decode(sse(delta("output_text", "so far"), event))
    assert "acme" in str(caught.value)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": nothing but comments\n\n",
        b"data: [DONE]\n\n",
        b"data: {not json\n\n",
        b"data: []\n\n",
        b"data: {}\n\n",
        b'data: {"type": 3}\n\n',
        b"data: \xff\xfe\n\n",
        sse(end(usage={"input_tokens": []})),
    ],
)
def test_what_is_no_answer_is_a_broken_stream(stream: bytes) -> None:
    with pytest.raises(StreamBroken) as caught:
        decode(stream)
    assert str(caught.value).startswith("acme: ")


def test_what_follows_the_end_is_not_read() -> None:
    assert isinstance(decode(sse(end()), b"data: {not json\n\n")[-1], ModelFinished)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", StreamBroken),
        (b"", StreamBroken),
        (b"<html>", StreamBroken),
        (b'{"status": "in_progress"}', StreamBroken),
        (b'{"status": "failed", "error": {"code": "server_error", "message": "Busy"}}', Overloaded),
        (b'{"error": {"message": "Busy"}}', Overloaded),
    ],
)
def test_a_whole_body_that_is_no_answer(body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        list(ResponsesDecoder(request()).whole(body))


def test_half_a_character_does_not_break_the_answer() -> None:
    events = decode(sse(delta("output_text", "a \ud83d"), delta("output_text", "\ude00 b"), end()))
    assert text_of(events) == "a \ufffd\ufffd b"
