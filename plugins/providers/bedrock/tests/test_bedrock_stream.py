"""The answers that are read: what a stream may hold, and that Amazon's own client reads the same of it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import EventStream
from botocore.parsers import create_parser
from botocore.session import Session
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
    ProviderError,
    RateLimited,
    ResponseFormat,
    StateUpdate,
    StreamBroken,
    TextDelta,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    ToolSpec,
    Usage,
    UsageUpdate,
)
from hermes_plugin_bedrock.codec import encode
from hermes_plugin_bedrock.frames import FrameReader
from hermes_plugin_bedrock.stream import Decoder
from hermes_testkit.wire.eventstream import frame

ENDPOINT = Endpoint(provider="aws", base_url="https://bedrock-runtime.us-east-1.amazonaws.com", key="a-secret-key")
STREAM = Session().get_service_model("bedrock-runtime").operation_model("ConverseStream").output_shape.members["stream"]


def request(*messages: Message, **more: Any) -> ModelRequest:
    fields = {"endpoint": ENDPOINT, "model": "a.b", "messages": messages, **more}
    return ModelRequest(id="r1", session_id="s", turn_id="t", **fields)


def event(kind: str, **body: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(body).encode())


def exception(kind: str, **body: Any) -> bytes:
    return frame({":exception-type": kind, ":message-type": "exception"}, json.dumps(body).encode())


def piece(index: int, **delta: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=delta, p="abcd")


def call(index: int, call_id: str, name: str, *pieces: str, **more: Any) -> bytes:
    start = {"toolUse": {"toolUseId": call_id, "name": name, **more}}
    return event("contentBlockStart", contentBlockIndex=index, start=start) + b"".join(
        piece(index, toolUse={"input": text}) for text in pieces
    )


def end(reason: str = "end_turn", **usage: int) -> bytes:
    return event("messageStop", stopReason=reason) + event("metadata", usage=usage, metrics={"latencyMs": 1})


START = event("messageStart", role="assistant")
REDACTED = base64.b64encode(b"secret").decode()
EVERYTHING = b"".join(
    [
        START,
        *(piece(0, reasoningContent={"text": text}) for text in ("Let ", "me see 🌍.")),
        piece(0, reasoningContent={"signature": "c2ln"}),
        event("contentBlockStop", contentBlockIndex=0),
        piece(1, reasoningContent={"redactedContent": REDACTED}),
        event("contentBlockStop", contentBlockIndex=1),
        *(piece(2, text=text) for text in ("Grüße, ", "世界", "")),
        event("contentBlockStop", contentBlockIndex=2),
        event("keepAlive"),
        call(4, "t2", "wait"),
        call(3, "t1", "look", '{"pla', 'ce": "ü"}'),
        event("contentBlockStop", contentBlockIndex=3),
        end(
            "tool_use",
            inputTokens=30,
            outputTokens=9,
            totalTokens=109,
            cacheReadInputTokens=64,
            cacheWriteInputTokens=6,
        ),
    ]
)


def read(data: bytes, *, step: int = 0, asked: ModelRequest | None = None) -> list[ModelEvent]:
    """The events; ``step``: bytes that are fed at once, 0: all of them."""
    decoder = Decoder(asked or request(), "us.a.b", "q1")
    step = step or len(data) or 1
    pieces = [data[place : place + step] for place in range(0, len(data), step)]
    events = [found for part in pieces for found in decoder.feed(part)]
    return [*events, *decoder.finish()]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(found.text for found in events if isinstance(found, TextDelta))


def calls_of(events: list[ModelEvent]) -> list[ToolCallPart]:
    return [found.call for found in events if isinstance(found, ToolCallReady)]


class Raw:
    """As the SDK's HTTP library gives it a body."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data

    def close(self) -> None:
        pass


def read_by_the_sdk(data: bytes) -> dict[str, Any]:
    parser = create_parser("rest-json")._event_stream_parser
    blocks: dict[int, dict[str, Any]] = {}
    found: dict[str, Any] = {"text": "", "thinking": ""}
    for told in EventStream(Raw(data), STREAM, parser, "ConverseStream"):
        match told:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": used}}}:
                blocks[index] = {**used, "input": ""}
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}:
                found["text"] += delta.get("text", "")
                found["thinking"] += delta.get("reasoningContent", {}).get("text", "")
                if "toolUse" in delta:
                    blocks[index]["input"] += delta["toolUse"]["input"]
            case {"messageStop": {"stopReason": reason}}:
                found["reason"] = reason
            case {"metadata": {"usage": usage}}:
                found["usage"] = usage
    found["calls"] = [(used["toolUseId"], used["name"], used["input"] or "{}") for _, used in sorted(blocks.items())]
    return found


