"""OpenAI's own client as judge of the wire Responses, and as the carrier of both wires."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import subprocess
import sys
from typing import Any

import httpx2
import msgspec
import openai
import openai._exceptions
import pytest

from hermes import (
    BadRequest,
    ConnectionFailed,
    Endpoint,
    ModelRequest,
    ModelsQuery,
    Provider,
    ProviderError,
    ResponseFormat,
    StateUpdate,
    StreamBroken,
    SystemBlock,
    ToolCallPart,
)
from hermes_carrier.failures import client_failure
from hermes_plugin_openai.provider import ChatCompletions, Responses
from hermes_plugin_openai.sdk import SdkCarrier
from hermes_testkit.model_server import (
    Call,
    Fail,
    KeepAlive,
    ModelServer,
    Refuse,
    Say,
    Slow,
    Think,
    Tokens,
)
from hermes_testkit.provider_cases import PNG, TOOLS, Outcome, assistant, close, outcome_of, result, user

KEY = "sk-test-0123456789abcdef"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
PROVIDERS: list[type[Provider]] = [ChatCompletions, Responses]


def request(url: str, *messages: Any, **more: Any) -> ModelRequest:
    options: dict[str, Any] = {"provider": "acme", "base_url": url, "key": KEY, "key_source": "env:ACME_API_KEY"}
    for name in ("headers", "quirks", "carrier", "key"):
        if name in more:
            options[name] = more.pop(name)
    fields = {"id": "r1", "session_id": "s", "turn_id": "t", "endpoint": Endpoint(**options), "model": "a-model"}
    return ModelRequest(**{**fields, "messages": messages or (user("Hello"),), **more})


def ask(kind: type[Provider], *requests: ModelRequest) -> list[Outcome]:
    async def work() -> list[Outcome]:
        provider = kind()
        outcomes = [await outcome_of(provider, asked) for asked in requests]
        await close(provider)
        return outcomes

    return asyncio.run(work())


def history() -> tuple[Any, ...]:
    one = ToolCallPart(id="call_a", name="look", arguments='{"place": "roof"}')
    return (user("See", PNG), assistant("Looking.", one), result(one, "a cat", PNG), user("And?"))


def test_the_client_sends_what_we_send(model_server: ModelServer) -> None:
    """For the same exchange its body is the same, and the server, which is strict, takes ours."""
    (ours,) = ask(
        Responses,
        request(
            model_server.url,
            *history(),
            system=(SystemBlock(name="a", text="Be brief."),),
            tools=TOOLS,
            reasoning_effort="low",
            response_format=ResponseFormat(name="n", json_schema=SCHEMA),
        ),
    )
    assert ours.error is None
    image = {"type": "input_image", "image_url": model_server.requests[0].json["input"][1]["content"][1]["image_url"]}
    look, wait = ({"name": t.name, "description": t.description, "parameters": t.parameters} for t in TOOLS)
    items: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "See"}, {**image, "detail": "auto"}]},
        {"role": "assistant", "content": "Looking."},
        {"type": "function_call", "call_id": "call_a", "name": "look", "arguments": '{"place": "roof"}'},
        {
            "type": "function_call_output",
            "call_id": "call_a",
            "output": [{"type": "input_text", "text": "a cat"}, {**image, "detail": "auto"}],
        },
        {"role": "user", "content": "And?"},
    ]
    with openai.OpenAI(base_url=model_server.url, api_key=KEY, max_retries=0) as client:
        client.responses.create(
            model="a-model",
            input=items,
            stream=True,
            store=False,
            prompt_cache_key="s",
            tools=[{"type": "function", "strict": False, **tool} for tool in (look, wait)],  # type: ignore[misc]
            include=["reasoning.encrypted_content"],
            reasoning={"effort": "low", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}},
        ).close()
    assert model_server.requests[1].json == model_server.requests[0].json


def test_we_and_the_client_read_the_same(model_server: ModelServer) -> None:
    model_server.default = [
        *[KeepAlive(), Think("Let me … "), Think("see."), Say("Grüße, 世界 🌍, and some more words")],
        Call("look", {"place": "ü" * 50}, id="call_a", chunks=9),
        Call("wait", "", id="call_b"),
        Tokens(100, 20, cached=64, cache_written=6, reasoning=7),
    ]
    (ours,) = ask(Responses, request(model_server.url, tools=TOOLS))
    asked = model_server.requests[0].json
    with openai.OpenAI(base_url=model_server.url, api_key=KEY, max_retries=0) as client:
        theirs = client.post("/responses", body={**asked, "stream": False}, cast_to=openai.types.responses.Response)
        del asked["stream"]
        with client.responses.stream(**asked) as stream:
            streamed = stream.get_final_response()
    for read in (theirs, streamed):
        calls = [item for item in read.output if item.type == "function_call"]
        assert ours.text == read.output_text
        assert [(call.id, call.name, call.arguments) for call in ours.calls] == [
            (call.call_id, call.name, call.arguments or "{}") for call in calls
        ]
        (thought,) = [item for item in read.output if item.type == "reasoning"]
        assert ours.thinking == "".join(part.text for part in thought.summary)
        assert (read.usage is not None, ours.usage is not None) == (True, True)
        assert read.usage is not None
        assert ours.usage is not None
        details = read.usage.input_tokens_details
        assert (ours.usage.prompt_tokens, ours.usage.output_tokens) == (
            read.usage.input_tokens,
            read.usage.output_tokens,
        )
        assert (ours.usage.cache_read_tokens, ours.usage.cache_write_tokens) == (
            details.cached_tokens,
            details.cache_write_tokens,
        )
        assert ours.usage.reasoning_tokens == read.usage.output_tokens_details.reasoning_tokens


@pytest.mark.parametrize(
    ("reply", "reason"), [(Say("Hi"), "stop"), (Refuse("No."), "refusal"), (Call("look"), "tool_calls")]
)
def test_whole_answers_are_read_as_streams_are(model_server: ModelServer, reply: Any, reason: str) -> None:
    model_server.default = [Think("Hm."), reply, Tokens(9, 4)]
    whole = {"stream": False}
    streamed, answer = ask(Responses, request(model_server.url), request(model_server.url, quirks=whole, id="r2"))
    assert (answer.text, answer.thinking, answer.usage) == (streamed.text, streamed.thinking, streamed.usage)
    assert [getattr(outcome.events[-1], "reason", "") for outcome in (streamed, answer)] == [reason, reason]


def test_an_answer_goes_back_as_it_came(model_server: ModelServer) -> None:
    """Reasoning, text and calls, in order, to a server that refuses reasoning without its mark or what it led to."""
    model_server.script([Think("Hm."), Say("Both."), Think("", redacted=True), Call("look"), Call("wait")], "So.")
    (first,) = ask(Responses, request(model_server.url, tools=TOOLS))
    states = tuple(event.state for event in first.events if isinstance(event, StateUpdate))
    turn = assistant(first.text, *first.calls, state=states)
    results = [result(call, "done") for call in first.calls]
    (second,) = ask(Responses, request(model_server.url, user("Hello"), turn, *results, tools=TOOLS))
    assert (second.error, second.text) == (None, "So.")
    items = model_server.requests[1].json["input"][1:-2]
    assert [item["type"] for item in items] == ["reasoning", "message", "reasoning", "function_call", "function_call"]
    assert items[0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert all(item["encrypted_content"] for item in items if item["type"] == "reasoning")


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_client_carries_the_same_bytes(model_server: ModelServer, kind: type[Provider]) -> None:
    more: dict[str, Any] = {"tools": TOOLS, "headers": {"X-Title": "Tests"}, "quirks": {"query": {"api-version": "1"}}}
    plain, carried = ask(
        kind,
        request(model_server.url, *history(), **more),
        request(model_server.url, *history(), carrier="sdk", **more),
    )
    assert plain.error is carried.error is None
    first, second = model_server.requests
    assert first.body == second.body
    assert first.path == second.path
    for name in ("authorization", "content-type", "accept", "user-agent", "x-title"):
        assert first.headers[name] == second.headers[name]


@pytest.mark.parametrize(("key", "quirks", "sent"), [("", {}, None), (KEY, {"key_header": "api-key"}, KEY)])
def test_only_the_key_that_was_found_is_sent(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, key: str, quirks: dict[str, Any], sent: str | None
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://of-the-environment.invalid")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-custom: of-the-environment\nauthorization: of-the-environment")
    (outcome,) = ask(Responses, request(model_server.url, carrier="sdk", key=key, quirks=quirks))
    assert outcome.error is None
    headers = model_server.requests[0].headers
    assert not [name for name, value in headers.items() if "of-the-environment" in value]
    assert (headers.get("authorization"), headers.get("api-key")) == (None, sent)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_client_does_not_try_again_by_itself(model_server: ModelServer, kind: type[Provider]) -> None:
    model_server.script(Fail(503), "not asked for")
    (outcome,) = ask(kind, request(model_server.url, carrier="sdk"))
    assert outcome.error is not None
    assert outcome.error.status == 503
    assert len(model_server.requests) == 1


@pytest.mark.parametrize("url", ["ftp://acme.test/v1", "http://[::1/v1"])
def test_addresses_that_are_none_are_the_same_error_through_the_client(url: str) -> None:
    plain, carried = ask(Responses, request(url), request(url, carrier="sdk"))
    assert isinstance(plain.error, BadRequest)
    assert str(carried.error) == str(plain.error)


def test_the_client_logs_no_key(model_server: ModelServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    model_server.script("OK", Fail(401))
    asked = request(model_server.url, carrier="sdk")
    ask(Responses, asked, asked)
    assert "openai" in {record.name.partition(".")[0] for record in caplog.records}
    assert KEY not in caplog.text


def test_silence_is_the_same_error_through_the_client(model_server: ModelServer) -> None:
    model_server.script([Slow(3600), Say("never")])
    (outcome,) = ask(Responses, request(model_server.url, carrier="sdk", timeout=0.1))
    assert isinstance(outcome.error, StreamBroken)


def client_errors() -> list[type[Exception]]:
    """Every exception that the client's module of exceptions defines, and every other one that it shows."""
    found = {
        value
        for place in (openai._exceptions, openai)
        for value in list(vars(place).values())
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith("openai")
    }
    return sorted(found, key=lambda kind: kind.__name__)


