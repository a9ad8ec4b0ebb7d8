"""The fake model server as Amazon Bedrock's Converse, proved true to the wire by Amazon's own client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError
from urllib3.exceptions import ProtocolError

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
from hermes_testkit.wire.eventstream import frame
from hermes_testkit.wires import WIRES, SeenCall

MODEL = "us.anthropic.claude-test-v1:0"
HELLO: list[Any] = [{"role": "user", "content": [{"text": "Hello"}]}]
TOOLS: dict[str, Any] = {
    "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in ("add", "clock")]
}
USE: dict[str, Any] = {"toolUse": {"toolUseId": "t.a:1", "name": "add", "input": {"a": 1}}}
CALLED: list[Any] = [*HELLO, {"role": "assistant", "content": [USE]}]
PICTURE = b"\x89PNG\r\n\x1a\n and more"
IMAGE: dict[str, Any] = {"image": {"format": "png", "source": {"bytes": PICTURE}}}


def result(call_id: str = "t.a:1", *content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call_id, "content": list(content) or [{"text": "done"}], **more}}


def client_of(server: ModelServer, service: str = "bedrock-runtime", key: str = "AKIATESTS") -> Any:
    """A client that signs its requests, with all it needs given to it."""
    return boto3.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url=server.root,
        aws_access_key_id=key,
        aws_secret_access_key="secret-of-tests",
        config=Config(retries={"total_max_attempts": 1}, signature_version="v4"),
    )


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[Any]:
    with closing(client_of(model_server)) as client:
        yield client


def ask(client: Any, messages: list[Any] = HELLO, **more: Any) -> Any:
    return client.converse(modelId=MODEL, messages=messages, **more)


def stream(client: Any, messages: list[Any] = HELLO, **more: Any) -> list[Any]:
    with closing(client.converse_stream(modelId=MODEL, messages=messages, **more)["stream"]) as events:
        return list(events)


def assembled(events: list[Any]) -> dict[str, Any]:
    """A stream's events as the whole answer that they stand for."""
    blocks: dict[int, dict[str, Any]] = {}
    answer: dict[str, Any] = {}
    for event in events:
        ((name, body),) = event.items()
        if name == "contentBlockStart":
            blocks[body["contentBlockIndex"]] = {"toolUse": {**body["start"]["toolUse"], "input": ""}}
        elif name == "contentBlockDelta":
            add(blocks.setdefault(body["contentBlockIndex"], {}), body["delta"])
        elif name in ("messageStop", "metadata"):
            answer.update(body)
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return {**answer, "content": [blocks[index] for index in sorted(blocks)]}


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "redactedContent" in delta["reasoningContent"]:
        block["reasoningContent"] = delta["reasoningContent"]
    else:
        reasoning = block.setdefault("reasoningContent", {"reasoningText": {}})["reasoningText"]
        for name, value in delta["reasoningContent"].items():
            reasoning[name] = reasoning.get(name, "") + value


def both(client: Any, **more: Any) -> list[dict[str, Any]]:
    """One answer whole, and one put together from a stream."""
    whole = ask(client, **more)
    return [{**whole, **whole["output"]["message"]}, assembled(stream(client, **more))]