def test_an_answer_with_everything() -> None:
    events = read(EVERYTHING)
    assert text_of(events) == "Grüße, 世界"
    assert "".join(found.text for found in events if isinstance(found, ThinkingDelta)) == "Let me see 🌍."
    assert calls_of(events) == [
        ToolCallPart(id="t1", name="look", arguments='{"place": "ü"}'),
        ToolCallPart(id="t2", name="wait", arguments="{}"),
    ]
    assert [found.usage for found in events if isinstance(found, UsageUpdate)] == [
        Usage(input_tokens=30, output_tokens=9, cache_read_tokens=64, cache_write_tokens=6)
    ]
    assert events[-1] == ModelFinished(reason="tool_calls", model="us.a.b", request_id="q1")


def test_we_and_the_official_client_read_the_same() -> None:
    ours, theirs = read(EVERYTHING), read_by_the_sdk(EVERYTHING)
    assert text_of(ours) == theirs["text"]
    assert "".join(found.text for found in ours if isinstance(found, ThinkingDelta)) == theirs["thinking"]
    assert [(found.id, found.name, found.arguments) for found in calls_of(ours)] == theirs["calls"]
    (usage,) = [found.usage for found in ours if isinstance(found, UsageUpdate)]
    assert (usage.total_tokens, usage.input_tokens) == (theirs["usage"]["totalTokens"], theirs["usage"]["inputTokens"])
    assert theirs["reason"] == "tool_use"


def joined(events: list[ModelEvent]) -> list[Any]:
    return [text_of(events), *(found for found in events if not isinstance(found, TextDelta | ThinkingDelta))]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_bytes_may_be_cut_anywhere(step: int) -> None:
    assert read(EVERYTHING, step=step) == read(EVERYTHING)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, len(EVERYTHING)), max_size=12))
def test_bytes_may_be_cut_at_any_places(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(EVERYTHING)]
    decoder = Decoder(request(), "us.a.b", "q1")
    parts = [EVERYTHING[start:stop] for start, stop in pairwise(places)]
    assert [found for part in parts for found in decoder.feed(part)] == read(EVERYTHING)
    assert decoder.ended


def test_signed_thinking_is_kept_and_sent_again_as_it_was() -> None:
    (state,) = [found.state for found in read(EVERYTHING) if isinstance(found, StateUpdate)]
    assert (state.provider, state.model, state.endpoint) == ("aws", "a.b", ENDPOINT.base_url)
    assert json.loads(state.data) == {
        "content": [
            {"reasoningText": {"text": "Let me see 🌍.", "signature": "c2ln"}},
            {"redactedContent": REDACTED},
            {"text": 9},
            {"call": "t1"},
            {"call": "t2"},
        ]
    }


def test_redacted_thinking_in_pieces_is_put_together() -> None:
    parts = [base64.b64encode(part).decode() for part in (b"a", b"secret")]
    data = START + b"".join(piece(0, reasoningContent={"redactedContent": part}) for part in parts) + end()
    (state,) = [found.state for found in read(data) if isinstance(found, StateUpdate)]
    assert json.loads(state.data)["content"] == [{"redactedContent": base64.b64encode(b"asecret").decode()}]


def test_thinking_without_a_signature_is_not_kept() -> None:
    data = START + piece(0, reasoningContent={"text": "hm"}) + piece(1, text="So.") + end()
    assert not any(isinstance(found, StateUpdate) for found in read(data))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "refusal"),
        ("content_filtered", "refusal"),
        ("malformed_tool_use", "malformed_tool_use"),
        ("tool_use", "stop"),
    ],
)
def test_stop_reasons(theirs: str, ours: str) -> None:
    end_of = read(START + piece(0, text="x") + end(theirs))[-1]
    assert isinstance(end_of, ModelFinished)
    assert end_of.reason == ours
    with_call = read(START + call(0, "t", "f") + end(theirs))[-1]
    assert isinstance(with_call, ModelFinished)
    assert with_call.reason == ("tool_calls" if ours == "stop" else ours)


