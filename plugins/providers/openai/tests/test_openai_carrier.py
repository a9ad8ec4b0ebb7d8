"""The carrier over real connections: to the fake server, to ports where nobody listens, to servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx2
import msgspec
import openai
import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectionFailed,
    Endpoint,
    HermesError,
    Message,
    ModelEvent,
    ModelFinished,
    ModelInfo,
    ModelRequest,
    ModelsQuery,
    Overloaded,
    Provider,
    ProviderError,
    RateLimited,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolCallReady,
)
from hermes_carrier.failures import failure_of
from hermes_plugin_openai.provider import ChatCompletions
from hermes_testkit.model_server import (
    Call,
    Cut,
    Drop,
    ErrorChunk,
    Fail,
    KeepAlive,
    Malformed,
    ModelServer,
    Say,
    Slow,
    Think,
    Tokens,
)

KEY = "sk-test-0123456789abcdef"


def request(url: str, **more: Any) -> ModelRequest:
    options: dict[str, Any] = {"provider": "acme", "base_url": url, "key": KEY, "key_source": "env:ACME_API_KEY"}
    for name in ("headers", "quirks", "carrier", "key"):
        if name in more:
            options[name] = more.pop(name)
    return ModelRequest(
        id="r1",
        session_id="s",
        turn_id="t",
        endpoint=Endpoint(**options),
        model="a-model",
        messages=(Message(role="user", parts=(TextPart("Hello"),)),),
        **more,
    )


def run(work: Callable[[ChatCompletions], Coroutine[Any, Any, Any]]) -> Any:
    async def with_provider() -> Any:
        provider = ChatCompletions()
        try:
            return await work(provider)
        finally:
            await provider.close()

    return asyncio.run(with_provider())


def events_of(*requests: ModelRequest) -> list[ModelEvent]:
    async def work(provider: ChatCompletions) -> list[ModelEvent]:
        return [event for asked in requests async for event in provider.stream(asked)]

    found: list[ModelEvent] = run(work)
    return found


def said(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls_of(events: list[ModelEvent]) -> list[tuple[str, str]]:
    return [(event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallReady)]


def test_an_answer_comes_and_the_request_is_as_it_should_be(model_server: ModelServer) -> None:
    model_server.script("Good morning")
    events = events_of(request(model_server.url, headers={"X-Title": "Tests"}))
    assert said(events) == "Good morning"
    assert events[-1] == ModelFinished(reason="stop", model="a-model", request_id="req_1")
    seen = model_server.requests[0]
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-title"] == "Tests"
    assert seen.headers["user-agent"].startswith("hermes/")


def test_no_key_sends_no_authorization(model_server: ModelServer) -> None:
    events_of(request(model_server.url, key=""))
    assert "authorization" not in model_server.requests[0].headers


def test_headers_of_the_endpoint_replace_ours(model_server: ModelServer) -> None:
    events_of(request(model_server.url, headers={"Authorization": "Basic mine"}))
    assert model_server.requests[0].headers["authorization"] == "Basic mine"


def test_one_connection_serves_one_request_after_the_other(model_server: ModelServer) -> None:
    model_server.default = [Say("a b c"), Call("f")]
    events_of(*[request(model_server.url)] * 3)
    assert [seen.connection for seen in model_server.requests] == [1, 1, 1]
    assert not any(seen.closed_early for seen in model_server.requests)


def test_many_requests_at_once_and_one_provider_in_several_loops(model_server: ModelServer) -> None:
    provider = ChatCompletions()

    async def several() -> list[str]:
        async def one() -> str:
            return said([event async for event in provider.stream(request(model_server.url))])

        answers = await asyncio.gather(*(one() for _ in range(20)))
        await provider.close()
        return answers

    for _ in range(2):
        assert asyncio.run(several()) == ["OK"] * 20


def test_a_whole_answer_serves_as_well_as_a_stream(model_server: ModelServer) -> None:
    model_server.default = [Think("hm"), Say("Both."), Call("f", {"a": 1}), Call("g"), Tokens(9, 4)]
    streamed = events_of(request(model_server.url))
    whole = events_of(request(model_server.url, quirks={"stream": False}))
    assert model_server.requests[1].json["stream"] is False
    assert said(streamed) == said(whole)
    calls = [
        [(e.call.name, e.call.arguments) for e in got if isinstance(e, ToolCallReady)] for got in (streamed, whole)
    ]
    assert calls[0] == calls[1] == [("f", '{"a": 1}'), ("g", "{}")]


def test_we_and_the_official_client_read_the_same(model_server: ModelServer) -> None:
    model_server.default = [
        KeepAlive(),
        Say("Grüße, 世界 🌍, and some more words"),
        Call("add", {"a": 1, "text": "ü" * 50}, id="call_a", chunks=9),
        Call("now", id="call_b"),
        Tokens(100, 20, cached=64, reasoning=7),
    ]
    ours = events_of(request(model_server.url))
    asked = model_server.requests[0].json
    with openai.OpenAI(base_url=model_server.url, api_key=KEY, max_retries=0) as client:
        with client.chat.completions.stream(
            model=asked["model"], messages=asked["messages"], stream_options=asked["stream_options"]
        ) as stream:
            theirs = stream.get_final_completion()
    sent_by_them = model_server.requests[1].json
    assert {**sent_by_them, "messages": asked["messages"]} == asked
    message = theirs.choices[0].message
    assert said(ours) == message.content
    assert [(e.call.id, e.call.name, e.call.arguments) for e in ours if isinstance(e, ToolCallReady)] == [
        (call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
    ]
    (usage,) = [event.usage for event in ours if hasattr(event, "usage")]
    assert theirs.usage is not None
    assert (usage.prompt_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens) == (
        theirs.usage.prompt_tokens,
        theirs.usage.completion_tokens,
        64,
        7,
    )


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ([Say("a b"), Cut()], StreamBroken),
        ([Say("a b"), Cut(after=0)], StreamBroken),
        ([Say("a b"), Malformed()], StreamBroken),
        ([Say("a b"), ErrorChunk("Busy")], Overloaded),
        (Drop(), ConnectionFailed),
        (Fail(529), Overloaded),
        (Fail(401), AuthenticationFailed),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_goes_wrong_is_an_error_of_its_class(
    model_server: ModelServer, reply: Any, kind: type[ProviderError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model_server.script(reply)
    with pytest.raises(kind) as caught:
        events_of(request(model_server.url))
    assert caught.value.provider == "acme"
    assert caught.value.hint
    assert KEY not in str(caught.value) + caught.value.hint + repr(caught.value) + caplog.text


def test_a_429_says_how_long_to_wait(model_server: ModelServer) -> None:
    model_server.script(Fail(429, headers={"Retry-After": "7"}))
    with pytest.raises(RateLimited) as caught:
        events_of(request(model_server.url))
    assert caught.value.retry_after == 7.0
    assert caught.value.request_id == "req_1"


def test_silence_breaks_the_stream(model_server: ModelServer) -> None:
    model_server.script([Slow(3600), Say("never")])
    with pytest.raises(StreamBroken, match="nothing came for too long"):
        events_of(request(model_server.url, timeout=0.1))
    assert model_server.requests[0].wait_ended()
    assert model_server.requests[0].closed_early


def test_closing_the_iterator_closes_the_connection(model_server: ModelServer) -> None:
    model_server.script([Say("first"), Slow(3600), Say("second")])

    async def work(provider: ChatCompletions) -> bool:
        async with contextlib.aclosing(provider.stream(request(model_server.url))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        return await asyncio.to_thread(model_server.requests[0].wait_ended)

    assert run(work)
    assert model_server.requests[0].closed_early


def test_cancelling_closes_the_connection(model_server: ModelServer) -> None:
    model_server.script([Slow(3600), Say("never")])

    async def work(provider: ChatCompletions) -> bool:
        async def read() -> None:
            async for _ in provider.stream(request(model_server.url)):
                pass

        task = asyncio.create_task(read())
        assert await asyncio.to_thread(model_server.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(model_server.requests[0].wait_ended)

    assert run(work)
    assert model_server.requests[0].closed_early


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionFailed) as caught:
        events_of(request(f"http://127.0.0.1:{port}/v1"))
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "providers.acme.base_url" in caught.value.hint


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ConnectionFailed):
        events_of(request("http://no-such-host.invalid/v1"))


@contextlib.contextmanager
def raw_server(answer: bytes, end: bytes = b"]}") -> Iterator[str]:
    """Reads a request up to its ``end``, sends ``answer`` as it stands and closes."""

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                read = b""
                while not read.endswith(end) and (data := connection.recv(65536)):
                    read += data
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        thread.join(10)


def test_tls_to_a_server_that_speaks_none() -> None:
    with raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n", end=b"") as url, pytest.raises(ConnectionFailed):
        events_of(request(url.replace("http://", "https://")))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", ConnectionFailed, "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", BadRequest, "a web page"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://x.test/\r\nContent-Length: 0\r\n\r\n",
            BadRequest,
            "https://x.test/",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\ncut off", Overloaded, "503"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 4\r\n\r\nnope",
            StreamBroken,
            "damaged",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n"
            b'{"error":{"message":"Busy"}}',
            Overloaded,
            "Busy",
        ),
    ],
)
def test_servers_that_misbehave(answer: bytes, kind: type[ProviderError], words: str) -> None:
    with raw_server(answer) as url, pytest.raises(kind, match=words):
        events_of(request(url))


@pytest.mark.parametrize("url", ["ftp://acme.test/v1", "http://[::1/v1", "http://acme.test:x/v1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BadRequest):
        events_of(request(url))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"key": "sk-…cut"}, AuthenticationFailed),
        ({"key": "sk-two\nlines"}, AuthenticationFailed),
        ({"headers": {"x-note": "two\r\nlines"}}, ConfigError),
    ],
)
def test_what_cannot_be_sent_is_refused_before(
    model_server: ModelServer, options: dict[str, Any], kind: type[HermesError]
) -> None:
    with pytest.raises(kind) as caught:
        events_of(request(model_server.url, **options))
    assert caught.value.hint
    assert "two" not in str(caught.value)
    assert model_server.requests == []


def test_no_address() -> None:
    with pytest.raises(ConfigError, match="no address"):
        events_of(request(""))


def library_errors(*roots: type[Exception]) -> Iterator[type[Exception]]:
    for kind in roots:
        yield kind
        yield from library_errors(*(sub for sub in kind.__subclasses__() if sub.__module__.startswith("httpx2")))


ALL_ERRORS = sorted(
    set(library_errors(httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict)),
    key=lambda kind: kind.__name__,
)


def test_no_error_of_the_library_is_forgotten() -> None:
    public = {
        value for value in vars(httpx2).values() if isinstance(value, type) and issubclass(value, Exception)
    } - set(ALL_ERRORS)
    assert public == set()


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("answering", [False, True])
def test_every_error_of_the_library_becomes_one_of_ours(kind: type[Exception], answering: bool) -> None:
    error = kind.__new__(kind)
    error.args = (f"Illegal header value b'Bearer {KEY}'",)
    failure = failure_of(error, request("http://acme.test/v1").endpoint, answering=answering)
    assert type(failure) in (ConnectionFailed, StreamBroken, BadRequest)
    assert KEY not in str(failure)
    if issubclass(kind, httpx2.ReadTimeout | httpx2.ReadError) and answering:
        assert type(failure) is StreamBroken
    if issubclass(kind, httpx2.ConnectError | httpx2.ConnectTimeout):
        assert type(failure) is ConnectionFailed


def models_of(url: str) -> tuple[ModelInfo, ...]:
    async def work(provider: ChatCompletions) -> tuple[ModelInfo, ...]:
        return (await provider.models(ModelsQuery(endpoint=request(url).endpoint))).models

    found: tuple[ModelInfo, ...] = run(work)
    return found


def test_models_are_listed_with_what_is_known_of_them(model_server: ModelServer) -> None:
    model_server.models = [
        "plain",
        {
            "id": "router/one",
            "context_length": 4096,
            "top_provider": {"max_completion_tokens": 512},
            "pricing": {"prompt": "0.000002", "completion": "0.00001", "input_cache_read": "-1", "image": "0"},
        },
        {"id": "vllm", "max_model_len": 8192, "pricing": None},
    ]
    plain, router, vllm = models_of(model_server.url)
    assert plain == ModelInfo(id="plain")
    assert msgspec.structs.asdict(router) == {
        "id": "router/one",
        "context_window": 4096,
        "max_output": 512,
        "input_usd": pytest.approx(2.0),
        "output_usd": pytest.approx(10.0),
        "cache_read_usd": None,
        "cache_write_usd": None,
        "inputs": None,
        "retires": "",
    }
    assert vllm == ModelInfo(id="vllm", context_window=8192)
    assert model_server.other_requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", BadRequest),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhtml", BadRequest),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", AuthenticationFailed),
        (b"", ConnectionFailed),
    ],
)
def test_models_that_cannot_be_listed(answer: bytes, kind: type[ProviderError]) -> None:
    with raw_server(answer, b"\r\n\r\n") as url, pytest.raises(kind):
        models_of(url)


def test_a_bare_list_of_models() -> None:
    listed = json.dumps([{"id": "a"}, {"id": "b"}]).encode()
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(listed), listed), b"\r\n\r\n") as url:
        assert [model.id for model in models_of(url)] == ["a", "b"]


def program(source: str, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env={**env, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import asyncio
from hermes import Endpoint, HermesError, Message, ModelRequest, TextPart
from hermes_carrier import http
from hermes_plugin_openai import provider as plugin
async def main():
    provider = plugin.ChatCompletions()
    endpoint = Endpoint(provider="acme", base_url=URL)
    messages = (Message(role="user", parts=(TextPart("x"),)),)
    asked = ModelRequest(id="r", session_id="s", turn_id="t", model="m", messages=messages, endpoint=endpoint)
    try:
        async for event in provider.stream(asked): pass
        print(type(event).__name__)
    except HermesError as error:
        print(type(error).__name__, error, error.hint)
    await provider.close()
"""


