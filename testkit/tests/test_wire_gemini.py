"""The fake model server as Google's Gemini, proved true to the wire by Google's own client."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

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

PICTURE = b"\x89PNG\r\n\x1a\n and \xff\xfb\xff"
IMAGE = types.Part.from_bytes(data=PICTURE, mime_type="image/png")
TOOLS = types.Tool(function_declarations=[types.FunctionDeclaration(name=name) for name in ("add", "clock")])
MARK = base64.b64encode(b"a mark").decode()


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=model_server.root, api_version="v1beta")
    with genai.Client(api_key="key-of-tests", vertexai=False, http_options=options) as client:
        yield client


@pytest.fixture
def vertex(model_server: ModelServer) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=model_server.root)
    place = {"project": "tests", "location": "europe-west4"}
    with genai.Client(vertexai=True, credentials=Credentials("token"), http_options=options, **place) as client:
        yield client


def ask(client: genai.Client, contents: Any = "Hello", model: str = "test-model", **config: Any) -> Any:
    return client.models.generate_content(model=model, contents=contents, config=config or None)


def stream(client: genai.Client, contents: Any = "Hello", model: str = "test-model", **config: Any) -> list[Any]:
    return list(client.models.generate_content_stream(model=model, contents=contents, config=config or None))


def parts_of(answers: list[Any]) -> list[types.Part]:
    return [part for answer in answers for part in answer.candidates[0].content.parts or ()]


def content(role: str, *parts: types.Part) -> types.Content:
    return types.Content(role=role, parts=list(parts))


def call(name: str = "add", signature: bytes | None = None, **arguments: Any) -> types.Part:
    return types.Part(function_call=types.FunctionCall(name=name, args=arguments), thought_signature=signature)


def result(name: str = "add", **response: Any) -> types.Part:
    return types.Part(function_response=types.FunctionResponse(name=name, response=response or {"output": "done"}))


HELLO = content("user", types.Part(text="Hello"))


def test_an_answer_is_the_same_whole_and_streamed(model_server: ModelServer, client: genai.Client) -> None:
    model_server.default = [
        *[Think("Let me see.", signature=MARK), Say("Good "), Say("morning")],
        *[Call("add", {"a": 1}, id="fc_x"), Call("clock", "")],
    ]
    for number, answers in enumerate(([ask(client)], stream(client)), 1):
        parts = parts_of(answers)
        assert "".join(part.text for part in parts if part.thought) == "Let me see."
        assert "".join(part.text for part in parts if part.text and not part.thought) == "Good morning"
        first, second = [part for part in parts if part.function_call]
        assert (first.function_call.id, first.function_call.name, first.function_call.args) == ("fc_x", "add", {"a": 1})
        assert (second.function_call.id, second.function_call.args) == (f"fc_{number}_1", {})
        assert (first.thought_signature, second.thought_signature) == (b"a mark", None)
        assert answers[-1].candidates[0].finish_reason == types.FinishReason.STOP
        assert {answer.model_version for answer in answers} == {"test-model"}
    first, second = model_server.requests
    assert (first.route, second.route) == tuple(
        f"/v1beta/models/test-model:{method}" for method in ("generateContent", "streamGenerateContent")
    )
    assert (first.wire, first.headers["x-goog-api-key"]) == ("gemini", "key-of-tests")


def test_a_streamed_answer_comes_in_pieces(model_server: ModelServer, client: genai.Client) -> None:
    model_server.script([Think("a b"), Say("one two")])
    parts = parts_of(stream(client))
    assert [(part.text, part.thought) for part in parts[:-1]] == [
        *[("a", True), (" b", True), ("one", None), (" two", None)],
    ]
    assert parts[-1].text == ""
    assert parts[-1].thought_signature


def test_signatures_come_with_models_that_demand_them(model_server: ModelServer, client: genai.Client) -> None:
    model_server.default = [Call("add"), Call("clock")]
    for answers in ([ask(client, model="gemini-3.1-pro-preview")], stream(client, model="gemini-3.1-pro-preview")):
        signatures = [part.thought_signature for part in parts_of(answers) if part.function_call]
        assert signatures[0]
        assert signatures[1] is None
    assert parts_of([ask(client)])[0].thought_signature is None


def test_redacted_thinking_is_only_a_mark(model_server: ModelServer, client: genai.Client) -> None:
    model_server.default = [Think("", redacted=True, signature=MARK), Call("add")]
    for answers in ([ask(client)], stream(client)):
        (part,) = [part for part in parts_of(answers) if part.text != ""]
        assert part.thought_signature == b"a mark"


def test_usage(model_server: ModelServer, client: genai.Client) -> None:
    model_server.default = [Say("Hi"), Tokens(prompt=100, completion=9, cached=64, reasoning=5)]
    for answers in ([ask(client)], stream(client)):
        usage = answers[-1].usage_metadata
        assert (usage.prompt_token_count, usage.cached_content_token_count) == (100, 64)
        assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (4, 5, 109)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Say("x"), "STOP"),
        (Call("add"), "STOP"),
        ([Say("x"), Finish("length")], "MAX_TOKENS"),
        ([Say("x"), Finish("content_filter")], "SAFETY"),
        ([Say("x"), Finish("SPII")], "SPII"),
        ([Say("x"), Refuse("No.")], "SAFETY"),
        ([Say("x"), Call("add", '{"a": ')], "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_finish_reasons(model_server: ModelServer, client: genai.Client, reply: Any, reason: str) -> None:
    model_server.default = reply
    for answers in ([ask(client)], stream(client)):
        assert answers[-1].candidates[0].finish_reason == reason
        assert [answer.candidates[0].finish_reason for answer in answers[:-1]] == [None] * (len(answers) - 1)


def test_a_refused_prompt_has_no_candidates(
    model_server: ModelServer, client: genai.Client, vertex: genai.Client
) -> None:
    model_server.default = Refuse("I will not.")
    for answers in ([ask(client)], stream(client), [ask(vertex)]):
        assert [answer.candidates for answer in answers] == [None]
        assert answers[0].prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert ask(vertex).prompt_feedback.block_reason_message == "I will not."


@pytest.mark.parametrize(
    ("fail", "kind", "status"),
    [
        (Fail(400), errors.ClientError, "INVALID_ARGUMENT"),
        (Fail(401), errors.ClientError, "UNAUTHENTICATED"),
        (Fail(403), errors.ClientError, "PERMISSION_DENIED"),
        (Fail(404), errors.ClientError, "NOT_FOUND"),
        (Fail(429), errors.ClientError, "RESOURCE_EXHAUSTED"),
        (Fail(500), errors.ServerError, "INTERNAL"),
        (Fail(503), errors.ServerError, "UNAVAILABLE"),
        (Fail(504), errors.ServerError, "DEADLINE_EXCEEDED"),
        (Fail(400, code="FAILED_PRECONDITION", message="User location"), errors.ClientError, "FAILED_PRECONDITION"),
    ],
)
def test_errors_become_the_classes_of_the_sdk(
    model_server: ModelServer, client: genai.Client, fail: Fail, kind: type[errors.APIError], status: str
) -> None:
    model_server.script(fail, fail)
    for asked in (ask, stream):
        with pytest.raises(kind) as caught:
            asked(client)
        assert (caught.value.code, caught.value.status) == (fail.status, status)
        assert fail.message in (caught.value.message or "")


def test_how_long_to_wait_is_in_the_body(model_server: ModelServer, client: genai.Client) -> None:
    model_server.script(Fail(429, headers={"Retry-After": "7"}), Fail(429, reason="quota"))
    details = []
    for _ in range(2):
        with pytest.raises(errors.ClientError) as caught:
            ask(client)
        (detail,) = caught.value.details["error"]["details"]
        details.append(detail)
    assert details[0] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    assert "PerDay" in details[1]["violations"][0]["quotaId"]


def test_an_error_after_the_status_200(model_server: ModelServer, client: genai.Client) -> None:
    model_server.script([Say("good"), ErrorChunk("Overloaded, sorry")], ErrorChunk(type="RESOURCE_EXHAUSTED"))
    for code, status in ((503, "UNAVAILABLE"), (429, "RESOURCE_EXHAUSTED")):
        with pytest.raises(errors.APIError) as caught:
            stream(client)
        assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize("after", [-1, 0, 3])
def test_a_cut_stream_is_an_error(model_server: ModelServer, client: genai.Client, after: int) -> None:
    model_server.script([Say("one two three four"), Cut(after)])
    answers: list[Any] = []
    pieces = client.models.generate_content_stream(model="test-model", contents="Hello")
    with pytest.raises(httpx2.RemoteProtocolError):
        answers.extend(pieces)
    assert [part.text for part in parts_of(answers)] == ["one", " two", " three", " four"][: after % 5]
    assert all(answer.candidates[0].finish_reason is None for answer in answers)


def test_a_cut_answer_and_a_dropped_one_are_errors(model_server: ModelServer, client: genai.Client) -> None:
    model_server.script([Say("one two three four"), Cut()], Drop())
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(client)


def test_malformed_json_in_a_piece(model_server: ModelServer, client: genai.Client) -> None:
    model_server.script([Say("good"), Malformed()])
    with pytest.raises((ValueError, errors.APIError)):
        stream(client)


def test_chunks_and_pauses_pass(model_server: ModelServer, client: genai.Client) -> None:
    odd = {"candidates": [{"content": {"role": "model", "parts": [{"text": "!"}]}}]}
    model_server.script([KeepAlive(), Say("so"), KeepAlive(), Slow(0.001), Chunk(odd), Say("?")])
    assert "".join(part.text or "" for part in parts_of(stream(client))) == "so!?"


def test_a_stream_that_is_not_asked_for_as_sse_is_an_array(model_server: ModelServer) -> None:
    model_server.script("one two")
    pieces = json.loads(
        raw(model_server, "/v1beta/models/m:streamGenerateContent?key=any", [{"parts": [{"text": "Hello"}]}])
    )
    assert [piece["candidates"][0]["content"]["parts"][0]["text"] for piece in pieces] == ["one", " two", ""]


def raw(server: ModelServer, path: str, contents: list[Any]) -> bytes:
    """What the server answers to a request that Google's client would not send, byte for byte."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", int(server.root.rpartition(":")[2]), timeout=10)
    ) as connection:
        connection.request("POST", path, json.dumps({"contents": contents}), {"x-goog-api-key": "any"})
        return connection.getresponse().read()


