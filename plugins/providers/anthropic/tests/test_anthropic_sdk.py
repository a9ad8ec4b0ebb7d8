"""The carrier ``sdk``: the same bytes through Anthropic's own client, and everything that can go wrong in it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectionFailed,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelEvent,
    ModelRequest,
    ModelsQuery,
    Overloaded,
    ProviderError,
    ResponseFormat,
    StateUpdate,
    StreamBroken,
    SystemBlock,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from hermes_carrier.failures import client_failure
from hermes_carrier.provider import HttpProvider
from hermes_plugin_anthropic.provider import AnthropicMessages
from hermes_plugin_anthropic.sdk import SdkCarrier
from hermes_testkit.model_server import Call, Cut, Drop, Fail, ModelServer, Say, Think, Tokens

KEY = "sk-ant-api03-0123456789abcdef"
PNG = ImagePart(media_type="image/png", data=b"\x89PNG")
TOOLS = (
    ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}}),
    ToolSpec(name="wait", description="Waits.", parameters={"type": "object", "properties": {}}),
)
CALLS = (ToolCallPart(id="toolu_a", name="look", arguments='{"a":1}'), ToolCallPart(id="toolu_b", name="wait"))
HISTORY = (
    Message(role="user", parts=(TextPart("See"), PNG, FilePart(name="a.pdf", media_type="application/pdf", data=b"%"))),
    Message(role="assistant", parts=(TextPart("Looking."), *CALLS)),
    Message(
        role="tool",
        parts=(
            ToolResultPart(call_id="toolu_a", name="look", content=(TextPart("seen"),)),
            ToolResultPart(call_id="toolu_b", name="wait", content=(TextPart("no"),), is_error=True),
        ),
    ),
    Message(role="user", parts=(TextPart("And now?"),)),
)


def request(server: str, carrier: str, **more: Any) -> ModelRequest:
    options: dict[str, Any] = {"provider": "acme", "base_url": server, "key": KEY, "carrier": carrier}
    for name in ("quirks", "headers", "key", "token"):
        if name in more:
            options[name] = more.pop(name)
    return ModelRequest(
        id="r1",
        session_id="s",
        turn_id="t",
        endpoint=Endpoint(**options),
        model="a-model",
        **{"messages": (Message(role="user", parts=(TextPart("Hello"),)),), **more},
    )


def events_of(*requests: ModelRequest) -> list[ModelEvent]:
    async def work() -> list[ModelEvent]:
        provider = AnthropicMessages()
        try:
            return [event for asked in requests async for event in provider.stream(asked)]
        finally:
            await provider.close()

    return asyncio.run(work())


@pytest.mark.parametrize("options", [{}, {"quirks": {"stream": False}}, {"token": True, "headers": {"X-Note": "n"}}])
def test_both_carriers_send_the_same_and_bring_the_same(model_server: ModelServer, options: dict[str, Any]) -> None:
    model_server.default = [
        Think("hm", signature="c2ln"),
        Say("Both."),
        Call("look", {"a": 1}, id="toolu_x"),
        Tokens(9, 4),
    ]
    events = [events_of(request(model_server.root, carrier, **options))[:-1] for carrier in ("http", "sdk")]
    assert events[0] == events[1]
    plain, by_sdk = model_server.requests
    assert by_sdk.body == plain.body
    assert by_sdk.path == plain.path
    # The client adds only what it says of itself.
    added = {name for name in by_sdk.headers if not name.startswith("x-stainless-")} - set(plain.headers)
    assert added == set()
    ours = ("x-api-key", "authorization", "anthropic-version", "anthropic-beta", "accept", "user-agent", "x-note")
    assert [by_sdk.headers.get(name) for name in ours] == [plain.headers.get(name) for name in ours]


def test_the_official_client_sends_an_equal_body(model_server: ModelServer) -> None:
    """Given the same exchange in its own terms."""
    wanted = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    events_of(
        request(
            model_server.root,
            "http",
            messages=HISTORY,
            tools=TOOLS,
            system=(SystemBlock(name="a", text="A"), SystemBlock(name="b", text="B")),
            response_format=ResponseFormat(name="n", json_schema=wanted),
            quirks={"thinking": "adaptive"},
            reasoning_effort="high",
            stop=("END",),
            max_tokens=99,
        )
    )
    mark: Any = {"type": "ephemeral"}
    tools: list[Any] = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in TOOLS
    ]
    tools[-1]["cache_control"] = mark
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JQ=="},
                    "title": "a.pdf",
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_a", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "toolu_b", "name": "wait", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_a", "content": [{"type": "text", "text": "seen"}]},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_b",
                    "content": [{"type": "text", "text": "no"}],
                    "is_error": True,
                },
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]
    with anthropic.Anthropic(base_url=model_server.root, api_key=KEY, max_retries=0) as client:
        with client.messages.stream(
            model="a-model",
            max_tokens=99,
            system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": mark}],
            tools=tools,
            thinking={"type": "adaptive", "display": "summarized"},
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": wanted}},
            stop_sequences=["END"],
            cache_control=mark,
            messages=messages,
        ) as stream:
            stream.get_final_message()
    ours, theirs = model_server.requests
    assert ours.json == theirs.json
    assert ours.path == theirs.path


def test_signed_thinking_that_is_refused_is_left_out(model_server: ModelServer) -> None:
    """It is bound to the account; a session that goes on with another one's key does not end there."""
    model_server.script([Think("hm", signature="c2ln"), Say("One.")])
    first = request(model_server.root, "http")
    states = tuple(event.state for event in events_of(first) if isinstance(event, StateUpdate))
    answer = Message(role="assistant", parts=(TextPart("One."),), provider_state=states)
    later = msgspec.structs.replace(first, messages=(*first.messages, answer, *first.messages))
    refusal = Fail(400, message="messages.1.content.0: Invalid `signature` in `thinking` block")
    model_server.script(refusal, "Two.")
    assert TextDelta(text="Two.") in events_of(later)
    assert [b"c2ln" in seen.body for seen in model_server.requests] == [False, True, False]
    model_server.script(refusal)
    with pytest.raises(BadRequest, match="signature"):
        events_of(first)
    model_server.script(Fail(400, message="max_tokens: too many"))
    with pytest.raises(BadRequest, match="max_tokens"):
        events_of(later)
    assert len(model_server.requests) == 5


