"""`BedrockConverse` over real connections: what is tried again another way, what is learnt, and the lists of models."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from hermes import (
    BadRequest,
    Endpoint,
    Message,
    ModelEvent,
    ModelFinished,
    ModelNotFound,
    ModelRequest,
    ModelsQuery,
    NotEntitled,
    Overloaded,
    ProviderError,
    ProviderState,
    RateLimited,
    ResponseFormat,
    SystemBlock,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolSpec,
)
from hermes_plugin_bedrock.provider import BedrockConverse
from hermes_testkit.model_server import Call, Cut, ErrorChunk, Fail, ModelServer, Say, SeenRequest
from hermes_testkit.provider_cases import result

KEY = "ABSK-a-secret-key"
OPUS = "anthropic.claude-opus-5-5"
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
WANTED = ResponseFormat(name="r", json_schema={"type": "object"})


def request(server: ModelServer, *messages: Message, model: str = OPUS, **more: Any) -> ModelRequest:
    region, quirks = more.pop("region", "eu-west-1"), more.pop("quirks", {})
    endpoint = Endpoint(
        provider="bedrock", base_url=server.root, key=KEY, options={"region": region}, quirks=quirks, carrier="http"
    )
    asked = messages or (Message(role="user", parts=(TextPart("Hello"),)),)
    return ModelRequest(id="r1", session_id="s", turn_id="t", endpoint=endpoint, model=model, messages=asked, **more)


def ask(*requests: ModelRequest) -> list[list[ModelEvent] | ProviderError]:
    """One provider asked several times."""

    async def work() -> list[list[ModelEvent] | ProviderError]:
        provider = BedrockConverse()
        answers: list[list[ModelEvent] | ProviderError] = []
        for asked in requests:
            try:
                answers.append([event async for event in provider.stream(asked)])
            except ProviderError as error:
                answers.append(error)
        await provider.close()
        return answers

    return asyncio.run(work())


def said(answer: list[ModelEvent] | ProviderError) -> str:
    assert isinstance(answer, list), answer
    assert isinstance(answer[-1], ModelFinished)
    return "".join(event.text for event in answer if isinstance(event, TextDelta))


def models_called(server: ModelServer) -> list[str]:
    return [seen.route.removeprefix("/model/").rpartition("/")[0] for seen in server.requests]


def only(*allowed: str) -> Callable[[SeenRequest], Any]:
    """Bedrock, where a model can be called by these ids."""

    def answer(seen: SeenRequest) -> Any:
        called = seen.route.split("/")[2]
        if called in allowed:
            return Say(called)
        if "." in called and called.split(".")[0] in ("eu", "us", "jp", "apac", "global"):
            return Fail(400, message="The provided model identifier is invalid.")
        sentence = f"Invocation of model ID {called} with on-demand throughput isn’t supported. Retry your request …"
        return Fail(400, message=sentence)

    return answer


@pytest.mark.parametrize(
    ("region", "served", "called"),
    [
        ("eu-west-1", f"eu.{OPUS}", [OPUS, f"eu.{OPUS}"]),
        ("us-east-1", f"us.{OPUS}", [OPUS, f"us.{OPUS}"]),
        ("ap-northeast-1", f"apac.{OPUS}", [OPUS, f"jp.{OPUS}", f"apac.{OPUS}"]),
    ],
)
def test_a_bare_id_is_called_by_the_profile_of_its_geography_and_that_is_remembered(
    model_server: ModelServer, region: str, served: str, called: list[str]
) -> None:
    model_server.default = only(served)
    asked = request(model_server, region=region)
    first, second = ask(asked, asked)
    assert said(first) == said(second) == served
    assert models_called(model_server) == [*called, served]
    assert isinstance(first, list)
    assert isinstance(first[-1], ModelFinished)
    assert first[-1].model == served


@pytest.mark.parametrize("model", [f"us.{OPUS}", f"arn:aws:bedrock:us-east-1:1:inference-profile/us.{OPUS}"])
def test_what_is_no_bare_id_is_never_rewritten(model_server: ModelServer, model: str) -> None:
    model_server.default = Fail(400, message="… with on-demand throughput isn’t supported. …")
    (error,) = ask(request(model_server, model=model))
    assert isinstance(error, ModelNotFound)
    assert models_called(model_server) == [model]


def test_a_model_of_no_profile_here_names_the_ids_that_may_work(model_server: ModelServer) -> None:
    model_server.default = only(f"global.{OPUS}")
    (error,) = ask(request(model_server))
    assert isinstance(error, ModelNotFound)
    assert "on-demand throughput" in str(error)
    assert f"eu.{OPUS} or global.{OPUS}" in error.hint
    assert models_called(model_server) == [OPUS, f"eu.{OPUS}"]


def test_global_is_called_only_where_it_is_allowed(model_server: ModelServer) -> None:
    model_server.default = only(f"global.{OPUS}")
    (answer,) = ask(request(model_server, quirks={"allow_global": True}))
    assert said(answer) == f"global.{OPUS}"


def test_what_went_wrong_with_the_profile_is_told(model_server: ModelServer) -> None:
    model_server.script(only(), Fail(403, message="You don't have access to the model with the specified model ID."))
    (error,) = ask(request(model_server))
    assert isinstance(error, NotEntitled)
    assert "modelaccess" in error.hint


def in_body(text: str, fail: Fail) -> Callable[[SeenRequest], Any]:
    """Refuses requests with these bytes."""
    return lambda seen: fail if text.encode() in seen.body else Say("done")


ALL = {"cache": ["system", "tools", "messages"], "thinking": "adaptive"}
EXTRANEOUS = "Malformed input request: #/{}: extraneous key [cachePoint] is not permitted, please reformat your input"


def places(seen: SeenRequest) -> list[str]:
    body = seen.json
    return [name for name in ("system", "toolConfig", "messages") if "cachePoint" in str(body[name])]


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (EXTRANEOUS.format("toolConfig/tools/1"), ["system", "messages"]),
        (EXTRANEOUS.format("system/1"), ["toolConfig", "messages"]),
        (EXTRANEOUS.format("messages/0/content/1"), ["system", "toolConfig"]),
        (EXTRANEOUS.format("x"), []),
        ("You invoked an unsupported model or your request did not allow prompt caching.", []),
    ],
)
def test_a_cache_point_that_is_refused_is_left_out_from_then_on(
    model_server: ModelServer, message: str, left: list[str]
) -> None:
    model_server.script(Fail(400, message=message))
    asked = request(model_server, quirks=ALL, system=(SystemBlock(name="a", text="s"),), tools=(LOOK,))
    assert [said(answer) for answer in ask(asked, asked)] == ["OK", "OK"]
    assert [places(seen) for seen in model_server.requests] == [["system", "toolConfig", "messages"], left, left]


def test_thinking_of_another_key_is_stripped_for_that_request_only(model_server: ModelServer) -> None:
    encrypted = "ValidationException: Failed to decrypt the encrypted or redacted content"
    model_server.default = in_body("a-signature", Fail(400, message=encrypted))
    asked = request(model_server)
    layout = '{"content": [{"reasoningText": {"text": "hm", "signature": "a-signature"}}, {"text": 1}]}'
    state = ProviderState(provider="bedrock", model=OPUS, endpoint=model_server.root, data=layout)
    history = (
        *asked.messages,
        Message(role="assistant", parts=(TextPart("x"),), provider_state=(state,)),
        *asked.messages,
    )
    asked = request(model_server, *history)
    assert [said(answer) for answer in ask(asked, asked)] == ["done", "done"]
    assert [b"a-signature" in seen.body for seen in model_server.requests] == [True, False, True, False]


DENIED = "User: x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: y"


@pytest.mark.parametrize(
    "fail", [Fail(403, message=DENIED), Fail(400, message="This model doesn't support tool use in streaming mode.")]
)
def test_who_may_not_stream_is_answered_whole(model_server: ModelServer, fail: Fail) -> None:
    model_server.default = lambda seen: fail if seen.route.endswith("-stream") else [Say("whole"), Call("look", id="t")]
    asked = request(model_server, tools=(LOOK,))
    assert [said(answer) for answer in ask(asked, asked)] == ["whole", "whole"]
    assert [seen.route.rpartition("/")[2] for seen in model_server.requests] == [
        "converse-stream",
        "converse",
        "converse",
    ]
    assert model_server.requests[1].headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("refused", "message", "more"),
    [
        ('"system":', "This model doesn't support system messages. Try again.", {}),
        ("toolConfig", "This model doesn't support tool use.", {}),
        ('"maxTokens":8192', "The maximum tokens you requested exceeds the model limit of 4096. Try again.", {}),
        ('"maxTokens":8192', "Malformed input request: #/max_gen_len: 8192 is not less or equal to 2048", {}),
        ("temperature", "The model returned the following errors: `temperature` is deprecated for this model.", {}),
        ("effort", "outputConfig.effort is not supported", {"reasoning_effort": "high", "quirks": ALL}),
        ("adaptive", "Expected `thinking`, but found `tool_use`.", {"reasoning_effort": "high", "quirks": ALL}),
        ("textFormat", "outputConfig.textFormat is not supported by this model", {"response_format": WANTED}),
    ],
)
def test_what_a_model_does_not_take_is_left_out(
    model_server: ModelServer, refused: str, message: str, more: dict[str, Any]
) -> None:
    model_server.default = in_body(refused, Fail(400, message=message))
    system = (SystemBlock(name="a", text="s"),)
    (answer,) = ask(request(model_server, temperature=0.5, system=system, tools=(LOOK,), **more))
    assert said(answer) == "done"
    assert len(model_server.requests) == 2


def test_each_thing_is_tried_once(model_server: ModelServer) -> None:
    model_server.default = Fail(400, message="`temperature` is deprecated for this model.")
    (error,) = ask(request(model_server, temperature=0.5))
    assert isinstance(error, BadRequest)
    assert len(model_server.requests) == 2


def test_a_limit_of_the_users_own_is_not_changed(model_server: ModelServer) -> None:
    model_server.default = Fail(400, message="The maximum tokens you requested exceeds the model limit of 4096.")
    (error,) = ask(request(model_server, max_tokens=9000))
    assert isinstance(error, BadRequest)
    assert len(model_server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ([Say("a b"), ErrorChunk("This model doesn't support system messages", "validationException")], BadRequest),
        (Fail(429, message="temperature is high"), RateLimited),
        (Fail(503), Overloaded),
    ],
)
def test_nothing_is_tried_again_after_words_or_for_other_errors(
    model_server: ModelServer, reply: Any, kind: type[ProviderError]
) -> None:
    model_server.script(reply)
    (error,) = ask(request(model_server, temperature=0.5))
    assert isinstance(error, kind)
    assert len(model_server.requests) == 1


def test_what_is_learnt_of_one_model_is_not_believed_of_another(model_server: ModelServer) -> None:
    model_server.script(Fail(400, message="`temperature` is deprecated for this model."))
    ask(request(model_server, temperature=0.5), request(model_server, model="deepseek.v3.2", temperature=0.5))
    assert [b"temperature" in seen.body for seen in model_server.requests] == [True, False, True]


def test_half_an_answer_that_is_whole_is_broken(model_server: ModelServer) -> None:
    model_server.default = [Say("one two three"), Cut()]
    (error,) = ask(request(model_server, quirks={"stream": False}))
    assert isinstance(error, ProviderError)


def test_a_conversation_with_tools_goes_round(model_server: ModelServer) -> None:
    model_server.script([Say("Looking."), Call("look", {"place": "x"}, id="t1")], "It is there.")
    call = ToolCallPart(id="t1", name="look", arguments='{"place":"x"}')
    first = request(model_server, tools=(LOOK,))
    history = (*first.messages, Message(role="assistant", parts=(TextPart("Looking."), call)), result(call, "seen"))
    answers = ask(first, request(model_server, *history, tools=(LOOK,)))
    assert [said(answer) for answer in answers] == ["Looking.", "It is there."]
    assert model_server.requests[1].headers["authorization"] == f"Bearer {KEY}"


def models_of(url: str, **options: str) -> list[str]:
    async def work() -> list[str]:
        provider = BedrockConverse()
        query = ModelsQuery(endpoint=Endpoint(provider="bedrock", base_url=url, key=KEY, options=options))
        try:
            return [model.id for model in (await provider.models(query)).models]
        finally:
            await provider.close()

    return asyncio.run(work())


def test_models_and_profiles_are_listed(model_server: ModelServer) -> None:
    model_server.models = [
        "deepseek.v3.2",
        {"id": OPUS, "inferenceTypesSupported": ["INFERENCE_PROFILE"]},
        {"id": "amazon.titan-embed", "outputModalities": ["EMBEDDING"]},
        {"inferenceProfileId": f"us.{OPUS}", "status": "ACTIVE"},
    ]
    assert models_of(model_server.root) == ["deepseek.v3.2", f"us.{OPUS}"]
    assert [seen.path for seen in model_server.other_requests] == [
        "/foundation-models",
        "/inference-profiles?maxResults=1000",
    ]
    assert {seen.headers["authorization"] for seen in model_server.other_requests} == {f"Bearer {KEY}"}


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
from hermes_plugin_bedrock.provider import BedrockConverse
async def main():
    provider = BedrockConverse()
    messages = (Message(role="user", parts=(TextPart("x"),)),)
    asked = ModelRequest(id="r", session_id="s", turn_id="t", model="m", messages=messages, endpoint=ENDPOINT)
    try:
        async for event in provider.stream(asked): pass
        print(type(event).__name__)
    except HermesError as error:
        print(type(error).__name__, error, error.hint)
    await provider.close()
"""