def test_an_answer_is_the_same_whole_and_streamed(model_server: ModelServer, client: Any) -> None:
    model_server.default = [
        *[Think("Let me see.", signature="bWluZQ=="), Say("Good "), Say("morning")],
        *[Call("add", {"a": 1}, id="t1"), Call("clock", "")],
    ]
    for number, answer in enumerate(both(client), 1):
        assert answer["content"] == [
            {"reasoningContent": {"reasoningText": {"text": "Let me see.", "signature": "bWluZQ=="}}},
            {"text": "Good morning"},
            {"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1}}},
            {"toolUse": {"toolUseId": f"tooluse_{number}_1", "name": "clock", "input": {}}},
        ]
        assert (answer["stopReason"], answer["metrics"]["latencyMs"]) == ("tool_use", 12)
    first, second = model_server.requests
    assert (first.wire, first.route) == ("bedrock_converse", f"/model/{MODEL}/converse")
    assert second.path == "/model/us.anthropic.claude-test-v1%3A0/converse-stream"


def test_a_stream_comes_in_the_order_of_the_documentation(model_server: ModelServer, client: Any) -> None:
    model_server.script([Think("Hm"), Say("one two"), Call("add", {"a": 1}, chunks=2)])
    events = stream(client)
    assert [next(iter(event)) for event in events] == [
        *["messageStart", *["contentBlockDelta"] * 2, "contentBlockStop"],
        *["contentBlockDelta", "contentBlockDelta", "contentBlockStop"],
        *["contentBlockStart", *["contentBlockDelta"] * 2, "contentBlockStop", "messageStop", "metadata"],
    ]
    stops = [event["contentBlockStop"]["contentBlockIndex"] for event in events if "contentBlockStop" in event]
    assert stops == [0, 1, 2]


def test_redacted_thinking_is_only_a_mark(model_server: ModelServer, client: Any) -> None:
    model_server.default = [Think("", redacted=True, signature="c2VjcmV0"), Say("So.")]
    for answer in both(client):
        assert answer["content"] == [{"reasoningContent": {"redactedContent": b"secret"}}, {"text": "So."}]


def test_usage_counts_cached_tokens_apart(model_server: ModelServer, client: Any) -> None:
    model_server.default = [Say("Hi"), Tokens(prompt=100, completion=9, cached=64, cache_written=6)]
    for answer in both(client):
        assert answer["usage"] == {
            "inputTokens": 30,
            "outputTokens": 9,
            "totalTokens": 109,
            "cacheReadInputTokens": 64,
            "cacheWriteInputTokens": 6,
        }


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Say("x"), "end_turn"),
        (Call("add"), "tool_use"),
        ([Say("x"), Finish("length")], "max_tokens"),
        ([Say("x"), Finish("content_filter")], "content_filtered"),
        ([Say("x"), Finish("malformed_tool_use")], "malformed_tool_use"),
        (Refuse("I will not."), "guardrail_intervened"),
    ],
)
def test_stop_reasons(model_server: ModelServer, client: Any, reply: Any, reason: str) -> None:
    model_server.default = reply
    for answer in both(client):
        assert answer["stopReason"] == reason
        assert ({"text": "I will not."} in answer["content"]) == (reason == "guardrail_intervened")


@pytest.mark.parametrize(
    ("fail", "name"),
    [
        (Fail(400), "ValidationException"),
        (Fail(403), "AccessDeniedException"),
        (Fail(404), "ResourceNotFoundException"),
        (Fail(408), "ModelTimeoutException"),
        (Fail(424), "ModelErrorException"),
        (Fail(429), "ThrottlingException"),
        (Fail(429, code="ModelNotReadyException"), "ModelNotReadyException"),
        (Fail(500), "InternalServerException"),
        (Fail(503), "ServiceUnavailableException"),
        (Fail(400, reason="overflow"), "ValidationException"),
    ],
)
def test_errors_become_the_classes_of_the_sdk(model_server: ModelServer, client: Any, fail: Fail, name: str) -> None:
    model_server.script(fail, fail)
    for asked in (ask, stream):
        with pytest.raises(getattr(client.exceptions, name)) as caught:
            asked(client)
        response = caught.value.response
        assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (name, fail.status)
        assert response["ResponseMetadata"]["RequestId"].startswith("00000000-0000-4000-8000-")
        assert ("too long" in response["Error"]["Message"]) == (fail.reason == "overflow")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ErrorChunk("Sorry"), "serviceUnavailableException"),
        (ErrorChunk("Sorry", type="throttlingException"), "throttlingException"),
        (ErrorChunk("Sorry", type="modelStreamErrorException"), "modelStreamErrorException"),
    ],
)
def test_an_error_after_the_status_200(model_server: ModelServer, client: Any, error: ErrorChunk, name: str) -> None:
    model_server.script([Say("good"), error])
    with pytest.raises(EventStreamError) as caught:
        stream(client)
    assert caught.value.response["Error"] == {"Code": name, "Message": "Sorry"}


@pytest.mark.parametrize("after", [-1, 0, 3])
def test_a_cut_stream_is_an_error(model_server: ModelServer, client: Any, after: int) -> None:
    model_server.script([Say("one two three four"), Cut(after)])
    events: list[Any] = []
    with closing(client.converse_stream(modelId=MODEL, messages=HELLO)["stream"]) as source:
        with pytest.raises(ProtocolError):
            events.extend(source)
    assert "messageStop" not in [next(iter(event)) for event in events]