@pytest.mark.parametrize("count", range(5))
def test_a_stream_without_its_stop_marker_is_broken(count: int) -> None:
    frames = [START, piece(0, text="x"), call(1, "t", "f", "{}"), event("contentBlockStop", contentBlockIndex=1)]
    events: list[ModelEvent] = []
    decoder = Decoder(request(), "a.b")
    events.extend(decoder.feed(b"".join(frames[:count]) + end()[:40]))
    with pytest.raises(StreamBroken) as caught:
        events.extend(decoder.finish())
    assert caught.value.hint
    assert not any(isinstance(found, ModelFinished | ToolCallReady) for found in events)


def test_an_answer_without_usage_is_whole_all_the_same() -> None:
    events = read(START + piece(0, text="x") + event("messageStop", stopReason="end_turn"))
    assert isinstance(events[-1], ModelFinished)
    assert not any(isinstance(found, UsageUpdate) for found in events)


GOOD = piece(0, text="so far so good")
BAD_LENGTH = struct.pack(">II", 40 << 20, 0)


@pytest.mark.parametrize(
    "damaged",
    [
        GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
        GOOD[:9] + bytes([GOOD[9] ^ 1]) + GOOD[10:],
        GOOD[:30] + bytes([GOOD[30] ^ 1]) + GOOD[31:],
        BAD_LENGTH + struct.pack(">I", zlib.crc32(BAD_LENGTH)) + bytes(16),
        frame({":event-type": "contentBlockDelta", ":message-type": "event"}, b'{"delta": {"te'),
        frame({":event-type": "contentBlockDelta", ":message-type": "event"}, b'{"delta": {"text": 5}}'),
        frame({":event-type": "contentBlockDelta", ":message-type": "event"}, b'{"delta": {"text": "\xff"}}'),
        b"HTTP/1.1 500 Sorry\r\n\r\n",
    ],
    ids=["checksum", "prelude", "header", "length", "half-json", "type", "utf8", "text"],
)
def test_damage_breaks_the_stream(damaged: bytes) -> None:
    decoder = Decoder(request(), "a.b")
    events: list[ModelEvent] = []
    with pytest.raises(StreamBroken):
        events.extend(decoder.feed(START + GOOD + damaged))
    assert text_of(events) == "so far so good"