def test_with_a_key_nothing_of_amazons_library_is_imported(model_server: ModelServer) -> None:
    source = (
        f"{ASK}\nURL = {model_server.root!r}\n"
        "ENDPOINT = Endpoint(provider='b', base_url=URL, key='k', options={'profile': 'x'})\n"
        "asyncio.run(main())\nprint([name for name in sys.modules if name.startswith('boto')])"
    )
    assert program(source).splitlines() == ["ModelFinished", "[]"]


def test_without_amazons_library_the_line_that_installs_it_is_told(model_server: ModelServer) -> None:
    source = (
        f"{ASK}\nsys.modules['botocore'] = None\nENDPOINT = Endpoint(provider='b', base_url={model_server.root!r}, "
        "options={'access_key': 'A', 'secret_key': 'B'})\nasyncio.run(main())"
    )
    told = program(source)
    assert told.startswith("ConfigError")
    assert 'pip install "hermes-plugin-bedrock[sdk]"' in told
    assert model_server.requests == []


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    source = (
        "import sys, hermes_plugin_bedrock as plugin\n"
        "(provision,) = plugin.provide()\n"
        "assert not {'httpx2', 'asyncio', 'hermes_plugin_bedrock.codec'} & set(sys.modules)\n"
        "print(provision.contract, provision.name, type(provision.make()).__name__)"
    )
    assert program(source) == "transport bedrock_converse BedrockConverse"