def test_a_dropped_connection_is_an_error(model_server: ModelServer, client: Any) -> None:
    model_server.script(Drop())
    with pytest.raises(ConnectionClosedError):
        ask(client)


def test_the_sdk_takes_half_of_an_answer_for_an_empty_one(model_server: ModelServer, client: Any) -> None:
    model_server.script([Say("one two three four"), Cut()])
    assert set(ask(client)) == {"ResponseMetadata"}


def test_a_malformed_frame_has_a_wrong_checksum(model_server: ModelServer, client: Any) -> None:
    model_server.script([Say("good"), Malformed()])
    with pytest.raises(ChecksumMismatch):
        stream(client)


def test_unknown_events_chunks_and_pauses_pass(model_server: ModelServer, client: Any) -> None:
    odd = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "!"}}}
    model_server.script([KeepAlive(), Say("so"), Slow(0.001), KeepAlive(), Chunk(odd), Say("?")])
    assert assembled(stream(client))["content"] == [{"text": "so!?"}]


def test_credentials_are_checked(model_server: ModelServer, client: Any) -> None:
    model_server.key = "AKIAOTHER"
    with pytest.raises(ClientError) as caught:
        ask(client)
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
    with closing(client_of(model_server, key="AKIAOTHER")) as right:
        assert ask(right)["output"]["message"]["content"] == [{"text": "OK"}]


