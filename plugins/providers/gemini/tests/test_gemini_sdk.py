"""Google's own library as the judge of our bytes, and as a carrier of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from google import genai
from google.genai import _api_client as private
from google.genai import errors, types

from hermes import (
    AudioPart,
    ConfigError,
    Endpoint,
    FilePart,
    ImagePart,
    ModelFinished,
    ModelRequest,
    Overloaded,
    ProviderState,
    ResponseFormat,
    SystemBlock,
    ToolCallPart,
)
from hermes_carrier.failures import client_failure
from hermes_plugin_gemini import sdk
from hermes_plugin_gemini.codec import encode
from hermes_plugin_gemini.provider import Gemini
from hermes_testkit.model_server import Call, Fail, Finish, ModelServer, Say, Think, Tokens
from hermes_testkit.provider_cases import PNG, TOOLS, Outcome, assistant, outcome_of, result, user

KEY = "AIza-suite-0123456789abcdef"
MARK = "YSBtYXJr"


def endpoint_of(server: ModelServer, **more: Any) -> Endpoint:
    return Endpoint(provider="gemini", base_url=f"{server.root}/v1beta", key=KEY, **more)


def request(endpoint: Endpoint, *messages: Any, **more: Any) -> ModelRequest:
    fields: dict[str, Any] = {"id": "r1", "session_id": "s", "turn_id": "t", "model": "gemini-3.8-flash", **more}
    return ModelRequest(endpoint=endpoint, messages=messages or (user("Hello"),), **fields)


def ask(*requests: ModelRequest) -> list[Outcome]:
    async def work() -> list[Outcome]:
        provider = Gemini()
        try:
            return [await outcome_of(provider, asked) for asked in requests]
        finally:
            await provider.close()

    return asyncio.run(work())


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=model_server.root, api_version="v1beta")
    with genai.Client(api_key=KEY, vertexai=False, http_options=options) as client:
        yield client


def stream(client: genai.Client, contents: Any, **config: Any) -> list[Any]:
    return list(
        client.models.generate_content_stream(
            model="gemini-3.8-flash", contents=contents, config=types.GenerateContentConfig(**config)
        )
    )


def content(role: str, *parts: types.Part) -> types.Content:
    return types.Content(role=role, parts=list(parts))


def blob(data: bytes, kind: str) -> types.Part:
    return types.Part.from_bytes(data=data, mime_type=kind)


CALL = ToolCallPart(id="c1", name="look", arguments='{"place":"x"}')
OTHER = ToolCallPart(id="c2", name="wait")
THEIR_CALLS = (
    types.Part(
        function_call=types.FunctionCall(id="c1", name="look", args={"place": "x"}), thought_signature=b"a mark"
    ),
    types.Part(function_call=types.FunctionCall(id="c2", name="wait", args={})),
)
THEIR_RESULTS = (
    types.Part(
        function_response=types.FunctionResponse(
            id="c1",
            name="look",
            response={"error": "gone"},
            parts=[types.FunctionResponsePart.from_bytes(data=PNG.data, mime_type="image/png")],
        )
    ),
    types.Part(function_response=types.FunctionResponse(id="c2", name="wait", response={"output": "done"})),
)


def test_the_library_sends_the_same_request(model_server: ModelServer, client: genai.Client) -> None:
    endpoint = endpoint_of(model_server)
    data = json.dumps({"parts": [{"text": 2}, {"call": "c1", "thoughtSignature": MARK}, {"call": "c2"}]})
    state = ProviderState(provider="gemini", model="gemini-3.8-flash", endpoint=endpoint.base_url, data=data)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    asked = request(
        endpoint,
        user(
            "See",
            PNG,
            AudioPart(media_type="audio/wav", data=b"RIFF"),
            FilePart(name="a", media_type="application/pdf", data=b"%PDF"),
            ImagePart(media_type="image/jpeg", url="https://files.test/a"),
        ),
        assistant("So", CALL, OTHER, state=(state,)),
        result(CALL, "gone", PNG, is_error=True),
        result(OTHER, "done"),
        assistant("It is gone."),
        user("Thanks"),
        system=(SystemBlock(name="a", text="Be brief."), SystemBlock(name="b", text="Be kind.")),
        tools=TOOLS,
        response_format=ResponseFormat(name="n", json_schema=schema),
        max_tokens=100,
        temperature=0.5,
        stop=("END",),
        seed=7,
        reasoning_effort="high",
    )
    (outcome,) = ask(asked)
    assert outcome.error is None
    declared = [
        types.FunctionDeclaration(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in TOOLS
    ]
    stream(
        client,
        [
            content(
                "user",
                types.Part(text="See"),
                blob(PNG.data, "image/png"),
                blob(b"RIFF", "audio/wav"),
                blob(b"%PDF", "application/pdf"),
                types.Part.from_uri(file_uri="https://files.test/a", mime_type="image/jpeg"),
            ),
            content("model", types.Part(text="So"), *THEIR_CALLS),
            content("user", *THEIR_RESULTS),
            content("model", types.Part(text="It is gone.")),
            content("user", types.Part(text="Thanks")),
        ],
        system_instruction=types.Content(parts=[types.Part(text="Be brief."), types.Part(text="Be kind.")]),
        tools=[types.Tool(function_declarations=declared)],
        response_mime_type="application/json",
        response_json_schema=schema,
        max_output_tokens=100,
        temperature=0.5,
        stop_sequences=["END"],
        seed=7,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    ours, theirs = model_server.requests
    assert ours.path == theirs.path
    assert ours.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"]
    assert ours.json == normal(theirs.json)


def normal(body: Any) -> Any:
    """As we write it: the library mixes two spellings of names, and has the alphabet of base64 that URLs have."""
    if isinstance(body, list):
        return [normal(value) for value in body]
    if not isinstance(body, dict):
        return body
    spelled = {re.sub("_(.)", lambda match: match[1].upper(), name): normal(value) for name, value in body.items()}
    encoded = spelled.keys() & {"data", "thoughtSignature"}
    return {**spelled, **{name: spelled[name].replace("-", "+").replace("_", "/") for name in encoded}}


REPLIES: dict[str, Any] = {
    "text": [Say("Good morning, 世界 🌍.", chunks=7)],
    "thinking": [Think("Let me see."), Say("Seven.")],
    "calls": [
        Think("Hm.", signature=MARK),
        Say("Looking."),
        Call("look", {"place": "garden", "n": [1, 2.5, None]}, id="fc_x"),
        Call("wait", ""),
    ],
    "length": [Tokens(prompt=100, completion=9, cached=64, reasoning=5), Say("One two"), Finish("length")],
    "refusal": [Say("One"), Finish("content_filter")],
    "other": [Say("One"), Finish("LANGUAGE")],
}
REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "refusal"}


@pytest.mark.parametrize("carrier", ["http", "sdk"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_events_say_what_the_library_reads(
    model_server: ModelServer, client: genai.Client, reply: Any, carrier: Any
) -> None:
    counted = [*reply, Tokens(prompt=30, completion=20, reasoning=4)]
    model_server.script(counted, counted)
    (outcome,) = ask(request(endpoint_of(model_server, carrier=carrier)))
    answers = stream(client, "Hello")
    parts = [part for answer in answers for part in answer.candidates[0].content.parts or ()]
    assert outcome.text == "".join(part.text for part in parts if part.text and not part.thought)
    assert outcome.thinking == "".join(part.text for part in parts if part.text and part.thought)
    theirs = [part.function_call for part in parts if part.function_call]
    assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [
        (call.name, call.args) for call in theirs
    ]
    if theirs:
        assert outcome.calls[0].id == theirs[0].id
    usage = answers[-1].usage_metadata
    assert outcome.usage is not None
    assert outcome.usage.prompt_tokens == usage.prompt_token_count
    assert outcome.usage.cache_read_tokens == (usage.cached_content_token_count or 0)
    assert outcome.usage.reasoning_tokens == (usage.thoughts_token_count or 0)
    assert outcome.usage.total_tokens == usage.total_token_count
    end = outcome.events[-1]
    assert isinstance(end, ModelFinished)
    finish = answers[-1].candidates[0].finish_reason.value
    assert end.reason == ("tool_calls" if theirs else REASONS.get(finish, finish))
    assert end.model == answers[-1].model_version


def test_the_library_takes_back_what_we_keep(model_server: ModelServer, client: genai.Client) -> None:
    """The parts of an answer, as we send them again, are those that the library's own chat sends again."""
    reply = [
        Think("Hm.", signature=MARK),
        Say("Looking."),
        Call("look", {"place": "x"}, id="fc_1"),
        Call("wait", "", id="fc_2"),
    ]
    model_server.script(reply, "Done.", reply, "Done.")
    endpoint = endpoint_of(model_server)
    (outcome,) = ask(request(endpoint))
    states = tuple(event.state for event in outcome.events if hasattr(event, "state"))
    one, two = outcome.calls
    answer = assistant(outcome.text, one, two, state=states)
    (again,) = ask(request(endpoint, user("Hello"), answer, result(one, "1"), result(two, "2")))
    assert again.error is None
    chat = client.chats.create(model="gemini-3.8-flash")
    list(chat.send_message_stream("Hello"))
    list(
        chat.send_message_stream(
            [
                types.Part.from_function_response(name="look", response={"output": "1"}),
                types.Part.from_function_response(name="wait", response={"output": "2"}),
            ]
        )
    )
    ours, theirs = (
        [part for content in model_server.requests[number].json["contents"] for part in content["parts"]]
        for number in (1, 3)
    )
    kept = [part for part in normal(theirs) if "functionCall" in part]
    assert [part for part in ours if "functionCall" in part] == kept
    assert kept[0]["thoughtSignature"]