def test_headers_of_every_kind_are_passed_over() -> None:
    others = b"".join(
        bytes([1]) + b"h" + bytes([kind]) + data
        for kind, data in [
            (0, b""),
            (1, b""),
            (2, b"1"),
            (3, b"12"),
            (4, b"1234"),
            (5, b"12345678"),
            (6, b"\0\3abc"),
            (8, b"12345678"),
            (9, bytes(16)),
        ]
    )
    named = others + b"\1x\7\0\2\xc3\xbc"
    prelude = struct.pack(">II", 16 + len(named) + 2, len(named))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + b"{}"
    (found,) = FrameReader().feed(message + struct.pack(">I", zlib.crc32(message)))
    assert found == ({"x": "ü"}, b"{}")
    half = struct.pack(">II", 18, 2)
    broken = half + struct.pack(">I", zlib.crc32(half)) + b"\x09x"
    reader = FrameReader()
    assert reader.feed(broken + struct.pack(">I", zlib.crc32(broken))) == []
    assert "headers" in reader.damage


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (exception("throttlingException", message="Slow down."), RateLimited, "throttlingException"),
        (exception("serviceUnavailableException", message="Busy."), Overloaded, "serviceUnavailableException"),
        (exception("internalServerException", message="Oops."), Overloaded, "internalServerException"),
        (exception("modelStreamErrorException", originalMessage="Oops."), Overloaded, "modelStreamErrorException"),
        (exception("modelTimeoutException"), Overloaded, "modelTimeoutException"),
        (exception("validationException", message="No."), BadRequest, "validationException"),
        (exception("validationException", message="Input is too long."), ContextOverflow, "validationException"),
        (exception("accessDeniedException", message="No."), NotEntitled, "accessDeniedException"),
        (frame({":message-type": "error", ":error-code": "500", ":error-message": "Oops."}, b""), Overloaded, ""),
        (frame({":message-type": "exception", ":exception-type": "x"}, b"no json"), Overloaded, "x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_in_the_stream_is_raised_as_its_class(data: bytes, kind: type[ProviderError], code: str) -> None:
    decoder = Decoder(request(), "a.b", "q1")
    with pytest.raises(ProviderError) as caught:
        list(decoder.feed(START + GOOD + data))
    assert type(caught.value) is kind
    assert (caught.value.code or "") in (code, "500")
    assert caught.value.hint
    assert caught.value.request_id == "q1"


def test_arguments_that_are_no_json_are_kept_as_text() -> None:
    (found,) = calls_of(read(START + call(0, "t", "f", '{"a": ', "1") + end("max_tokens")))
    assert found.arguments == '{"a": 1'


def test_ids_that_are_missing_or_given_out_again_are_replaced() -> None:
    earlier = Message(role="assistant", parts=(ToolCallPart(id="t", name="f"),))
    data = START + call(0, "t", "f") + call(1, "", "f") + call(2, "u", "f") + call(3, "u", "f") + end("tool_use")
    found = [part.id for part in calls_of(read(data, asked=request(earlier)))]
    assert found[2] == "u"
    assert len({*found, "t"}) == 5
    assert found == [part.id for part in calls_of(read(data, asked=request(earlier)))]


def test_names_come_back_as_they_are_called_here() -> None:
    asked = request(tools=(ToolSpec(name="mcp.read", description="d", parameters={}),))
    theirs = json.loads(encode(asked))["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert [part.name for part in calls_of(read(START + call(0, "t", theirs) + end(), asked=asked))] == ["mcp.read"]
    assert theirs != "mcp.read"


def test_the_answer_in_a_tools_input_is_text() -> None:
    asked = request(response_format=ResponseFormat(name="r", json_schema={"type": "object"}))
    data = START + call(0, "t", "give_answer", '{"n"', ": 1}")
    events = read(data + end("tool_use"), asked=asked)
    assert (text_of(events), calls_of(events)) == ('{"n": 1}', [])
    assert isinstance(events[-1], ModelFinished)
    assert events[-1].reason == "stop"
    both = read(data + call(1, "u", "look") + end("tool_use"), asked=asked)[-1]
    assert isinstance(both, ModelFinished)
    assert both.reason == "tool_calls"


def test_a_tool_of_ours_that_is_called_as_the_answers_would_be_is_a_tool() -> None:
    tools = (ToolSpec(name="give_answer", description="x", parameters={"type": "object"}),)
    called = START + call(0, "t", "give_answer", "{}") + end("tool_use")
    assert [part.name for part in calls_of(read(called, asked=request(tools=tools)))] == ["give_answer"]
    wanted = ResponseFormat(name="r", json_schema={"type": "object"})
    asked = request(tools=tools, response_format=wanted)
    assert [part.name for part in calls_of(read(called, asked=asked))] == ["give_answer"]
    answered = read(START + call(0, "t", "give_answer_", '{"n": 1}') + end("tool_use"), asked=asked)
    assert (text_of(answered), calls_of(answered)) == ('{"n": 1}', [])


def test_tools_that_the_vendor_runs_itself_are_not_ours_to_run() -> None:
    data = START + call(0, "t", "search", "{}", type="server_tool_use") + piece(1, text="Found.") + end()
    events = read(data)
    assert (text_of(events), calls_of(events)) == ("Found.", [])


WHOLE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Let me see 🌍.", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": REDACTED}},
                {"text": "Grüße, 世界"},
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"place": "ü"}}},
                {"toolUse": {"toolUseId": "t2", "name": "wait", "input": {}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 30, "outputTokens": 9, "cacheReadInputTokens": 64, "cacheWriteInputTokens": 6},
}


def test_a_whole_answer_is_read_as_a_streamed_one() -> None:
    body = json.dumps(WHOLE, ensure_ascii=False).encode()
    assert joined(list(Decoder(request(), "us.a.b", "q1").whole(body))) == joined(read(EVERYTHING))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"output": {"mess', b"[]", json.dumps({**WHOLE, "stopReason": ""}).encode(), b'{"output": 5}'],
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    with pytest.raises(StreamBroken):
        list(Decoder(request(), "a.b").whole(body))