def test_the_client_does_not_try_again(model_server: ModelServer) -> None:
    model_server.default = Fail(529)
    with pytest.raises(Overloaded):
        events_of(request(model_server.root, "sdk"))
    assert len(model_server.requests) == 1


def test_one_connection_serves_one_request_after_the_other(model_server: ModelServer) -> None:
    events_of(*[request(model_server.root, "sdk")] * 3)
    assert [seen.connection for seen in model_server.requests] == [1, 1, 1]


def test_models_are_listed(model_server: ModelServer) -> None:
    model_server.models = ["small", "large"]

    async def work(endpoint: Endpoint) -> list[str]:
        provider = AnthropicMessages()
        try:
            return [model.id for model in (await provider.models(ModelsQuery(endpoint=endpoint))).models]
        finally:
            await provider.close()

    endpoint = request(model_server.root, "sdk").endpoint
    assert asyncio.run(work(endpoint)) == ["small", "large"]
    with_version = msgspec.structs.replace(endpoint, base_url=f"{model_server.root}/v1", carrier="http")
    assert asyncio.run(work(with_version)) == ["small", "large"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Drop(), ConnectionFailed), ([Say("a b"), Cut()], StreamBroken), (Fail(401), AuthenticationFailed)],
)
def test_what_goes_wrong_is_an_error_of_its_class(model_server: ModelServer, reply: Any, kind: type[Exception]) -> None:
    model_server.script(reply)
    with pytest.raises(kind) as caught:
        events_of(request(model_server.root, "sdk"))
    assert KEY not in str(caught.value)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=str(port)):
        events_of(request(f"http://127.0.0.1:{port}", "sdk"))


def defined(kind: type[Exception] = anthropic.AnthropicError) -> Iterator[type[Exception]]:
    yield kind
    for special in kind.__subclasses__():
        yield from defined(special)


for found in pkgutil.walk_packages(anthropic.__path__, "anthropic."):
    if not found.name.startswith(("anthropic.types", "anthropic.resources")):
        # Some need packages that nothing here needs.
        with contextlib.suppress(ImportError):
            importlib.import_module(found.name)
EXCEPTIONS = sorted(set(defined()), key=lambda kind: kind.__name__)
WITHOUT_ANSWER = [kind for kind in EXCEPTIONS if not issubclass(kind, anthropic.APIStatusError)]
ROOTS = {"AnthropicError", "APIError"}
ELSEWHERE = {
    "AsyncOnSyncToolsetError",
    "BrowserStateError",
    "MissingDependencyError",
    "MutuallyExclusiveAuthError",
    "NestedCallError",
    "StreamAlreadyConsumed",
    "SyncOnAsyncToolsetError",
    "ToolsetClosedError",
    "ToolsetConfigError",
    "ToolsetContractError",
    "ToolsetUsageError",
    "ToolsetsFixedError",
    "WorkloadIdentityError",
}
"""Of parts of the client that the carrier does not use; they would be told as the root of all is."""


