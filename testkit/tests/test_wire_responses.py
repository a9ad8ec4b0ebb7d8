"""The fake model server as OpenAI's Responses, proved true to the wire by OpenAI's own client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
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

TOOLS: list[Any] = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("add", "clock")]
ENCRYPTED: dict[str, Any] = {"include": ["reasoning.encrypted_content"], "store": False}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
PICTURE = b"\x89PNG\r\n\x1a\n and more"
IMAGE: dict[str, Any] = {
    "type": "input_image",
    "image_url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}",
}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "call_a", "name": "add", "arguments": '{"a": 1}'}
OUTPUT: dict[str, Any] = {"type": "function_call_output", "call_id": "call_a", "output": "done"}


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=model_server.url, api_key="key-of-tests", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, asked: Any = "Hello", **more: Any) -> Any:
    return client.responses.create(model="test-model", input=asked, **more)


def streamed(client: openai.OpenAI, **more: Any) -> Any:
    """The response that the client puts together from a stream."""
    with client.responses.stream(model="test-model", input="Hello", **more) as stream:
        return stream.get_final_response()


def test_an_answer_is_the_same_whole_and_streamed(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = [
        *[Think("Let me ", signature="bWluZQ=="), Think("see."), Say("Good "), Say("morning")],
        *[Call("add", {"a": 1}, id="call_x"), Call("clock")],
    ]
    for number, answer in enumerate((ask(client, **ENCRYPTED), streamed(client, **ENCRYPTED)), 1):
        reasoning, message, first, second = answer.output
        assert (reasoning.type, [part.text for part in reasoning.summary]) == ("reasoning", ["Let me see."])
        assert reasoning.encrypted_content == "bWluZQ=="
        assert (message.type, message.role, message.content[0].text) == ("message", "assistant", "Good morning")
        assert [item.type for item in (first, second)] == ["function_call"] * 2
        assert (first.call_id, first.name, first.arguments) == ("call_x", "add", '{"a": 1}')
        assert (second.call_id, second.name, second.arguments) == (f"call_{number}_1", "clock", "{}")
        assert (answer.status, answer.output_text, answer.model) == ("completed", "Good morning", "test-model")
    assert [seen.wire for seen in model_server.requests] == ["responses"] * 2


def test_a_stream_comes_in_the_order_of_the_documentation(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Think("Hm"), Say("one two"), Call("add", "{}", chunks=2)])
    events = list(ask(client, stream=True))
    names = [event.type.removeprefix("response.") for event in events]
    part = ["reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done"]
    text = ["content_part.added", "output_text.delta", "output_text.delta", "output_text.done", "content_part.done"]
    call = ["function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done"]
    assert names == [
        *["created", "in_progress", "output_item.added", *part, "reasoning_summary_part.done", "output_item.done"],
        *["output_item.added", *text, "output_item.done", "output_item.added", *call, "output_item.done", "completed"],
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.output_index for event in events if event.type.endswith("item.added")] == [0, 1, 2]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["one", " two"]
    assert events[-1].response.output[1].content[0].text == "one two"


def test_encrypted_reasoning_comes_only_when_it_is_asked_for(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = [Think("", redacted=True), Say("So.")]
    for answer in (ask(client), streamed(client)):
        assert (answer.output[0].summary, answer.output[0].encrypted_content) == ([], None)
    for answer in (ask(client, **ENCRYPTED), streamed(client, **ENCRYPTED)):
        assert base64.b64decode(answer.output[0].encrypted_content)


def test_reasoning_itself_is_no_summary(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = [Think("two words", field="reasoning_text"), Say("So.")]
    for answer in (ask(client), streamed(client)):
        assert answer.output[0].summary == []
        assert [part.text for part in answer.output[0].content] == ["two words"]
    deltas = [event.delta for event in ask(client, stream=True) if event.type == "response.reasoning_text.delta"]
    assert deltas == ["two", " words"]


def test_a_refusal_is_a_part_of_its_own(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = Refuse("I will not.")
    for answer in (ask(client), streamed(client)):
        part = answer.output[0].content[0]
        assert (part.type, part.refusal, answer.status) == ("refusal", "I will not.", "completed")
    deltas = [event.delta for event in ask(client, stream=True) if event.type == "response.refusal.delta"]
    assert deltas == ["I", " will", " not."]


def test_usage(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = [Say("Hi"), Tokens(prompt=100, completion=9, cached=64, cache_written=6, reasoning=5)]
    for answer in (ask(client), streamed(client)):
        usage = answer.usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 9, 109)
        assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (64, 6)
        assert usage.output_tokens_details.reasoning_tokens == 5


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("steered", "steered")],
)
def test_an_incomplete_answer_says_why(
    model_server: ModelServer, client: openai.OpenAI, finish: str, reason: str
) -> None:
    model_server.default = [Say("half"), Finish(finish)]
    last = list(ask(client, stream=True))[-1]
    assert last.type == "response.incomplete"
    for answer in (ask(client), last.response):
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", reason)
        assert answer.output[0].status == "incomplete"


def test_a_failed_answer(model_server: ModelServer, client: openai.OpenAI) -> None:
    failed = ErrorChunk("Slow down", type="response.failed", code="rate_limit_exceeded")
    model_server.script([Say("half"), failed], [Say("half"), Finish("failed")], [Say("half"), Finish("failed")])
    last = list(ask(client, stream=True))[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert (last.response.error.code, last.response.error.message) == ("rate_limit_exceeded", "Slow down")
    for answer in (list(ask(client, stream=True))[-1].response, ask(client)):
        assert (answer.status, answer.error.code) == ("failed", "server_error")


def test_an_error_after_the_status_200(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("good"), ErrorChunk("Overloaded, sorry")])
    last = list(ask(client, stream=True))[-1]
    assert (last.type, last.code, last.message) == ("error", "server_is_overloaded", "Overloaded, sorry")


@pytest.mark.parametrize(
    ("fail", "kind", "code"),
    [
        (Fail(400), openai.BadRequestError, None),
        (Fail(401), openai.AuthenticationError, "invalid_api_key"),
        (Fail(403), openai.PermissionDeniedError, "model_not_allowed"),
        (Fail(404), openai.NotFoundError, "model_not_found"),
        (Fail(429), openai.RateLimitError, "rate_limit_exceeded"),
        (Fail(500), openai.InternalServerError, None),
        (Fail(503), openai.InternalServerError, "server_is_overloaded"),
        (Fail(400, reason="overflow"), openai.BadRequestError, "context_length_exceeded"),
        (Fail(400, reason="filtered"), openai.BadRequestError, "content_filter"),
        (Fail(429, reason="quota"), openai.RateLimitError, "insufficient_quota"),
        (Fail(429, message="Not so fast", code="slow_down"), openai.RateLimitError, "slow_down"),
    ],
)
def test_errors_become_the_classes_of_the_sdk(
    model_server: ModelServer, client: openai.OpenAI, fail: Fail, kind: type[openai.APIStatusError], code: str | None
) -> None:
    model_server.script(fail)
    with pytest.raises(kind) as caught:
        ask(client, stream=True)
    assert (caught.value.request_id, caught.value.code) == ("req_1", code)
    assert fail.message in str(caught.value)


@pytest.mark.parametrize("after", [-1, 0, 1, 6])
def test_a_cut_stream_is_an_error(model_server: ModelServer, client: openai.OpenAI, after: int) -> None:
    model_server.script([Say("one two three four"), Cut(after)])
    kinds: list[str] = []
    events = (kinds.append(event.type) for event in ask(client, stream=True))
    with pytest.raises(openai.APIConnectionError):
        list(events)
    assert "response.output_text.done" not in kinds
    assert len(kinds) == (after if after >= 0 else 8)


def test_a_cut_answer_and_a_dropped_one_are_connection_errors(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("one two three four"), Cut()], Drop())
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            ask(client)


def test_malformed_json_in_an_event(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("good"), Malformed()])
    with pytest.raises(ValueError):
        list(ask(client, stream=True))


def test_comments_chunks_and_pauses_pass(model_server: ModelServer, client: openai.OpenAI) -> None:
    odd = {"type": "response.queued", "response": {"id": "resp_odd"}}
    model_server.script([KeepAlive(), Say("so"), Slow(0.001), Chunk(odd), Say("?")])
    events = list(ask(client, stream=True))
    assert [event.type for event in events].count("response.queued") == 1
    assert events[-1].response.output_text == "so?"


def test_structured_output_is_parsed_by_the_sdk(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script('{"n": 3}')
    wanted = {"format": {"type": "json_schema", "name": "number", "schema": SCHEMA, "strict": True}}
    assert json.loads(ask(client, text=wanted).output_text) == {"n": 3}
    assert WIRES["responses"].read(model_server.requests[0]).json_schema == SCHEMA


def test_a_key_is_needed_only_where_one_is_demanded(model_server: ModelServer, client: openai.OpenAI) -> None:
    keyless = {"extra_headers": {"authorization": openai.omit}}
    assert ask(client, **keyless).output_text == "OK"
    model_server.key = "another"
    for more in ({}, keyless):
        with pytest.raises(openai.AuthenticationError):
            ask(client, **more)
    assert ask(client.with_options(api_key="another")).output_text == "OK"


def format_of(**changes: Any) -> dict[str, Any]:
    made = {"type": "json_schema", "name": "r", "schema": SCHEMA, "strict": True, **changes}
    return {"text": {"format": made}}


@pytest.mark.parametrize(
    ("change", "message", "param"),
    [
        ({"input": None}, "Missing required parameter: 'input'", "input"),
        ({"model": None}, "Missing required parameter: 'model'", "model"),
        ({"input": [OUTPUT]}, "No tool call found for function call output with call_id call_a", "input"),
        ({"input": [OUTPUT, CALL]}, "No tool call found", "input"),
        ({"input": [CALL]}, "No tool output found for function call call_a", "input"),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'", "input[0]"),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'",
            "input[0].content[0]",
        ),
        (
            {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "x"}]},
            "without its required following item",
            "input",
        ),
        ({"tools": [{"type": "function", "function": {"name": "add"}}]}, "tools[0].name", "tools[0].name"),
        (format_of(name="a name: größer"), "does not match pattern", "text.format.name"),
        (format_of(schema={"type": "object"}), "'additionalProperties' is required", "text.format.schema"),
        (format_of(schema={**SCHEMA, "required": []}), "Missing 'n'", "text.format.schema"),
        (
            format_of(schema={**SCHEMA, "properties": {"n": {"type": "array", "items": {"type": "object"}}}}),
            "In context=('properties', 'n', 'items'), 'additionalProperties'",
            "text.format.schema",
        ),
    ],
)
def test_what_is_malformed_is_refused(
    model_server: ModelServer, client: openai.OpenAI, change: dict[str, Any], message: str, param: str
) -> None:
    model_server.script("not played")
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body={"model": "m", "input": "Hello", **change}, cast_to=object)
    assert message in str(caught.value)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert model_server.pending == 1


def test_reasoning_that_is_not_stored_has_to_be_sent_whole(model_server: ModelServer, client: openai.OpenAI) -> None:
    items: list[Any] = [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "assistant", "content": "x"}]
    assert ask(client, items).output_text == "OK"
    with pytest.raises(openai.NotFoundError, match="Items are not persisted when `store` is set to false"):
        ask(client, items, store=False)


def test_the_other_half_of_a_call_may_be_in_an_earlier_response(
    model_server: ModelServer, client: openai.OpenAI
) -> None:
    assert ask(client, [OUTPUT], previous_response_id="resp_1").output_text == "OK"


def test_a_request_is_read(model_server: ModelServer, client: openai.OpenAI) -> None:
    items = [
        {"role": "developer", "content": "Two."},
        {"role": "user", "content": [{"type": "input_text", "text": "See"}, IMAGE]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
        *[CALL, {**OUTPUT, "output": [{"type": "input_text", "text": "seen"}, IMAGE]}],
        {"role": "user", "content": "Thanks"},
    ]
    ask(client, items, instructions="One.", tools=TOOLS)
    seen = WIRES["responses"].read(model_server.requests[0])
    assert seen.system == ["One.", "Two."]
    assert seen.turns == [("user", "See"), ("assistant", "Looking."), ("tool", "seen"), ("user", "Thanks")]
    assert seen.calls == [SeenCall("call_a", "add", '{"a": 1}')]
    assert seen.results == [("call_a", "seen")]
    assert seen.images == [PICTURE, PICTURE]
    assert (seen.tools, seen.json_schema) == (["add", "clock"], None)


def test_an_answer_can_be_sent_back_as_it_came(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Think("Hm."), Say("Both."), Call("add", {"a": 1}), Call("clock")])
    first = streamed(client, tools=TOOLS, **ENCRYPTED)
    calls = [item for item in first.output if item.type == "function_call"]
    results = [{**OUTPUT, "call_id": call.call_id} for call in calls]
    history = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    ask(client, [{"role": "user", "content": "Hello"}, *history, *results], tools=TOOLS, **ENCRYPTED)
    assert model_server.requests[1].json["input"][1]["encrypted_content"] == first.output[0].encrypted_content
    seen = WIRES["responses"].read(model_server.requests[1])
    assert seen.turns[1] == ("assistant", "Both.")
    assert [call.id for call in seen.calls] == [call_id for call_id, _ in seen.results] == ["call_1_0", "call_1_1"]