def test_lines_end_as_googles_do(model_server: ModelServer) -> None:
    model_server.script("one two")
    said = raw(model_server, "/v1beta/models/m:streamGenerateContent?alt=sse", [{"parts": [{"text": "Hello"}]}])
    assert [line[:6] for line in said.split(b"\r\n\r\n")] == [b"data: "] * 3 + [b""]
    assert said.count(b"\n") == said.count(b"\r\n") == 6


def test_both_spellings_of_members_and_both_alphabets_are_read(model_server: ModelServer) -> None:
    plain = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PICTURE).decode()}}
    other = {"inline_data": {"mime_type": "image/png", "data": base64.urlsafe_b64encode(PICTURE).decode()}}
    assert plain["inlineData"]["data"] != other["inline_data"]["data"]
    raw(model_server, "/v1beta/models/m:generateContent", [{"role": "user", "parts": [plain, other]}])
    assert WIRES["gemini"].read(model_server.requests[0]).images == [PICTURE, PICTURE]


def test_keys_are_checked(model_server: ModelServer, client: genai.Client, vertex: genai.Client) -> None:
    model_server.key = "another"
    with pytest.raises(errors.ClientError) as wrong:
        ask(client)
    assert (wrong.value.code, wrong.value.details["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    with pytest.raises(errors.ClientError) as token:
        ask(vertex)
    assert (token.value.code, token.value.status) == (401, "UNAUTHENTICATED")
    options = types.HttpOptions(base_url=model_server.root)
    with genai.Client(api_key="another", vertexai=False, http_options=options) as right:
        assert ask(right).text == "OK"


def test_a_missing_key_is_refused(model_server: ModelServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(model_server.root.rpartition(":")[2]), timeout=10)
    connection.request("POST", "/v1beta/models/m:generateContent", "{}")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["status"]) == (403, "PERMISSION_DENIED")
    connection.request("POST", "/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "{}")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["status"]) == (401, "UNAUTHENTICATED")
    connection.close()


def test_vertex_gives_calls_no_ids(model_server: ModelServer, vertex: genai.Client) -> None:
    model_server.default = [Say("Both."), Call("add", {"a": 1})]
    for answers in ([ask(vertex)], stream(vertex)):
        (part,) = [part for part in parts_of(answers) if part.function_call]
        assert (part.function_call.id, part.function_call.args) == (None, {"a": 1})
    place = "/v1beta1/projects/tests/locations/europe-west4/publishers/google/models"
    assert model_server.requests[0].route == f"{place}/test-model:generateContent"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([content("system", types.Part(text="x"))], "Please use a valid role: user, model."),
        ([content("user")], "must not be empty"),
        ([content("user", types.Part())], "must have one initialized field"),
        ([content("model", call())], "function call turn comes immediately after a user turn"),
        ([HELLO, content("user", result())], "function response turn comes immediately after a function call turn"),
        ([HELLO, content("model", call()), HELLO], "number of function response parts is equal"),
        ([HELLO, content("model", call(), call("clock")), content("user", result())], "is equal to the number"),
    ],
)
def test_what_is_malformed_is_refused(
    model_server: ModelServer, client: genai.Client, contents: Any, message: str
) -> None:
    model_server.script("not played")
    with pytest.raises(errors.ClientError, match=message) as caught:
        ask(client, contents)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert model_server.pending == 1