def test_no_exception_of_the_client_is_forgotten() -> None:
    """Each is an answer, or has a line of its own in the table, or is known to belong elsewhere."""
    public = {value for value in vars(anthropic).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert public <= set(EXCEPTIONS)
    lines = tuple(kind for kind, _, _ in SdkCarrier.failures if kind is not anthropic.AnthropicError)
    assert {kind.__name__ for kind in WITHOUT_ANSWER if not issubclass(kind, lines)} == ROOTS | ELSEWHERE


def test_an_answer_is_judged_by_the_codec_whatever_the_client_makes_of_it(model_server: ModelServer) -> None:
    """The client's classes for answers are as many as the vendor's codes; ours follow status and code."""
    for status in (400, 401, 402, 403, 404, 408, 409, 412, 413, 422, 429, 431, 499, 500, 501, 503, 504, 529, 599):
        errors = []
        for carrier in ("http", "sdk"):
            model_server.script(Fail(status, code="a_code_of_tomorrow"))
            with pytest.raises(ProviderError) as caught:
                events_of(request(model_server.root, carrier))
            errors.append((type(caught.value), caught.value.status, str(caught.value), caught.value.hint))
        assert errors[0] == errors[1]


@pytest.mark.parametrize("kind", WITHOUT_ANSWER, ids=lambda kind: kind.__name__)
def test_every_exception_without_an_answer_becomes_one_of_ours(kind: type[anthropic.AnthropicError]) -> None:
    error = kind.__new__(kind)
    error.args = (f"no luck with {KEY}",)
    vars(error)["request_id"] = None
    failure = client_failure(error, request("http://acme.test", "sdk").endpoint, SdkCarrier.failures)
    assert isinstance(failure, ProviderError)
    assert str(failure).startswith("acme: ")
    assert failure.code == kind.__name__
    assert failure.hint
    assert KEY not in str(failure)


def test_what_the_http_library_says_counts_more() -> None:
    asked = httpx2.Request("POST", "http://acme.test")
    error = anthropic.APIConnectionError(request=asked)
    error.__cause__ = httpx2.LocalProtocolError("no such header")
    assert type(client_failure(error, request("http://acme.test", "sdk").endpoint, SdkCarrier.failures)) is BadRequest


def program(source: str, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env={**env, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import asyncio, sys
from hermes import Endpoint, HermesError, Message, ModelRequest, TextPart
from hermes_plugin_anthropic import provider as plugin
async def main():
    provider = plugin.AnthropicMessages()
    endpoint = Endpoint(provider="acme", base_url=URL, key="sk-ant-of-the-endpoint", carrier=CARRIER)
    messages = (Message(role="user", parts=(TextPart("x"),)),)
    asked = ModelRequest(id="r", session_id="s", turn_id="t", model="m", messages=messages, endpoint=endpoint)
    try:
        async for event in provider.stream(asked): pass
        print(type(event).__name__)
    except HermesError as error:
        print(type(error).__name__, error, error.hint)
    await provider.close()
"""


def test_nothing_of_the_environment_is_sent(model_server: ModelServer) -> None:
    source = f"URL = {model_server.root!r}; CARRIER = 'sdk'\n{ASK}\nasyncio.run(main())"
    said = program(
        source,
        ANTHROPIC_API_KEY="sk-of-the-environment",
        ANTHROPIC_AUTH_TOKEN="token-of-the-environment",
        ANTHROPIC_BASE_URL="http://127.0.0.1:9",
        ANTHROPIC_CUSTOM_HEADERS="x-of-the-environment: yes\nanthropic-version: 2023-01-01",
    )
    assert said == "ModelFinished"
    headers = model_server.requests[0].headers
    assert "environment" not in json.dumps(dict(headers))
    assert headers["x-api-key"] == "sk-ant-of-the-endpoint"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


def test_the_default_carrier_imports_no_sdk(model_server: ModelServer) -> None:
    source = (
        f"URL = {model_server.root!r}; CARRIER = 'http'\n{ASK}\nasyncio.run(main())\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'anthropic', 'pydantic', 'jiter'}))"
    )
    assert program(source) == "ModelFinished"


def test_without_the_sdk_it_says_what_to_install(model_server: ModelServer) -> None:
    source = (
        f"URL = {model_server.root!r}; CARRIER = 'sdk'\n{ASK}\nsys.modules['anthropic'] = None\nasyncio.run(main())"
    )
    assert program(source) == (
        'ConfigError The carrier "sdk" of the wire anthropic_messages needs anthropic, which is not installed. '
        'pip install "hermes-plugin-anthropic[sdk]"'
    )
    assert model_server.requests == []


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    source = (
        "import sys, hermes_plugin_anthropic as plugin\n"
        "(provision,) = plugin.provide()\n"
        "assert not {'httpx2', 'asyncio', 'hermes_plugin_anthropic.provider'} & set(sys.modules)\n"
        "print(provision.contract, provision.name, type(provision.make()).__name__)"
    )
    assert program(source) == "transport anthropic_messages AnthropicMessages"


def test_there_are_two_carriers() -> None:
    provider = AnthropicMessages()
    assert isinstance(provider, HttpProvider)
    assert {hasattr(SdkCarrier, name) for name in ("open", "close")} == {True}
    with pytest.raises(ConfigError):
        events_of(request("", "sdk"))
