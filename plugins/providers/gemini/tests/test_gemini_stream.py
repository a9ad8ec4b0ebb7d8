"""What is made of the bytes of an answer, cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import (
    BadRequest,
    ContentRefused,
    Endpoint,
    Message,
    ModelEvent,
    ModelFinished,
    ModelRequest,
    Overloaded,
    ProviderError,
    RateLimited,
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
from hermes_plugin_gemini.codec import GeminiCodec, encode
from hermes_plugin_gemini.listing import models_of
from hermes_testkit.provider_cases import assistant, result, user

KEY = "AIza-0123456789abcdef"
ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1beta", key=KEY)
CODEC = GeminiCodec()


def request(*messages: Message, **more: Any) -> ModelRequest:
    fields: dict[str, Any] = {"id": "r1", "session_id": "s", "turn_id": "t", "model": "a-model", **more}
    return ModelRequest(endpoint=ENDPOINT, messages=messages, **fields)


def piece(*parts: dict[str, Any], **end: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **end}
    return {"candidates": [candidate], "modelVersion": "a-model-001", "responseId": "resp"}


def called(name: str = "look", call_id: str = "", args: Any = None, **more: Any) -> dict[str, Any]:
    identity = {"id": call_id} if call_id else {}
    return {"functionCall": {**identity, "name": name, "args": args or {}}, **more}


END = piece(finishReason="STOP")


def stream(*pieces: dict[str, Any] | bytes) -> bytes:
    encoded = (one if isinstance(one, bytes) else f"data: {json.dumps(one)}\r\n\r\n".encode() for one in pieces)
    return b"".join(encoded)


def events_of(chunks: Iterable[bytes], asked: ModelRequest | None = None) -> list[ModelEvent]:
    decoder = CODEC.decoder(asked or request(), "req")
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.finish()
    assert decoder.ended
    return events


def read(*pieces: dict[str, Any] | bytes, asked: ModelRequest | None = None) -> list[ModelEvent]:
    return events_of([stream(*pieces)], asked)


def failure_of(*pieces: dict[str, Any] | bytes) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        read(*pieces)
    return raised.value


def calls_of(events: list[ModelEvent]) -> list[ToolCallPart]:
    return [event.call for event in events if isinstance(event, ToolCallReady)]


def shape_of(events: list[ModelEvent]) -> Any:
    (state,) = [event.state for event in events if isinstance(event, StateUpdate)]
    assert (state.provider, state.model, state.endpoint) == ("acme", "a-model", ENDPOINT.base_url)
    return json.loads(state.data)["parts"]


def test_an_answer() -> None:
    events = read(
        piece({"text": "Hm.", "thought": True}),
        piece({"text": "Good "}),
        piece({"text": "day"}),
        {**piece({"text": ""}, finishReason="STOP"), "usageMetadata": {"promptTokenCount": 3}},
    )
    assert events == [
        ThinkingDelta(text="Hm."),
        TextDelta(text="Good "),
        TextDelta(text="day"),
        UsageUpdate(usage=Usage(input_tokens=3)),
        ModelFinished(reason="stop", model="a-model-001", request_id="req"),
    ]


def test_it_is_the_same_whole_and_as_a_list_of_pieces() -> None:
    pieces = [piece({"text": "Good"}), piece(called(call_id="c"), finishReason="STOP")]
    one = piece({"text": "Good"}, called(call_id="c"), finishReason="STOP")
    for body in (pieces, one):
        assert list(CODEC.decoder(request(), "req").whole(json.dumps(body).encode())) == read(*pieces)


class TestCalls:
    def test_they_come_as_they_were_written(self) -> None:
        data = b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"look","id":"f1",'
        data += b'"args":{"n": 12345678901234567890, "f": 1.0}}}]},"finishReason":"STOP"}]}\n\n'
        events = read(data)
        assert calls_of(events) == [
            ToolCallPart(id="f1", name="look", arguments='{"n": 12345678901234567890, "f": 1.0}')
        ]
        assert isinstance(events[-1], ModelFinished)
        assert events[-1].reason == "tool_calls"

    @pytest.mark.parametrize("arguments", [{}, {"args": {}}, {"args": None}])
    def test_without_arguments_they_have_an_empty_object(self, arguments: dict[str, Any]) -> None:
        (call,) = calls_of(read(piece({"functionCall": {"name": "look", **arguments}}, finishReason="STOP")))
        assert call.arguments == "{}"

    def test_one_without_an_id_gets_one_that_nobody_has(self) -> None:
        asked = request(user("a"), assistant(ToolCallPart(id="f1", name="look")))
        pieces = [piece(called(), called(call_id="f1"), called(call_id="f2"), called(call_id="f2")), END]
        ids = [call.id for call in calls_of(read(*pieces, asked=asked))]
        assert len({*ids, "f1"}) == 5
        assert ids[2] == "f2"
        assert [call.id for call in calls_of(read(*pieces, asked=asked))] == ids

    def test_names_are_ours_again(self) -> None:
        tools = (ToolSpec(name="mcp.files/read", description="", parameters={}),)
        asked = request(user("a"), tools=tools)
        theirs = json.loads(encode(asked))["tools"][0]["functionDeclarations"][0]["name"]
        assert theirs != "mcp.files/read"
        (call,) = calls_of(read(piece(called(theirs)), END, asked=asked))
        assert call.name == "mcp.files/read"


class TestSignatures:
    def test_each_is_kept_with_its_part(self) -> None:
        events = read(
            piece({"text": "hm", "thought": True}),
            piece({"text": "a"}),
            piece({"text": "b"}),
            piece({"text": "cd", "thoughtSignature": "S"}),
            piece(called(call_id="f1", thoughtSignature="C"), called(call_id="f2")),
            piece({"text": "", "thoughtSignature": "E"}, finishReason="STOP"),
        )
        assert shape_of(events) == [
            {"text": 2},
            {"text": 2, "thoughtSignature": "S"},
            {"call": "f1", "thoughtSignature": "C"},
            {"call": "f2"},
            {"text": 0, "thoughtSignature": "E"},
        ]

    def test_what_came_goes_back_as_it_was(self) -> None:
        parts = [
            {"text": "hm", "thought": True, "thoughtSignature": "T"},
            {"text": "Good "},
            {"text": "day 🌍", "thoughtSignature": "S"},
            called(call_id="f1", args={"a": 1}, thoughtSignature="C"),
            {"text": "."},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK"}, "thoughtSignature": "X"},
            called(call_id="f2"),
        ]
        events = read(*(piece(part) for part in parts), END)
        texts = [event.text for event in events if isinstance(event, TextDelta)]
        thoughts = [event.text for event in events if isinstance(event, ThinkingDelta)]
        assert (texts, thoughts) == (["Good ", "day 🌍", "."], ["hm"])
        states = tuple(event.state for event in events if isinstance(event, StateUpdate))
        made = calls_of(events)
        answer = assistant("".join(texts), *made, state=states)
        asked = request(user("x"), answer, *(result(call, "1") for call in made))
        assert json.loads(encode(asked))["contents"][1] == {"role": "model", "parts": parts}

    def test_without_any_nothing_is_kept(self) -> None:
        events = read(piece({"text": "a"}), piece(called(call_id="f1")), END)
        assert not [event for event in events if isinstance(event, StateUpdate)]


def test_usage_counts_each_token_once() -> None:
    counts = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 10,
        "cachedContentTokenCount": 64,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 119,
    }
    first = {**piece({"text": "a"}), "usageMetadata": {"promptTokenCount": 100}}
    events = read(first, first, {**END, "usageMetadata": counts})
    found = [event.usage for event in events if isinstance(event, UsageUpdate)]
    assert found == [
        Usage(input_tokens=100),
        Usage(input_tokens=46, output_tokens=9, cache_read_tokens=64, reasoning_tokens=5),
    ]
    assert found[-1].total_tokens == counts["totalTokenCount"]


class TestEnds:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "refusal"),
            ("RECITATION", "refusal"),
            ("BLOCKLIST", "refusal"),
            ("PROHIBITED_CONTENT", "refusal"),
            ("SPII", "refusal"),
            ("IMAGE_SAFETY", "refusal"),
            ("LANGUAGE", "LANGUAGE"),
            ("UNEXPECTED_TOOL_CALL", "UNEXPECTED_TOOL_CALL"),
            ("TOO_MANY_TOOL_CALLS", "TOO_MANY_TOOL_CALLS"),
            ("OTHER", "OTHER"),
        ],
    )
    def test_why(self, theirs: str, ours: str) -> None:
        end = read(piece({"text": "a"}), piece(finishReason=theirs))[-1]
        assert isinstance(end, ModelFinished)
        assert end.reason == ours

    def test_a_refusal_that_says_nothing_is_explained(self) -> None:
        events = read(piece(finishReason="SAFETY", finishMessage="Not this."))
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["Not this."]
        events = read(piece({"text": "Well"}), piece(finishReason="SAFETY", finishMessage="Not this."))
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["Well"]

    def test_a_reason_on_every_piece_cuts_nothing_off(self) -> None:
        pieces = [piece({"text": text}, finishReason="STOP") for text in ("one", " two")]
        assert [event.text for event in read(*pieces) if isinstance(event, TextDelta)] == ["one", " two"]

    @pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"])
    def test_what_the_model_garbled_is_worth_another_try(self, reason: str) -> None:
        failure = failure_of(piece(finishReason=reason, finishMessage="print(x"))
        assert type(failure) is StreamBroken
        assert reason in str(failure)
        assert "print(x" in str(failure)

    def test_a_missing_signature_is_not(self) -> None:
        failure = failure_of(piece(finishReason="MISSING_THOUGHT_SIGNATURE"))
        assert type(failure) is BadRequest
        assert "quirks.signatures" in failure.hint

    def test_a_blocked_prompt_is_refused(self) -> None:
        feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "No."}
        failure = failure_of({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}})
        assert type(failure) is ContentRefused
        assert "PROHIBITED_CONTENT" in str(failure)
        assert failure.code == "PROHIBITED_CONTENT"
        assert failure.hint

    def test_feedback_on_a_prompt_that_is_answered_is_none(self) -> None:
        rated = {**piece({"text": "a"}), "promptFeedback": {"safetyRatings": []}}
        assert read(rated, END)[0] == TextDelta(text="a")


class TestBroken:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            stream(piece({"text": "a"})),
            stream(piece({"text": "a"}), b'data: {"candidates": [{"con'),
            stream(piece({"text": "a"}), b'data: {"candidates": 7}\r\n\r\n', END),
            stream(piece({"text": "a"}), b"data: [1]\r\n\r\n", END),
            stream(piece({"text": "a"}), b"data: \xff\xfe\r\n\r\n", END),
        ],
    )
    def test_what_is_no_whole_answer(self, data: bytes) -> None:
        failure = failure_of(data)
        assert type(failure) is StreamBroken
        assert failure.request_id == "req"
        assert failure.hint

    def test_a_whole_body_that_is_no_answer(self) -> None:
        for body in (b"{}", b"[]", b"<html>", b'{"candidates": []}'):
            with pytest.raises(StreamBroken):
                list(CODEC.decoder(request(), "req").whole(body))

    def test_the_key_is_not_told(self) -> None:
        failure = failure_of(f"data: oops {KEY}\n\n".encode())
        assert KEY not in str(failure)
        assert "[key]" in str(failure)

    @pytest.mark.parametrize("form", ["event", "bare"])
    def test_an_error_in_mid_stream(self, form: str) -> None:
        """Google's servers send it as an event, or as plain lines of JSON."""
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}]
        error = {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": details}
        last = {"error": error} if form == "event" else json.dumps({"error": error}, indent=2).encode()
        failure = failure_of(piece({"text": "a"}), last)
        assert type(failure) is RateLimited
        assert (failure.status, failure.code, failure.retry_after) == (429, "RESOURCE_EXHAUSTED", 2.5)
        whole = stream(piece({"text": "a"}), last)
        with pytest.raises(RateLimited):
            events_of(whole[place : place + 1] for place in range(len(whole)))

    @pytest.mark.parametrize("code", [499, 500, 503, 504, None])
    def test_trouble_in_mid_stream_is_worth_waiting_for(self, code: int | None) -> None:
        failure = failure_of(piece({"text": "a"}), {"error": {"code": code, "message": "x", "status": "WHATEVER"}})
        assert type(failure) is Overloaded


ANSWER = stream(
    piece({"text": "Grüße 世界 🌍", "thought": True}),
    b": a comment\r\n\r\n",
    piece({"text": "line\r\n\u2028next"}),
    piece(called(call_id="f1", args={"a": "\u0085 🌍"}, thoughtSignature="C")),
    {**END, "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_bytes_cut_anywhere_say_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ANSWER)]
    chunks = [ANSWER[start:end] for start, end in pairwise(edges)]
    assert events_of(chunks) == events_of([ANSWER])


@given(st.integers(0, len(ANSWER) - 5))
def test_an_answer_without_its_end_is_none(length: int) -> None:
    """The last piece has the reason; all of it but the line end is needed."""
    with pytest.raises(StreamBroken):
        events_of([ANSWER[:length]])


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_end_in_an_answer_or_an_error_of_ours(data: bytes) -> None:
    decoder = CODEC.decoder(request(), "")
    try:
        events = [*decoder.feed(data), *decoder.finish()]
    except ProviderError:
        return
    assert isinstance(events[-1], ModelFinished)


def test_models_that_write_text_are_listed_by_their_ids() -> None:
    listed = [
        {
            "name": "models/gemini-x",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        },
        {"name": "models/embed", "supportedGenerationMethods": ["embedContent"]},
    ]
    (model,) = models_of(json.dumps({"models": listed}).encode()) or []
    assert (model.id, model.context_window, model.max_output) == ("gemini-x", 1048576, 65536)
    vertex = {"publisherModels": [{"name": "publishers/google/models/gemini-y", "versionId": "001"}]}
    assert [model.id for model in models_of(json.dumps(vertex).encode()) or []] == ["gemini-y"]
    assert models_of(b'{"data": []}') is None
    assert models_of(b"<html>") is None