class TestCarrier:
    def test_the_same_bytes_leave(self, model_server: ModelServer) -> None:
        plain = request(endpoint_of(model_server), user("Grüße", PNG), tools=TOOLS)
        outcomes = ask(plain, msgspec.structs.replace(plain, endpoint=endpoint_of(model_server, carrier="sdk")))
        assert [outcome.text for outcome in outcomes] == ["OK", "OK"]
        first, second = model_server.requests
        assert first.body == second.body == encode(plain)
        assert (first.path, first.headers["x-goog-api-key"]) == (second.path, second.headers["x-goog-api-key"])

    def test_the_environments_keys_are_not_used(
        self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
            monkeypatch.setenv(name, "of-somebody-else")
        monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-somebody-else")
        (outcome,) = ask(request(endpoint_of(model_server, carrier="sdk")))
        assert outcome.text == "OK"
        (seen,) = model_server.requests
        assert seen.headers["x-goog-api-key"] == KEY
        assert "of-somebody-else" not in f"{seen.path} {seen.headers}"
        keyless = msgspec.structs.replace(endpoint_of(model_server, carrier="sdk"), key="")
        with pytest.raises(ConfigError, match="needs a key"):
            ask(request(keyless))
        assert len(model_server.requests) == 1

    def test_it_tries_once(self, model_server: ModelServer) -> None:
        model_server.script(Fail(503), "never")
        (outcome,) = ask(request(endpoint_of(model_server, carrier="sdk")))
        assert type(outcome.error) is Overloaded
        assert len(model_server.requests) == 1

    def test_another_version_of_the_library_is_named(
        self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(private.BaseApiClient, "_async_request")
        with pytest.raises(ConfigError, match=genai.__version__) as raised:
            ask(request(endpoint_of(model_server, carrier="sdk")))
        assert "pip install" in raised.value.hint
        assert not model_server.requests

    def test_each_exception_of_the_library_is_one_of_ours(self) -> None:
        found = {
            kind
            for module in (errors, private)
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Exception)
            and not issubclass(kind, Warning)
            and kind.__module__.startswith("google.genai")
        }
        assert {"APIError", "ClientError", "ServerError"} <= {kind.__name__ for kind in found}
        known = [kind for kind, *_ in sdk.SdkCarrier.failures]
        unmapped = {kind for kind in found if not issubclass(kind, tuple(known))}
        assert not unmapped
        for number, kind in enumerate(known):
            assert not issubclass(kind, tuple(known[:number])), f"{kind} is never reached"
        endpoint = Endpoint(provider="gemini", base_url="http://x.test", key=KEY)
        for kind in found:
            failure = client_failure(made(kind), endpoint, sdk.SdkCarrier.failures)
            assert failure.provider == "gemini"
            assert failure.code == kind.__name__
            assert failure.hint
            assert KEY not in str(failure)


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, errors.APIError):
        return kind(500, {"error": {"message": f"of {KEY}"}})
    return kind(f"of {KEY}")


