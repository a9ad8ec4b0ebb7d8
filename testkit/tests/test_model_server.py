"""The fake model server, proved true to the wire by OpenAI's own client."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
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
    SeenRequest,
    Slow,
    Think,
    Tokens,
)

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=model_server.url, api_key="key-of-tests", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="test-model", messages=HELLO, **more)


def test_a_whole_answer(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script("Good morning")
    answer = ask(client)
    assert answer.choices[0].message.content == "Good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "test-model"
    seen = model_server.requests[0]
    assert seen.json["messages"] == HELLO
    assert seen.headers["authorization"] == "Bearer key-of-tests"
    assert answer.usage.prompt_tokens == -(-len(seen.body) // 4)


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [(0, ["One", " two", "  \nthree", " "]), (1, ["One two  \nthree "]), (2, ["One two ", " \nthree "])],
)
def test_a_streamed_answer_comes_in_the_pieces_asked_for(
    model_server: ModelServer, client: openai.OpenAI, chunks: int, pieces: list[str]
) -> None:
    text = "One two  \nthree "
    model_server.script(Say(text, chunks=chunks))
    got = [chunk.choices[0].delta.content for chunk in ask(client, stream=True) if chunk.choices[0].delta.content]
    assert got == pieces


def test_parallel_tool_calls_are_assembled_by_the_sdk(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("Both."), Call("add", {"a": 1, "b": 2}), Call("clock", {}, id="call_mine")])
    with client.chat.completions.stream(model="test-model", messages=HELLO) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("call_1_0", "add", {"a": 1, "b": 2}),
        ("call_mine", "clock", {}),
    ]
    assert final.choices[0].finish_reason == "tool_calls"


def test_whole_answers_carry_tool_calls_and_refusals(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script(Call("add", '{"a": 1}'), Refuse("I will not."))
    call = ask(client).choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1}')
    assert ask(client).choices[0].message.refusal == "I will not."


def test_usage_comes_last_and_only_when_it_is_asked_for(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.default = [Say("Hi"), Tokens(prompt=100, completion=9, cached=64, reasoning=5)]
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 9, 109)
    assert usage.prompt_tokens_details.cached_tokens == 64
    assert usage.completion_tokens_details.reasoning_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None for chunk in ask(client, stream=True))


def test_a_response_format_is_recorded_and_parsed(model_server: ModelServer, client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    model_server.script('{"n": 3}')
    wanted = {"type": "json_schema", "json_schema": {"name": "number", "strict": True, "schema": schema}}
    answer = ask(client, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"n": 3}
    assert model_server.requests[0].json["response_format"] == wanted


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_errors_become_the_classes_of_the_sdk(
    model_server: ModelServer, client: openai.OpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    model_server.script(Fail(status))
    with pytest.raises(kind) as caught:
        ask(client, stream=True)
    assert caught.value.request_id == "req_1"
    assert isinstance(caught.value.body, dict)


def test_a_429_carries_its_headers_and_body(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script(Fail(429, {"error": {"message": "Slow down", "code": "slow_down"}}, {"Retry-After": "7"}))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "slow_down"


def test_the_sdk_retries_through_a_429(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script(Fail(429, headers={"retry-after-ms": "1"}), "There you are")
    assert ask(client.with_options(max_retries=1)).choices[0].message.content == "There you are"
    assert len(model_server.requests) == 2


def said_before_the_cut(client: openai.OpenAI) -> str:
    said = ""
    try:
        for chunk in ask(client, stream=True):
            assert chunk.choices[0].finish_reason is None
            said += chunk.choices[0].delta.content
    except openai.APIConnectionError:
        return said
    raise AssertionError("the stream ended as if it were whole")


def test_a_cut_stream_ends_without_a_finish_reason(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("one two three four"), Cut(after=3)])
    assert said_before_the_cut(client) == "one two"


def test_a_cut_after_everything_said_still_has_no_finish_reason(
    model_server: ModelServer, client: openai.OpenAI
) -> None:
    model_server.script([Say("all of it"), Cut()])
    assert said_before_the_cut(client) == "all of it"


def test_a_dropped_connection_is_a_connection_error(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script(Drop())
    with pytest.raises(openai.APIConnectionError):
        ask(client)


def test_malformed_json_in_a_piece(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("good"), Malformed()])
    with pytest.raises(ValueError):
        list(ask(client, stream=True))


def test_an_error_after_the_status_200(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("good"), ErrorChunk("Overloaded, sorry", code="server_is_overloaded")])
    with pytest.raises(openai.APIError, match="Overloaded, sorry"):
        list(ask(client, stream=True))


def test_comments_thinking_pieces_and_finish_reasons_pass(model_server: ModelServer, client: openai.OpenAI) -> None:
    odd = {"id": "x", "object": "chat.completion.chunk", "model": "m", "created": 1, "choices": []}
    model_server.script([KeepAlive(), Think("hm"), Chunk(odd), Say("so"), Finish("length")])
    chunks = list(ask(client, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "hm"
    assert chunks[-1].choices[0].finish_reason == "length"
    assert [chunk.id for chunk in chunks].count("x") == 1


def test_slow_tokens_run_into_the_clients_timeout(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Slow(3600), Say("never")])
    with pytest.raises(openai.APITimeoutError):
        list(ask(client.with_options(timeout=0.2), stream=True))
    assert model_server.requests[0].wait_ended()
    assert model_server.requests[0].closed_early


def test_a_client_that_leaves_early_is_noticed(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script([Say("first"), Slow(3600), Say("second")])
    stream = ask(client, stream=True)
    while not next(stream).choices[0].delta.content:
        pass
    stream.close()
    seen = model_server.requests[0]
    assert seen.wait_ended()
    assert seen.closed_early


def test_a_client_that_stays_is_not_taken_for_gone(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script("A", [Say("B"), Slow(0.001), Say("C")])
    ask(client)
    list(ask(client, stream=True))
    first, second = model_server.requests
    assert first.wait_ended()
    assert second.wait_ended()
    assert not first.closed_early
    assert not second.closed_early
    assert first.connection == second.connection
    assert first.arrived <= second.arrived


def test_functions_answer_with_the_request_in_hand(model_server: ModelServer, client: openai.OpenAI) -> None:
    def echo(request: SeenRequest) -> Say:
        return Say(f"You said {request.json['messages'][-1]['content']} as number {request.number}")

    model_server.script(echo)
    assert ask(client).choices[0].message.content == "You said Hello as number 1"
    assert ask(client).choices[0].message.content == "OK"
    assert model_server.pending == 0


def test_a_function_that_fails_fails_the_test() -> None:
    def broken(request: SeenRequest) -> Say:
        raise LookupError("in the script")

    server = ModelServer(broken).start()
    with openai.OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            ask(client)
    with pytest.raises(LookupError, match="in the script"):
        server.stop()


def test_models_are_listed(model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.models = ["small", {"id": "large", "context_length": 4096}]
    assert [model.id for model in client.models.list()] == ["small", "large"]
    assert model_server.requests == []
    assert model_server.other_requests[0].path == "/v1/models"


def test_a_key_may_be_demanded(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.key = "another"
    with pytest.raises(openai.AuthenticationError):
        ask(client)
    assert ask(client.with_options(api_key="another")).choices[0].message.content == "OK"


def test_unknown_paths_and_bodies_are_refused(model_server: ModelServer, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="m", input="x")
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", content=b"{", cast_to=object)


def test_chunked_request_bodies_are_read(model_server: ModelServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(model_server.root.rpartition(":")[2]), timeout=10)
    pieces = [b'{"model": "m", ', b'"messages": []}']
    connection.request("POST", "/v1/chat/completions", iter(pieces), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert model_server.requests[0].body == b"".join(pieces)


def test_waiting_for_requests_that_do_not_come_gives_up(model_server: ModelServer) -> None:
    assert not model_server.wait_for_requests(1, timeout=0.01)


def test_the_port_is_free_again_after_the_server_stops() -> None:
    with ModelServer() as server:
        port = int(server.root.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_serves_from_a_shell() -> None:
    command = [sys.executable, "-m", "hermes_testkit.model_server", "--reply", "From a shell", "--chunks", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
                said = [chunk.choices[0].delta.content for chunk in ask(client, stream=True)]
        finally:
            process.kill()
    assert "".join(filter(None, said)) == "From a shell"
    assert len(list(filter(None, said))) == 3


def test_the_fixtures_module_imports_nothing_heavy() -> None:
    program = (
        "import json, sys, pytest; before = set(sys.modules); import hermes_testkit.fixtures; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == ["hermes_testkit", "hermes_testkit.fixtures"]
