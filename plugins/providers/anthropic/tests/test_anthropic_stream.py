"""What comes back, cut anywhere, as Anthropic's own client reads it too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import anthropic
import httpx2
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
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
    ResponseFormat,
    StateUpdate,
    StreamBroken,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    ToolSpec,
    Usage,
    UsageUpdate,
)
from hermes_plugin_anthropic.stream import Decoder
from hermes_testkit.replies import Call, Element, Finish, KeepAlive, Refuse, Say, Think, Tokens, tokens_of
from hermes_testkit.wire.anthropic_messages import AnthropicMessages
from hermes_testkit.wire.form import Answer, Piece

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test", key="a-secret")


def request(*messages: Message, **more: Any) -> ModelRequest:
    endpoint = msgspec.structs.replace(ENDPOINT, quirks=more.pop("quirks", {}))
    messages = messages or (Message(role="user", parts=(TextPart("x"),)),)
    return ModelRequest(
        id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="a-model", messages=messages, **more
    )


def decode(*pieces: bytes, asked: ModelRequest | None = None) -> list[ModelEvent]:
    decoder = Decoder(asked or request(), "req_1")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def sse(*events: Any) -> bytes:
    return b"".join(
        event if isinstance(event, bytes) else f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )


def start(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "a-model-1", "content": []}
    return {"type": "message_start", "message": {**message, "usage": usage}}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    return sse(
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    )


def said(*texts: str, index: int = 0) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": text} for text in texts))


def end(reason: str | None = "end_turn", details: Any = None, **usage: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": details}
    return sse({"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"})


def text_of(events: Sequence[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thinking_of(events: Sequence[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def calls_of(events: Sequence[ModelEvent]) -> list[ToolCallPart]:
    return [event.call for event in events if isinstance(event, ToolCallReady)]


def kept_of(events: Sequence[ModelEvent]) -> list[Any]:
    (state,) = [event.state for event in events if isinstance(event, StateUpdate)]
    blocks: list[Any] = json.loads(state.data)["blocks"]
    return blocks


def partial(text: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": text}


def tool(name: str = "add", call_id: str = "toolu_1", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


STREAM = "\ufeff: a comment\n\n".encode() + sse(
    start(input_tokens=10, cache_read_input_tokens=4, cache_creation_input_tokens=2, output_tokens=1),
    {"type": "ping"},
    block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm … 考"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    said("Grüße, ", "世界 🌍", index=1).replace(b"\n", b"\r\n"),
    block(2, tool(), partial(""), partial('{"a'), partial('": 1}')),
    {"type": "an_event_of_tomorrow", "index": 2, "delta": {"type": "x"}},
    block(3, tool("now", "toolu_2"), partial("")),
    end("tool_use", output_tokens=7, output_tokens_details={"thinking_tokens": 3}),
)
EVENTS = [
    UsageUpdate(usage=Usage(input_tokens=10, output_tokens=1, cache_read_tokens=4, cache_write_tokens=2)),
    ThinkingDelta(text="Hm … 考"),
    TextDelta(text="Grüße, "),
    TextDelta(text="世界 🌍"),
    ToolCallReady(call=ToolCallPart(id="toolu_1", name="add", arguments='{"a": 1}')),
    ToolCallReady(call=ToolCallPart(id="toolu_2", name="now", arguments="{}")),
    UsageUpdate(
        usage=Usage(input_tokens=10, output_tokens=7, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=3)
    ),
    ModelFinished(reason="tool_calls", model="a-model-1", request_id="req_1"),
]


def without_state(events: Sequence[ModelEvent]) -> list[ModelEvent]:
    return [event for event in events if not isinstance(event, StateUpdate)]


def test_a_stream_in_one_piece() -> None:
    events = decode(STREAM)
    assert without_state(events) == EVENTS
    assert kept_of(events) == [
        {"type": "thinking", "thinking": "Hm … 考", "signature": "c2ln"},
        {"type": "text", "text": "Grüße, 世界 🌍"},
        {"type": "tool_use", "id": "toolu_1"},
        {"type": "tool_use", "id": "toolu_2"},
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_cut_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert without_state(decode(*(STREAM[one:two] for one, two in pairwise(edges)))) == EVENTS


def test_a_stream_of_single_bytes() -> None:
    assert without_state(decode(*(STREAM[place : place + 1] for place in range(len(STREAM))))) == EVENTS


@pytest.mark.parametrize("length", range(0, len(STREAM), 7))
def test_a_stream_that_ends_anywhere_is_whole_or_broken_never_short(length: int) -> None:
    if length < STREAM.index(b'"stop_reason"'):
        with pytest.raises(StreamBroken):
            decode(STREAM[:length])
        return
    try:
        assert without_state(decode(STREAM[:length])) == EVENTS
    except StreamBroken:
        assert length < len(STREAM)


def test_an_answer_without_its_last_event_is_whole_if_its_reason_came() -> None:
    stream = sse(start(), said("a"), end())
    assert decode(stream[: stream.index(b"event: message_stop")])[-1] == ModelFinished(
        reason="stop", model="a-model-1", request_id="req_1"
    )


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": nothing but comments\n\n",
        sse(start()),
        sse(start(), said("a")),
        sse(start(), {"type": "message_stop"}),
        b"data: {not json\n\n",
        b"data: []\n\n",
        b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 3}}\n\n',
        sse(start(), {"type": "content_block_delta", "index": 5, "delta": {"type": "text_delta", "text": "x"}}),
        sse(start(input_tokens="many")),
        b"data: \xff\xfe\n\n",
    ],
)
def test_what_is_no_answer_is_a_broken_stream(stream: bytes) -> None:
    with pytest.raises(StreamBroken) as caught:
        decode(stream)
    assert str(caught.value).startswith("acme: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("a_reason_of_tomorrow", "a_reason_of_tomorrow"),
        ("tool_use", "stop"),
    ],
)
def test_why_it_ended(reason: str, ours: str) -> None:
    event = decode(sse(start(), said("a"), end(reason)))[-1]
    assert isinstance(event, ModelFinished)
    assert event.reason == ours


def test_a_refusal_says_why_unless_something_was_said() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "That I do not do."}
    assert text_of(decode(sse(start(), end("refusal", details)))) == "That I do not do."
    assert text_of(decode(sse(start(), said("So far"), end("refusal", details)))) == "So far"
    assert text_of(decode(sse(start(), end("refusal", {"type": "refusal", "explanation": None})))) == ""


def test_the_usage_of_the_end_adds_to_that_of_the_beginning() -> None:
    events = decode(sse(start(input_tokens=5, cache_read_input_tokens=3, output_tokens=1), end(output_tokens=9)))
    usages = [event.usage for event in events if isinstance(event, UsageUpdate)]
    assert usages[-1] == Usage(input_tokens=5, cache_read_tokens=3, output_tokens=9)


@pytest.mark.parametrize(
    ("deltas", "given", "arguments"),
    [
        ([], {}, "{}"),
        (["", ""], {}, "{}"),
        (["  "], {}, "{}"),
        (['{"a": ', "1.50}"], {}, '{"a": 1.50}'),
        (['{"cut": "in the mid'], {}, '{"cut": "in the mid'),
        (["not json"], {}, "not json"),
        ([], {"whole": [1, "ü"]}, '{"whole":[1,"ü"]}'),
        (['{"x": "' + "ü" * 300_000, '"}'], {}, '{"x": "' + "ü" * 300_000 + '"}'),
    ],
    ids=["none", "empty", "blank", "pieces", "cut", "invalid", "at once", "huge"],
)
def test_arguments_are_the_text_that_came(deltas: list[str], given: dict[str, Any], arguments: str) -> None:
    stream = sse(start(), block(0, tool(**given), *map(partial, deltas)), end("tool_use"))
    assert calls_of(decode(stream)) == [ToolCallPart(id="toolu_1", name="add", arguments=arguments)]


def test_an_id_is_never_given_out_twice() -> None:
    earlier = Message(role="assistant", parts=(ToolCallPart(id="toolu_1", name="add"),))
    stream = sse(start(), block(0, tool()), block(1, tool(call_id="")), block(2, tool(call_id="b")), end("tool_use"))
    ids = [call.id for call in calls_of(decode(stream, asked=request(earlier)))]
    assert len({"toolu_1", *ids}) == 4
    assert ids[2] == "b"
    assert ids == [call.id for call in calls_of(decode(stream, asked=request(earlier)))]


def test_thoughts_are_set_apart() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": ""}
    signed = {"type": "signature_delta", "signature": "s"}
    blocks = [block(n, thought, {"type": "thinking_delta", "thinking": f"{n}."}, signed) for n in range(2)]
    events = decode(sse(start(), *blocks, said("x", index=2), end()))
    assert thinking_of(events) == "0.\n\n1."
    assert [kept["thinking"] for kept in kept_of(events)[:2]] == ["0.", "1."]


def test_thinking_that_is_not_shown_is_kept_all_the_same() -> None:
    thought = block(
        0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "s"}
    )
    events = decode(
        sse(start(), thought, block(1, {"type": "redacted_thinking", "data": "d"}), said("x", index=2), end())
    )
    assert thinking_of(events) == ""
    assert kept_of(events)[:2] == [
        {"type": "thinking", "thinking": "", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ]


def test_an_answer_of_text_and_calls_needs_no_state() -> None:
    events = decode(sse(start(), said("x"), block(1, tool()), end("tool_use")))
    assert not any(isinstance(event, StateUpdate) for event in events)


def test_blocks_of_the_vendors_own_tools_are_kept_with_what_was_cited() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"url": "u"}]}
    cited = {"type": "web_search_result_location", "url": "u", "cited_text": "c"}
    events = decode(
        sse(
            start(),
            block(0, search, partial('{"query": '), partial('"x"}')),
            block(1, found),
            block(
                2,
                {"type": "text", "text": ""},
                {"type": "citations_delta", "citation": cited},
                {"type": "text_delta", "text": "So."},
            ),
            end(),
        )
    )
    assert calls_of(events) == []
    assert kept_of(events) == [
        {**search, "input": {"query": "x"}},
        found,
        {"type": "text", "text": "So.", "citations": [cited]},
    ]


def test_what_was_cut_at_the_limit_does_no_harm_later() -> None:
    """Thinking without its signature is not taken back, and half a search is no JSON."""
    cut = block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "Hm"})
    events = decode(sse(start(), cut, end("max_tokens")))
    assert not any(isinstance(event, StateUpdate) for event in events)
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    assert kept_of(decode(sse(start(), block(0, search, partial('{"query": ')), end("max_tokens")))) == [search]


WANTED = ResponseFormat(name="n", json_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
BY_TOOL: dict[str, Any] = {"quirks": {"structured": "tool"}, "response_format": WANTED}


def test_the_input_of_the_answers_tool_is_the_answer() -> None:
    stream = sse(start(), block(0, tool("give_answer"), partial('{"n"'), partial(": 3}")), end("tool_use"))
    events = decode(stream, asked=request(**BY_TOOL))
    assert (text_of(events), calls_of(events)) == ('{"n": 3}', [])
    assert events[-1] == ModelFinished(reason="stop", model="a-model-1", request_id="req_1")
    nothing = decode(sse(start(), block(0, tool("give_answer")), end("tool_use")), asked=request(**BY_TOOL))
    assert text_of(nothing) == "{}"


def test_another_tool_beside_the_answers_is_called() -> None:
    tools = (ToolSpec(name="add", description="", parameters={}),)
    events = decode(sse(start(), block(0, tool()), end("tool_use")), asked=request(tools=tools, **BY_TOOL))
    assert [call.name for call in calls_of(events)] == ["add"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Overloaded, "overloaded_error: Overloaded"),
        ({"type": "api_error", "message": "Internal server error"}, Overloaded, "Internal"),
        ({"type": "rate_limit_error", "message": "Slow down"}, RateLimited, "Slow down"),
        ({"type": "invalid_request_error", "message": "Bad field"}, BadRequest, "Bad field"),
        (
            {"type": "rate_limit_error", "message": "x", "details": {"error_code": "enforced_spend_limit_reached"}},
            NotEntitled,
            "enforced_spend_limit_reached",
        ),
        ("words with a-secret in them", Overloaded, "words with [key]"),
        (None, Overloaded, "acme"),
    ],
)
def test_errors_in_mid_stream(error: Any, kind: type[ProviderError], words: str) -> None:
    event = {"type": "error", "error": error, "request_id": "req_9"}
    with pytest.raises(kind) as caught:
        decode(sse(start(), said("so far"), event))
    assert words in str(caught.value)
    assert "a-secret" not in str(caught.value)
    assert caught.value.request_id == "req_1"


def test_what_follows_the_end_is_not_read() -> None:
    assert text_of(decode(sse(start(), said("a"), end()), b"data: [DONE]\n\ndata: {not json\n\n")) == "a"


def test_a_whole_answer() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Both."},
        tool(a=1),
    ]
    whole = {
        "type": "message",
        "model": "a-model-1",
        "content": content,
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    events = list(Decoder(request(), "req_1").whole(json.dumps(whole).encode()))
    assert without_state(events) == [
        ThinkingDelta(text="hm"),
        TextDelta(text="Both."),
        ToolCallReady(call=ToolCallPart(id="toolu_1", name="add", arguments='{"a":1}')),
        UsageUpdate(usage=Usage(input_tokens=3, output_tokens=2)),
        ModelFinished(reason="tool_calls", model="a-model-1", request_id="req_1"),
    ]
    assert kept_of(events)[0] == content[0]


@pytest.mark.parametrize("body", [b"{}", b"", b"<html>", b'{"detail": "Not here"}', b'{"content": []}', b"[]"])
def test_a_whole_body_that_is_no_answer(body: bytes) -> None:
    with pytest.raises(StreamBroken):
        list(Decoder(request()).whole(body))


def test_an_error_in_a_whole_body() -> None:
    with pytest.raises(Overloaded, match="Busy"):
        list(Decoder(request()).whole(b'{"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}'))


def streamed(elements: list[Element]) -> bytes:
    """What the model server sends for a reply."""
    answer = Answer(1, "a-model", tokens_of(elements, 400), {"stop_sequences": ["END"]}, "/v1/messages")
    pieces = AnthropicMessages().stream(elements, answer)
    return b"".join(piece.data for piece in pieces if isinstance(piece, Piece))


def read_by_sdk(stream: bytes) -> Any:
    """The message that Anthropic's client puts together from the same bytes."""

    def answered(asked: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream, request=asked)

    http = httpx2.Client(transport=httpx2.MockTransport(answered))
    client = anthropic.Anthropic(api_key="k", base_url="http://acme.test", max_retries=0, http_client=http)
    with (
        client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as events,
    ):
        return events.get_final_message()


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9999, 9999) | WORDS, lambda inner: st.lists(inner, max_size=3)
)
ELEMENTS = st.lists(
    st.one_of(
        st.builds(Say, WORDS, st.integers(0, 4)),
        st.builds(Think, WORDS),
        st.builds(lambda mark: Think("", redacted=True, signature=mark), st.sampled_from(["c2ln", "ZGF0YQ=="])),
        st.builds(Call, st.sampled_from(["add", "now"]), st.dictionaries(WORDS, VALUES, max_size=3)),
        st.just(KeepAlive()),
    ),
    max_size=6,
)
ENDS = st.sampled_from([[], [Finish("length")], [Finish("pause_turn")], [Finish("stop_sequence")], [Refuse("No.")]])
USED = st.integers(0, 90).map(lambda n: [Tokens(100 + n, 50, cached=n, cache_written=n // 3, reasoning=n // 2)])


@settings(deadline=None, max_examples=100)
@given(ELEMENTS, ENDS, USED, st.data())
def test_we_and_the_official_client_read_the_same(
    elements: list[Element], ends: list[Element], used: list[Element], data: st.DataObject
) -> None:
    stream = streamed([*elements, *ends, *used])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    ours = decode(*(stream[one:two] for one, two in pairwise([0, *cuts, len(stream)])))
    theirs = read_by_sdk(stream)
    text = "".join(part.text for part in theirs.content if part.type == "text")
    refused = theirs.stop_details.explanation if theirs.stop_details and not text else ""
    assert text_of(ours) == (text or refused)
    thoughts = [part.thinking for part in theirs.content if part.type == "thinking"]
    assert thinking_of(ours) == "\n\n".join(thoughts)
    assert [(call.id, call.name, json.loads(call.arguments)) for call in calls_of(ours)] == [
        (part.id, part.name, part.input) for part in theirs.content if part.type == "tool_use"
    ]
    usage = [event.usage for event in ours if isinstance(event, UsageUpdate)][-1]
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (
        theirs.usage.input_tokens,
        theirs.usage.cache_read_input_tokens,
        theirs.usage.cache_creation_input_tokens,
    )
    thought = theirs.usage.output_tokens_details.thinking_tokens
    assert (usage.output_tokens, usage.reasoning_tokens) == (theirs.usage.output_tokens, thought)
    finished = ours[-1]
    assert isinstance(finished, ModelFinished)
    assert finished.reason in SAME[theirs.stop_reason]
    marked = [part.to_dict() for part in theirs.content if part.type in ("thinking", "redacted_thinking")]
    if marked:
        assert [kept for kept in kept_of(ours) if kept["type"] not in ("text", "tool_use")] == marked


SAME = {
    "end_turn": ("stop", "tool_calls"),
    "stop_sequence": ("stop", "tool_calls"),
    "tool_use": ("tool_calls",),
    "max_tokens": ("length",),
    "pause_turn": ("pause",),
    "refusal": ("refusal",),
}