STATUSES = [kind for kind in client_errors() if issubclass(kind, openai.APIStatusError)]


def test_no_error_of_the_client_is_forgotten() -> None:
    """Each is in the table under its own name; those of a status are read as the answers they are."""
    known = {kind for kind, _, _ in SdkCarrier.failures}
    ambiguous = openai._AmbiguousModuleClientUsageError  # of the module's global client, which is not used
    assert set(client_errors()) - known - set(STATUSES) == {ambiguous}


@pytest.mark.parametrize("kind", client_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_becomes_one_of_ours(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.args = (f"a sentence with {KEY} in it",)
    failure = client_failure(error, request("http://acme.test/v1").endpoint, SdkCarrier.failures)
    assert isinstance(failure, ProviderError)
    assert type(failure) is not ProviderError
    assert failure.hint
    assert KEY not in str(failure)
    assert "acme" in str(failure)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx2.ConnectTimeout("x"), ConnectionFailed),
        (httpx2.ConnectError("x"), ConnectionFailed),
        (httpx2.ReadTimeout("x"), StreamBroken),
    ],
)
def test_the_cause_of_an_error_of_the_client_says_more(cause: Exception, kind: type[ProviderError]) -> None:
    error = openai.APIConnectionError(request=httpx2.Request("POST", "http://acme.test/v1"))
    error.__cause__ = cause
    failure = client_failure(error, request("http://acme.test/v1").endpoint, SdkCarrier.failures)
    assert type(failure) is kind
    assert failure.code == type(cause).__name__