def raw(server: ModelServer, method: str, **headers: str) -> tuple[int, str, bytes]:
    """Status, kind of error, and body; Amazon's client sends a bearer token over TLS only."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", int(server.root.rpartition(":")[2]), timeout=10)
    ) as connection:
        connection.request("POST", f"/model/{MODEL}/{method}", json.dumps({"messages": HELLO}), headers)
        response = connection.getresponse()
        return response.status, response.getheader("x-amzn-ErrorType") or "", response.read()


def test_bearer_tokens_are_checked(model_server: ModelServer) -> None:
    model_server.key = "token-of-tests"
    origin = "http://internal.amazon.com/coral/com.amazon.bedrock/"
    missing = raw(model_server, "converse")
    assert missing[:2] == (403, f"MissingAuthenticationTokenException:{origin}")
    wrong = raw(model_server, "converse", Authorization="Bearer another")
    assert wrong[:2] == (403, f"AccessDeniedException:{origin}")
    assert raw(model_server, "converse", Authorization="Bearer token-of-tests")[:2] == (200, "")


def test_events_are_padded(model_server: ModelServer) -> None:
    model_server.script([Say("one two"), Call("add")])
    buffer = EventStreamBuffer()
    buffer.add_data(raw(model_server, "converse-stream", Authorization="Bearer any")[2])
    events = [json.loads(event.payload) for event in buffer]
    assert len(events) == 10
    assert all(event["p"] for event in events)


BAD_ID = {"toolUse": {**USE["toolUse"], "toolUseId": "a b"}}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "assistant", "content": [{"text": "Hi"}]}], "must start with a user message"),
        ([*HELLO, *HELLO], "must alternate between user and assistant roles"),
        ([{"role": "system", "content": [{"text": "x"}]}], "Member must satisfy enum value set"),
        ([{"role": "user", "content": []}], "content field .* at messages.0 is empty"),
        ([{"role": "user", "content": [{"text": " \n"}]}], "at messages.0.content.0 is blank"),
        ([*CALLED, *HELLO], "Expected toolResult blocks at messages.2.content for the following Ids: t.a:1"),
        ([{"role": "user", "content": [result()]}], "exceeds the number of toolUse blocks"),
        ([*CALLED, {"role": "user", "content": [result(), result("b")]}], "exceeds the number of toolUse blocks"),
        ([*CALLED, {"role": "user", "content": [result(status="error")]}], ""),
        ([*HELLO, {"role": "assistant", "content": [BAD_ID]}], "regular expression pattern"),
    ],
)
def test_what_is_malformed_is_refused(
    model_server: ModelServer, client: Any, messages: list[Any], message: str
) -> None:
    model_server.script("not played")
    if not message:
        messages[-1]["content"][0]["toolResult"]["content"] = []
    with pytest.raises(client.exceptions.ValidationException, match=message or "its status is error"):
        ask(client, messages, toolConfig=TOOLS)
    assert model_server.pending == 1


def test_a_history_with_calls_needs_its_tools(model_server: ModelServer, client: Any) -> None:
    messages = [*CALLED, {"role": "user", "content": [result()]}]
    with pytest.raises(client.exceptions.ValidationException, match="toolConfig field must be defined"):
        ask(client, messages)
    assert ask(client, messages, toolConfig=TOOLS)["stopReason"] == "end_turn"


def test_a_request_is_read(model_server: ModelServer, client: Any) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    messages = [
        {"role": "user", "content": [{"text": "See"}, IMAGE, {"text": "Go"}]},
        {"role": "assistant", "content": [{"text": "Looking."}, USE]},
        {"role": "user", "content": [result("t.a:1", {"text": "seen"}, IMAGE, {"json": {"n": 1}}, status="error")]},
        {"role": "assistant", "content": [{"text": "Done."}]},
        {"role": "user", "content": [{"text": "Thanks"}]},
    ]
    wanted = {"type": "json_schema", "structure": {"jsonSchema": {"name": "r", "schema": json.dumps(schema)}}}
    system = [{"text": "One."}, {"cachePoint": {"type": "default"}}, {"text": "Two."}]
    ask(client, messages, system=system, toolConfig=TOOLS, outputConfig={"textFormat": wanted})
    seen = WIRES["bedrock_converse"].read(model_server.requests[0])
    assert seen.system == ["One.", "Two."]
    assert seen.turns == [
        *[("user", "See"), ("user", "Go"), ("assistant", "Looking."), ("tool", 'seen\n{"n": 1}')],
        *[("assistant", "Done."), ("user", "Thanks")],
    ]
    assert seen.calls == [SeenCall("t.a:1", "add", '{"a": 1}')]
    assert seen.results == [("t.a:1", 'seen\n{"n": 1}')]
    assert seen.images == [PICTURE, PICTURE]
    assert (seen.tools, seen.json_schema) == (["add", "clock"], schema)


def test_an_answer_can_be_sent_back_as_it_came(model_server: ModelServer, client: Any) -> None:
    model_server.script([Think("Hm."), Think("", redacted=True), Say("Both."), Call("add", {"a": 1}), Call("clock")])
    first = ask(client, toolConfig=TOOLS)["output"]["message"]
    results = [result(block["toolUse"]["toolUseId"]) for block in first["content"] if "toolUse" in block]
    ask(client, [*HELLO, first, {"role": "user", "content": results}], toolConfig=TOOLS)
    seen = WIRES["bedrock_converse"].read(model_server.requests[1])
    assert seen.turns == [("user", "Hello"), ("assistant", "Both."), ("tool", "done"), ("tool", "done")]
    assert [call.id for call in seen.calls] == ["tooluse_1_0", "tooluse_1_1"] == [name for name, _ in seen.results]


def test_models_are_listed(model_server: ModelServer) -> None:
    model_server.models = ["a", {"id": "b", "inferenceTypesSupported": ["INFERENCE_PROFILE"]}]
    with closing(client_of(model_server, "bedrock")) as client:
        listed = client.list_foundation_models()["modelSummaries"]
    assert [model["modelId"] for model in listed] == ["a", "b"]
    assert [model["inferenceTypesSupported"] for model in listed] == [["ON_DEMAND"], ["INFERENCE_PROFILE"]]


def test_profiles_are_listed_apart(model_server: ModelServer) -> None:
    model_server.models = ["a", {"inferenceProfileId": "us.a", "status": "ACTIVE"}]
    with closing(client_of(model_server, "bedrock")) as client:
        (profile,) = client.list_inference_profiles()["inferenceProfileSummaries"]
        (model,) = client.list_foundation_models()["modelSummaries"]
    assert (profile["inferenceProfileId"], model["modelId"]) == ("us.a", "a")


def test_frames_are_read_back_and_their_checksums_hold() -> None:
    headers = {":message-type": "event", ":event-type": "größer", "long": "x" * 300}
    data = frame(headers, b'{"text": "x"}')
    buffer = EventStreamBuffer()
    buffer.add_data(data + frame({}, b""))
    first, second = buffer
    assert (first.headers, first.payload) == (headers, b'{"text": "x"}')
    assert (second.headers, second.payload) == ({}, b"")
    for place in (4, 20, len(data) - 6):
        broken = EventStreamBuffer()
        broken.add_data(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ChecksumMismatch):
            next(broken)