CHILD = """
import asyncio, sys
from hermes import Endpoint, HermesError, Message, ModelRequest, TextPart
BLOCKED = {blocked!r}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(BLOCKED):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
if BLOCKED:
    sys.meta_path.insert(0, Finder())
from hermes_plugin_gemini import provide
(provision,) = provide()
assert not {{"httpx2", "hermes_plugin_gemini.provider"}} & set(sys.modules)
async def main():
    provider = provision.make()
    endpoint = Endpoint(provider="acme", base_url={url!r}, **{more!r})
    messages = (Message(role="user", parts=(TextPart("x"),)),)
    asked = ModelRequest(id="r", session_id="s", turn_id="t", model="m", messages=messages, endpoint=endpoint)
    try:
        async for event in provider.stream(asked): pass
        print(type(event).__name__)
    except HermesError as error:
        print(type(error).__name__, error, error.hint)
    await provider.close()
asyncio.run(main())
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("google", "pydantic", "requests")))
"""


def child(url: str, blocked: str = "", **more: Any) -> list[str]:
    source = CHILD.format(url=url, blocked=blocked, more=more)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_with_a_key_nothing_of_google_is_imported(model_server: ModelServer) -> None:
    assert child(f"{model_server.root}/v1beta", key=KEY) == ["ModelFinished", ""]


def test_without_the_library_the_carrier_says_what_to_install(model_server: ModelServer) -> None:
    said, _ = child(f"{model_server.root}/v1beta", blocked="google.genai", key=KEY, carrier="sdk")
    assert said.startswith("ConfigError")
    assert 'pip install "hermes-plugin-gemini[sdk]"' in said
    assert not model_server.requests


def test_without_google_auth_an_account_says_what_to_install(model_server: ModelServer) -> None:
    options = {"credentials": "/no/such/file"}
    said, _ = child(f"{model_server.root}/v1/projects/p/locations/l/publishers/google", "google.auth", options=options)
    assert said.startswith("ConfigError")
    assert 'pip install "hermes-plugin-gemini[vertex]"' in said
    assert not model_server.requests