def program(source: str) -> str:
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import asyncio, json, sys
from hermes import Endpoint, HermesError, Message, ModelRequest, TextPart
from hermes_plugin_openai import provider as plugin
async def main():
    provider = plugin.{kind}()
    endpoint = Endpoint(provider="acme", base_url={url!r}, key="sk-key", carrier={carrier!r})
    messages = (Message(role="user", parts=(TextPart("x"),)),)
    asked = ModelRequest(id="r", session_id="s", turn_id="t", model="m", messages=messages, endpoint=endpoint)
    said = ""
    try:
        async for event in provider.stream(asked): said = type(event).__name__
    except HermesError as error:
        said = f"{{type(error).__name__}}: {{error}} {{error.hint}}"
    await provider.close()
    brought = sorted({{"openai", "pydantic", "pydantic_core"}} & set(sys.modules))
    print(json.dumps([said, [name for name in brought if sys.modules[name] is not None]]))
"""


@pytest.mark.parametrize("kind", ["ChatCompletions", "Responses"])
def test_the_client_is_imported_only_when_it_is_asked_for(model_server: ModelServer, kind: str) -> None:
    for carrier, brought in (("http", False), ("sdk", True)):
        source = ASK.format(kind=kind, url=model_server.url, carrier=carrier) + "asyncio.run(main())"
        said, found = json.loads(program(source))
        assert (said, "openai" in found) == ("ModelFinished", brought)


def test_without_the_client_the_line_that_installs_it_is_said_before_any_call(model_server: ModelServer) -> None:
    source = ASK.format(kind="ChatCompletions", url=model_server.url, carrier="sdk")
    said, _ = json.loads(program(f"{source}\nsys.modules['openai'] = None\nasyncio.run(main())"))
    assert said.startswith("ConfigError")
    assert 'pip install "hermes-plugin-openai[sdk]"' in said
    assert model_server.requests == []


def test_models_are_listed_through_the_client(model_server: ModelServer) -> None:
    model_server.models = ["small", "large"]

    async def work() -> list[str]:
        provider = Responses()
        endpoint = msgspec.structs.replace(request(model_server.url).endpoint, carrier="sdk")
        listed = await provider.models(ModelsQuery(endpoint=endpoint))
        await provider.close()
        return [model.id for model in listed.models]

    assert asyncio.run(work()) == ["small", "large"]