def test_no_authorities_are_loaded_without_tls(model_server: ModelServer) -> None:
    source = f"URL = {model_server.url!r}\n{ASK}\nasyncio.run(main())\nprint(http._trust.cache_info().misses)"
    assert program(source).split() == ["ModelFinished", "0"]


def test_the_proxy_of_the_environment_is_used(model_server: ModelServer) -> None:
    source = f"URL = 'http://acme.test/v1'\n{ASK}\nasyncio.run(main())"
    said = program(source, HTTP_PROXY=model_server.root)
    assert said.startswith("BadRequest acme: 404: Unknown request URL")
    assert model_server.other_requests[0].path == "http://acme.test/v1/chat/completions"


def test_a_proxy_that_cannot_be_used_is_named() -> None:
    source = f"URL = 'http://acme.test/v1'\n{ASK}\nasyncio.run(main())"
    assert program(source, ALL_PROXY="gopher://proxy.test").startswith("ConfigError")


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    source = (
        "import sys, hermes_plugin_openai as plugin\n"
        "provisions = plugin.provide()\n"
        "assert not {'httpx2', 'asyncio', 'hermes_plugin_openai.provider'} & set(sys.modules)\n"
        "for one in provisions: print(one.contract, one.name, type(one.make()).__name__)"
    )
    assert program(source).splitlines() == [
        "transport chat_completions ChatCompletions",
        "transport responses Responses",
    ]


def test_the_carrier_brings_little_but_the_http_library() -> None:
    source = (
        "import sys, asyncio, httpx2, hermes.contracts.provider, hermes.contracts.hookspecs\n"
        "before = set(sys.modules)\n"
        "import hermes_plugin_openai.provider\n"
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('hermes')))"
    )
    brought = set(program(source).split())
    assert not {name for name in brought if name.partition(".")[0] in ("openai", "pydantic", "httpx", "yaml")}
    assert len(brought) < 12


def test_it_is_a_provider() -> None:
    provider: Provider = ChatCompletions()
    assert provider.capabilities.images
    assert provider.capabilities.response_format
