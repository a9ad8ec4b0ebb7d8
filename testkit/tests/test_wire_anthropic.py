"""The fake model server as Anthropic's Messages, proved true to the wire by Anthropic's own client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from hermes_testkit.model_server import (
    Call,
    Chunk,
    Cut,
    Drop,
    ErrorChunk,
    Fail,
    Finish,
    KeepAlive,
    Malformed,
    ModelServer,
    Refuse,
    Say,
    Slow,
    Think,
    Tokens,
)
from hermes_testkit.wires import WIRES, SeenCall

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
TOOLS: list[Any] = [{"name": name, "input_schema": {"type": "object"}} for name in ("add", "clock")]
CALLED: list[Any] = [
    *HELLO,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_a", "name": "add", "input": {"a": 1}}]},
]
PICTURE = b"\x89PNG\r\n\x1a\n and more"
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()},
}


def result(call_id: str = "toolu_a", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "done", **more}


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=model_server.root, api_key="key-of-tests", max_retries=0) as client:
        yield client


def ask(client: anthropic.Anthropic, messages: list[Any] = HELLO, **more: Any) -> Any:
    return client.messages.create(**{"model": "test-model", "max_tokens": 100, "messages": messages, **more})


def streamed(client: anthropic.Anthropic, **more: Any) -> Any:
    """The message that the client puts together from a stream."""
    with client.messages.stream(model="test-model", max_tokens=100, messages=HELLO, **more) as stream:
        return stream.get_final_message()


def test_an_answer_is_the_same_whole_and_streamed(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.default = [Think("Let me see."), Say("Good "), Say("morning"), Call("add", {"a": 1}, id="toolu_x")]
    for answer in (ask(client), streamed(client)):
        thinking, text, call = answer.content
        assert (thinking.type, thinking.thinking) == ("thinking", "Let me see.")
        assert base64.b64decode(thinking.signature)
        assert (text.type, text.text) == ("text", "Good morning")
        assert (call.type, call.id, call.name, call.input) == ("tool_use", "toolu_x", "add", {"a": 1})
        assert (answer.stop_reason, answer.model, answer.role) == ("tool_use", "test-model", "assistant")
    assert [seen.wire for seen in model_server.requests] == ["anthropic_messages"] * 2
    assert model_server.requests[0].headers["authorization"] == "Bearer key-of-tests"


def test_a_stream_comes_in_the_order_of_the_documentation(
    model_server: ModelServer, client: anthropic.Anthropic
) -> None:
    model_server.script([Think("Hm", signature="bWluZQ=="), Say("one two"), Call("add", '{"a": 1}', chunks=2)])
    with client.messages.with_streaming_response.create(
        model="m", max_tokens=9, messages=HELLO, stream=True
    ) as response:
        lines = list(response.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events] == names
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", *["text_delta"] * 2, *["input_json_delta"] * 3]
    assert [event["index"] for event in events if event["type"] == "content_block_start"] == [0, 1, 2]
    assert [names[0], names[2], *names[-2:]] == ["message_start", "ping", "message_delta", "message_stop"]
    assert {"type": "signature_delta", "signature": "bWluZQ=="} in [event.get("delta") for event in events]


def test_redacted_thinking_is_only_a_mark(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.default = [Think("", redacted=True, signature="c2VjcmV0"), Say("So.")]
    for answer in (ask(client), streamed(client)):
        assert [block.type for block in answer.content] == ["redacted_thinking", "text"]
        assert answer.content[0].data == "c2VjcmV0"


def test_parallel_calls_have_ids_of_their_own(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.default = [Call("add", {"a": 1}), Call("clock", ""), Call("clock")]
    for number, answer in enumerate((ask(client), streamed(client)), 1):
        assert [block.id for block in answer.content] == [f"toolu_{number}_{call}" for call in range(3)]
        assert [block.input for block in answer.content] == [{"a": 1}, {}, {}]


def test_usage_counts_cached_tokens_apart(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.default = [Say("Hi"), Tokens(prompt=100, completion=9, cached=64, cache_written=6, reasoning=5)]
    for answer in (ask(client), streamed(client)):
        usage = answer.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 64, 6)
        assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (9, 5)
        assert usage.cache_creation.ephemeral_5m_input_tokens == 6


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Say("x"), "end_turn"),
        (Call("add"), "tool_use"),
        ([Say("x"), Finish("length")], "max_tokens"),
        ([Say("x"), Finish("content_filter")], "refusal"),
        ([Say("x"), Finish("pause_turn")], "pause_turn"),
        ([Say("x"), Finish("stop_sequence")], "stop_sequence"),
        ([Say("x"), Finish("model_context_window_exceeded")], "model_context_window_exceeded"),
    ],
)
def test_stop_reasons(model_server: ModelServer, client: anthropic.Anthropic, reply: Any, reason: str) -> None:
    model_server.default = reply
    for answer in (ask(client, stop_sequences=["END"]), streamed(client, stop_sequences=["END"])):
        assert answer.stop_reason == reason
        assert answer.stop_sequence == ("END" if reason == "stop_sequence" else None)


def test_a_refusal_is_told_by_the_stop_reason(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.default = Refuse("I will not.")
    for answer in (ask(client), streamed(client)):
        assert (answer.content, answer.stop_reason) == ([], "refusal")
        assert answer.stop_details.explanation == "I will not."


@pytest.mark.parametrize(
    ("fail", "kind", "name"),
    [
        (Fail(400), anthropic.BadRequestError, "invalid_request_error"),
        (Fail(401), anthropic.AuthenticationError, "authentication_error"),
        (Fail(402), anthropic.APIStatusError, "billing_error"),
        (Fail(403), anthropic.PermissionDeniedError, "permission_error"),
        (Fail(404), anthropic.NotFoundError, "not_found_error"),
        (Fail(413), anthropic.APIStatusError, "request_too_large"),
        (Fail(429), anthropic.RateLimitError, "rate_limit_error"),
        (Fail(500), anthropic.InternalServerError, "api_error"),
        (Fail(529), anthropic.APIStatusError, "overloaded_error"),
        (Fail(400, reason="overflow"), anthropic.BadRequestError, "invalid_request_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_become_the_classes_of_the_sdk(
    model_server: ModelServer, client: anthropic.Anthropic, fail: Fail, kind: type[Any], name: str, stream: bool
) -> None:
    model_server.script(fail)
    with pytest.raises(kind) as caught:
        ask(client, stream=stream)
    assert (caught.value.status_code, caught.value.request_id) == (fail.status, "req_1")
    assert caught.value.body["error"]["type"] == name
    assert caught.value.body["request_id"] == "req_1"
    assert ("prompt is too long" in str(caught.value)) == (fail.reason == "overflow")


def test_a_spent_limit_is_no_rate_limit(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.script(Fail(429, headers={"retry-after": "7"}), Fail(429, reason="quota"))
    with pytest.raises(anthropic.RateLimitError) as rate:
        ask(client)
    assert rate.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.RateLimitError) as spent:
        ask(client)
    assert type(spent.value).__name__ == "EnforcedSpendLimitReachedError"


def test_an_error_after_the_status_200(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.script([Say("good"), ErrorChunk("Overloaded, sorry")], [Say("good"), ErrorChunk(type="api_error")])
    for kind in ("overloaded_error", "api_error"):
        with pytest.raises(anthropic.APIStatusError) as caught:
            list(ask(client, stream=True))
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["error"]["type"] == kind


@pytest.mark.parametrize("after", [-1, 0, 1, 4])
def test_a_cut_stream_is_an_error(model_server: ModelServer, client: anthropic.Anthropic, after: int) -> None:
    model_server.script([Say("one two three four"), Cut(after)])
    kinds: list[str] = []
    events = (kinds.append(event.type) for event in ask(client, stream=True))
    with pytest.raises(httpx2.RemoteProtocolError):
        list(events)
    assert "message_delta" not in kinds
    assert len(kinds) == (after if after >= 0 else 6)


def test_a_cut_answer_and_a_dropped_one_are_connection_errors(
    model_server: ModelServer, client: anthropic.Anthropic
) -> None:
    model_server.script([Say("one two three four"), Cut()], Drop())
    for _ in range(2):
        with pytest.raises(anthropic.APIConnectionError):
            ask(client)


def test_malformed_json_in_an_event(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.script([Say("good"), Malformed()])
    with pytest.raises(ValueError):
        list(ask(client, stream=True))


def test_pings_chunks_and_pauses_pass(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    odd = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}
    model_server.script([KeepAlive(), Say("so"), Slow(0.001), Chunk(odd), KeepAlive(), Say("?")])
    assert streamed(client).content[0].text == "so!?"


def test_the_key_and_the_version_are_checked(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.key = "another"
    with pytest.raises(anthropic.AuthenticationError):
        ask(client)
    with pytest.raises(anthropic.AuthenticationError, match="x-api-key header is required"):
        ask(client, extra_headers={"authorization": anthropic.omit})
    older = {"authorization": anthropic.omit, "x-api-key": "another", "anthropic-version": "2023-06-01"}
    assert ask(client, extra_headers=older).content[0].text == "OK"
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version: header is required"):
        ask(client, extra_headers={**older, "anthropic-version": anthropic.omit})
    with pytest.raises(anthropic.BadRequestError, match="not a valid version"):
        ask(client, extra_headers={**older, "anthropic-version": "2020-01-01"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": anthropic.omit}, "max_tokens: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "first message must use the"),
        ({"messages": [{"role": "system", "content": "Be brief."}, *HELLO]}, "Unexpected role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "non-whitespace"),
        ({"messages": CALLED + HELLO}, "`tool_use` ids were found without `tool_result` blocks .*: toolu_a"),
        ({"messages": [{"role": "user", "content": [result()]}]}, "unexpected `tool_use_id` .*: toolu_a"),
        ({"messages": [*CALLED, {"role": "user", "content": [result(), result("b")]}]}, "unexpected .*: b"),
        (
            {"messages": [*CALLED, {"role": "user", "content": [{"type": "text", "text": "x"}, result()]}]},
            "must come before",
        ),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]},
            "signature: Field required",
        ),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": [{**CALLED[1]["content"][0], "id": "a.b"}]}]},
            "should match pattern",
        ),
        ({"temperature": 1.0}, "temperature: Extra inputs"),
        ({"thinking": {"type": "adaptive"}, "tools": TOOLS, "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
            "A maximum of 4 blocks with cache_control may be provided. Found 5",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "'additionalProperties' must be explicitly set to false",
        ),
    ],
)
def test_what_is_malformed_is_refused(
    model_server: ModelServer, client: anthropic.Anthropic, change: dict[str, Any], message: str
) -> None:
    model_server.script("not played")
    body = {"model": "m", "max_tokens": 100, "messages": HELLO, **change}
    body = {name: value for name, value in body.items() if value is not anthropic.omit}
    with pytest.raises(anthropic.BadRequestError, match=message):
        client.post("/v1/messages", body=body, cast_to=object)
    assert model_server.pending == 1


def test_neighbours_of_one_role_are_one_turn(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    parts = [{"role": "user", "content": [result()]}, {"role": "user", "content": "And now?"}]
    assert ask(client, [*HELLO, *CALLED, *parts], tools=TOOLS).content[0].text == "OK"
    older = {"anthropic-version": "2023-06-01"}
    assert ask(client, extra_body={"temperature": 0.5}, extra_headers=older).content[0].text == "OK"


def test_a_request_is_read(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "See"}, IMAGE]},
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [{"type": "text", "text": "Looking."}, CALLED[1]["content"][0]]},
        {"role": "user", "content": [result(content=[{"type": "text", "text": "seen"}, IMAGE], is_error=True)]},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks"},
    ]
    ask(
        client,
        messages,
        system=[{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        tools=TOOLS,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    seen = WIRES["anthropic_messages"].read(model_server.requests[0])
    assert seen.system == ["One.", "Two."]
    assert seen.turns == [
        *[("user", "See"), ("user", "Go"), ("assistant", "Looking."), ("tool", "seen")],
        *[("assistant", "Done."), ("user", "Thanks")],
    ]
    assert seen.calls == [SeenCall("toolu_a", "add", '{"a": 1}')]
    assert seen.results == [("toolu_a", "seen")]
    assert seen.images == [PICTURE, PICTURE]
    assert (seen.tools, seen.json_schema) == (["add", "clock"], schema)


def test_an_answer_can_be_sent_back_as_it_came(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.script([Think("Hm."), Think("", redacted=True), Say("Both."), Call("add", {"a": 1}), Call("clock")])
    first = streamed(client, tools=TOOLS)
    results = [result(block.id) for block in first.content if block.type == "tool_use"]
    ask(client, [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}])
    sent = model_server.requests[1].json["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    assert sent[0]["signature"] == first.content[0].signature
    seen = WIRES["anthropic_messages"].read(model_server.requests[1])
    assert [call.id for call in seen.calls] == [call_id for call_id, _ in seen.results] == ["toolu_1_0", "toolu_1_1"]


def test_models_are_listed_page_by_page(model_server: ModelServer, client: anthropic.Anthropic) -> None:
    model_server.models = ["a", {"id": "b", "max_input_tokens": 1000}, "c", "d", "e"]
    assert [model.id for model in client.models.list(limit=2)] == ["a", "b", "c", "d", "e"]
    assert len(model_server.other_requests) == 3
    page = client.models.list(limit=2, before_id="e")
    assert [model.id for model in page.data] == ["c", "d"]
    assert (page.has_more, page.first_id, page.last_id) == (True, "c", "d")
    assert client.models.list().data[1].max_input_tokens == 1000
    assert model_server.other_requests[0].wire == "anthropic_messages"