def test_members_that_no_proto_has_are_refused(model_server: ModelServer, client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match='Unknown name "messages": Cannot find field'):
        ask(client, http_options={"extra_body": {"messages": []}})
    with pytest.raises(errors.ClientError, match="contents is not specified"):
        ask(client, http_options={"extra_body": {"contents": []}})


def test_newer_models_want_their_signatures_back(model_server: ModelServer, client: genai.Client) -> None:
    def history(signature: bytes | None) -> list[types.Content]:
        return [HELLO, content("model", call(signature=signature), call("clock")), content("user", result(), result())]

    model = "gemini-3.6-flash"
    assert ask(client, history(b"a mark"), model).text == "OK"
    assert ask(client, history(None)).text == "OK"
    earlier = [*history(None), content("model", types.Part(text="Done.")), HELLO]
    assert ask(client, earlier, model).text == "OK"
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        ask(client, history(None), model)


def test_a_request_is_read(model_server: ModelServer, client: genai.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    contents = [
        content("user", types.Part(text="See"), IMAGE),
        content("user", types.Part(text="Go")),
        content("model", types.Part(text="aside", thought=True), types.Part(text="Looking."), call(a=1)),
        content("user", result(output="seen")),
        content("model", types.Part(text="Done.")),
        content("user", types.Part(text="Thanks")),
    ]
    system = content("user", types.Part(text="One."), types.Part(text="Two."))
    wanted = {"response_mime_type": "application/json", "response_json_schema": schema}
    ask(client, contents, system_instruction=system, tools=[TOOLS], **wanted)
    seen = WIRES["gemini"].read(model_server.requests[0])
    assert seen.system == ["One.", "Two."]
    assert seen.turns == [
        *[("user", "See"), ("user", "Go"), ("assistant", "Looking."), ("tool", "seen")],
        *[("assistant", "Done."), ("user", "Thanks")],
    ]
    assert seen.calls == [SeenCall("", "add", '{"a": 1}')]
    assert seen.results == [("add", "seen")]
    assert seen.images == [PICTURE]
    assert (seen.tools, seen.json_schema) == (["add", "clock"], schema)


def test_an_answer_can_be_sent_back_as_it_came(model_server: ModelServer, client: genai.Client) -> None:
    model = "gemini-3.6-flash"
    model_server.script([Think("Hm."), Say("Both."), Call("add", {"a": 1}), Call("clock")])
    first = ask(client, "Hello", model, tools=[TOOLS]).candidates[0].content
    picture = types.FunctionResponsePart(inline_data=types.FunctionResponseBlob(data=PICTURE, mime_type="image/png"))
    results = [
        types.Part(function_response=types.FunctionResponse(id=f"fc_1_{number}", name=name, response=said, parts=parts))
        for number, (name, said, parts) in enumerate(
            [("add", {"error": "No."}, None), ("clock", {"hour": 12}, [picture])]
        )
    ]
    ask(client, [HELLO, first, content("user", *results)], model, tools=[TOOLS])
    seen = WIRES["gemini"].read(model_server.requests[1])
    assert [call.id for call in seen.calls] == ["fc_1_0", "fc_1_1"]
    assert seen.results == [("fc_1_0", "No."), ("fc_1_1", '{"hour": 12}')]
    assert seen.images == [PICTURE]


def test_models_are_listed_page_by_page(model_server: ModelServer, client: genai.Client, vertex: genai.Client) -> None:
    model_server.models = ["a", {"id": "b", "inputTokenLimit": 1000}, "c", "d", "e"]
    listed = list(client.models.list(config={"page_size": 2}))
    assert [model.name for model in listed] == [f"models/{name}" for name in "abcde"]
    assert listed[1].input_token_limit == 1000
    assert listed[0].supported_actions == ["generateContent", "countTokens"]
    assert [seen.query.get("pageToken") for seen in model_server.other_requests] == [None, "2", "4"]
    assert [model.name for model in vertex.models.list()] == [f"publishers/google/models/{name}" for name in "abcde"]


def test_one_path_lists_models_for_whoever_asks(model_server: ModelServer) -> None:
    options = types.HttpOptions(base_url=model_server.root, api_version="v1")
    with genai.Client(api_key="any", vertexai=False, http_options=options) as client:
        assert [model.name for model in client.models.list()] == ["models/test-model"]
        assert ask(client).text == "OK"
    assert model_server.other_requests[0].route == "/v1/models"
