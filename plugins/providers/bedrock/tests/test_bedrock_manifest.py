"""The provider as its manifest has it, through the kernel: addresses, keys, and what is known of each model."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import hermes_plugin_bedrock
from hermes import Message, ModelEvent, ModelFinished, ModelRequest, TextDelta, TextPart
from hermes.models.router import Target
from hermes.plugins.manifest import read_manifest
from hermes_plugin_bedrock.quirks import Quirks
from hermes_testkit.model_server import ModelServer
from hermes_testkit.scripted import make_app

TOKEN = {"AWS_BEARER_TOKEN_BEDROCK": "ABSK-a-secret-key"}
MANIFEST = read_manifest(Path(hermes_plugin_bedrock.__file__).with_name("plugin.yaml"))
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu."


def targets(home: Path, environ: dict[str, str], *models: str, provider: str = "bedrock") -> list[Target]:
    async def work() -> list[Target]:
        overrides = {"model": {"provider": ""}}
        async with make_app(home, only=["bedrock"], environ=environ, overrides=overrides) as app:
            return [await app.router.target(app.scope, provider=provider, model=model) for model in models]

    return asyncio.run(work())


@pytest.mark.parametrize("alias", ["bedrock", "aws", "aws-bedrock", "amazon-bedrock", "amazon"])
def test_it_has_many_names(home: Path, alias: str) -> None:
    (target,) = targets(home, TOKEN, "", provider=alias)
    assert (target.provider, target.model) == ("bedrock", "anthropic.claude-sonnet-4-6")
    assert target.spec.transport == "bedrock_converse"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        (
            {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "eu-west-1"},
            "https://bedrock-runtime.us-west-2.amazonaws.com",
        ),
        ({"BEDROCK_BASE_URL": "https://proxy.test/aws"}, "https://proxy.test/aws"),
    ],
)
def test_the_region_is_in_the_address(home: Path, environ: dict[str, str], url: str) -> None:
    (target,) = targets(home, {**TOKEN, **environ}, "")
    assert target.endpoint.base_url == url
    assert target.endpoint.key == TOKEN["AWS_BEARER_TOKEN_BEDROCK"]


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            {"access_key": "AKIA", "secret_key": "s", "session_token": "t"},
        ),
        ({"AWS_PROFILE": "work"}, {"profile": "work"}),
        ({"AWS_ROLE_ARN": "arn:x"}, {"role": "arn:x"}),
    ],
)
def test_what_amazons_tools_use_serves_as_a_key(home: Path, environ: dict[str, str], options: dict[str, str]) -> None:
    (target,) = targets(home, environ, "", provider="")
    assert (target.provider, target.endpoint.key) == ("bedrock", "")
    assert target.endpoint.options == {"region": "us-east-1", **options}


ALL = ("system", "tools", "messages")
LEVELS = ("low", "medium", "high", "xhigh", "max")


CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "us.anthropic.claude-opus-5-5",
        {"thinking": "always", "thinking_display": True, "temperature": False, "efforts": LEVELS, "cache": ALL},
    ),
    ("anthropic.claude-sonnet-5-5", {"thinking": "adaptive", "schema": "native", "max_tokens": 16384}),
    (PROFILE + "anthropic.claude-fable-5-1", {"thinking": "always", "temperature": False}),
    ("global.anthropic.claude-opus-4-7", {"thinking": "adaptive", "temperature": False, "efforts": LEVELS}),
    (
        "us.anthropic.claude-sonnet-4-6",
        {"thinking": "adaptive", "thinking_display": False, "temperature": True, "efforts": (*LEVELS[:3], "max")},
    ),
    ("anthropic.claude-opus-4-6-v1", {"thinking": "adaptive", "temperature": True}),
    (
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        {"thinking": "budget", "schema": "native", "temperature": True, "cache": ALL},
    ),
    ("anthropic.claude-opus-4-1-20250805-v1:0", {"thinking": "budget", "schema": "tool", "cache": ALL}),
    ("apac.anthropic.claude-sonnet-4-20250514-v1:0", {"thinking": "budget", "schema": "tool"}),
    ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", {"thinking": "budget", "schema": "tool", "cache": ALL}),
    ("anthropic.claude-3-5-haiku-20241022-v1:0", {"thinking": "", "cache": ALL, "max_tokens": 4096}),
    ("anthropic.claude-3-haiku-20240307-v1:0", {"thinking": "", "cache": (), "schema": "tool"}),
    ("us.amazon.nova-pro-v1:0", {"cache": ("system", "messages"), "schema": "tool", "thinking": ""}),
    ("amazon.nova-2-lite-v1:0", {"cache": ("system", "messages"), "thinking": "reasoning_config"}),
    ("us.deepseek.r1-v1:0", {"tools": False, "schema": "prompt", "cache": ()}),
    ("deepseek.v3.2", {"tools": True, "schema": "native", "cache": (), "temperature": True}),
    ("zai.glm-5", {"tools": True, "cache": ()}),
    ("openai.gpt-oss-120b-1:0", {"thinking": "effort"}),
    ("xai.grok-4", {"temperature": False}),
    ("us.meta.llama3-3-70b-instruct-v1:0", {"schema": "prompt", "max_tokens": 2048, "tools": True}),
    ("us.meta.llama4-maverick-17b-instruct-v1:0", {"schema": "prompt", "max_tokens": 4096}),
    ("mistral.mixtral-8x7b-instruct-v0:1", {"system": False, "tools": False}),
    ("mistral.mistral-large-3", {"system": True, "tools": True}),
    ("amazon.titan-text-express-v1", {"system": False, "tools": False}),
]


@pytest.fixture(scope="module")
def quirks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Quirks]:
    models = [model for model, _ in CASES]
    found = targets(tmp_path_factory.mktemp("home"), TOKEN, *models)
    return {target.model: Quirks.of(target.endpoint) for target in found}


@pytest.mark.parametrize(("model", "expected"), CASES)
def test_each_model_is_asked_in_its_way(quirks: dict[str, Quirks], model: str, expected: dict[str, Any]) -> None:
    assert {name: getattr(quirks[model], name) for name in expected} == expected


def test_a_model_answers_through_the_kernel(home: Path, model_server: ModelServer) -> None:
    async def work() -> list[ModelEvent]:
        environ = {**TOKEN, "BEDROCK_BASE_URL": model_server.root}
        async with make_app(home, only=["bedrock"], environ=environ, overrides={"model": {"provider": ""}}) as app:
            target = await app.router.target(app.scope, model="us.anthropic.claude-opus-5-5")
            provider = await app.router.provider(target)
            request = ModelRequest(
                id="r",
                session_id="s",
                turn_id="t",
                endpoint=target.endpoint,
                model=target.model,
                messages=(Message(role="user", parts=(TextPart("Hello"),)),),
                reasoning_effort="xhigh",
            )
            return [event async for event in provider.stream(request)]

    model_server.script("Good morning")
    events = asyncio.run(work())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Good morning"
    assert isinstance(events[-1], ModelFinished)
    body = model_server.requests[0].json
    assert body["outputConfig"] == {"effort": "xhigh"}
    assert body["messages"][0]["content"][-1] == {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("ABSKQmVkcm9ja0FQSUtleS0xMjM0NTY3ODk=", True),
        ("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249", True),
        ("AKIAIOSFODNN7EXAMPLE", True),
        ("ASIAIOSFODNN7EXAMPLE", True),
        ("bedrock-api-key-short", False),
        ("AKIAis-a-word", False),
    ],
)
def test_keys_are_known_by_their_shape(text: str, secret: bool) -> None:
    assert any(re.search(pattern, f"key={text} ") for pattern in MANIFEST.secret_patterns) is secret
