"""The bodies that are sent: byte for byte, and as prefixes of one another."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import (
    BadRequest,
    ConfigError,
    Endpoint,
    Message,
    ModelRequest,
    ProviderState,
    ResponseFormat,
    SystemBlock,
    ThinkingPart,
    ToolCallPart,
    ToolSpec,
)
from hermes_plugin_gemini.codec import GeminiCodec, encode
from hermes_testkit.provider_cases import assistant, result, user

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1beta", key="a-secret")
OLD = {"thinking": "budget", "signatures": False, "result_images": False, "schema_with_tools": False}
PLAIN = {"thinking": "none", "signatures": False}
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
SKIP = "skip_thought_signature_validator"


def request(*messages: Message, quirks: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    endpoint = msgspec.structs.replace(ENDPOINT, quirks=PLAIN if quirks is None else quirks)
    fields: dict[str, Any] = {"id": "r1", "session_id": "s", "turn_id": "t", "model": "a-model", **more}
    return ModelRequest(endpoint=endpoint, messages=messages or (user("Hi"),), **fields)


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(request(*messages, **more)))
    return decoded


def contents(*messages: Message, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(*messages, **more)["contents"]
    return found


def state(*parts: dict[str, Any], model: str = "a-model") -> ProviderState:
    data = json.dumps({"parts": parts})
    return ProviderState(provider="acme", model=model, endpoint=ENDPOINT.base_url, data=data)


def call(name: str = "look", call_id: str = "c1", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def test_a_conversation_byte_for_byte() -> None:
    sent = request(
        user("Look!"),
        assistant(ThinkingPart("hm"), "So be it.", call(arguments='{"at": 1.0}'), call("wait", "c2")),
        result(call(), "a tree"),
        result(call("wait", "c2"), "no time", is_error=True),
        system=(SystemBlock(name="a", text="Be brief."), SystemBlock(name="b", text="Be kind.")),
        tools=(LOOK,),
        max_tokens=100,
        quirks={},
    )
    assert encode(sent) == (
        b'{"systemInstruction":{"parts":[{"text":"Be brief."},{"text":"Be kind."}]},'
        b'"tools":[{"functionDeclarations":[{"name":"look","description":"Looks.",'
        b'"parametersJsonSchema":{"type":"object","properties":{}}}]}],'
        b'"generationConfig":{"maxOutputTokens":100,"thinkingConfig":{"includeThoughts":true}},'
        b'"contents":[{"role":"user","parts":[{"text":"Look!"}]},'
        b'{"role":"model","parts":[{"text":"So be it."},'
        b'{"functionCall":{"id":"c1","name":"look","args":{"at": 1.0}},'
        b'"thoughtSignature":"skip_thought_signature_validator"},'
        b'{"functionCall":{"id":"c2","name":"wait","args":{}}}]},'
        b'{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"look","response":{"output":"a tree"}}},'
        b'{"functionResponse":{"id":"c2","name":"wait","response":{"error":"no time"}}}]}]}'
    )


def test_where_it_goes() -> None:
    codec = GeminiCodec()
    assert codec.path(request()) == "/models/a-model:streamGenerateContent?alt=sse"
    assert codec.path(request(model="models/x")) == "/models/x:streamGenerateContent?alt=sse"
    assert codec.path(request(model="tunedModels/my one")) == "/tunedModels/my%20one:streamGenerateContent?alt=sse"
    assert codec.headers(ENDPOINT) == {"x-goog-api-key": "a-secret"}
    assert codec.headers(msgspec.structs.replace(ENDPOINT, token=True)) == {"authorization": "Bearer a-secret"}
    assert codec.headers(msgspec.structs.replace(ENDPOINT, key="")) == {}


def test_neighbours_of_one_role_are_one_content_with_the_parts_of_each() -> None:
    assert contents(user("a"), user("b", "c"), assistant("d"), assistant("e"), user("f")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "model", "parts": [{"text": "d"}, {"text": "e"}]},
        {"role": "user", "parts": [{"text": "f"}]},
    ]


def test_results_are_one_content_in_the_order_of_their_calls_apart_from_what_the_user_says() -> None:
    one, two = call(call_id="c1"), call("wait", "c2")
    sent = contents(user("a"), assistant(one, two), result(two, "2"), result(one, "1"), user("Go on"))
    assert [[part["functionResponse"]["id"] for part in sent[2]["parts"]], sent[3]] == [
        ["c1", "c2"],
        {"role": "user", "parts": [{"text": "Go on"}]},
    ]


def test_what_says_nothing_is_left_out() -> None:
    """Google refuses contents without parts and texts without a character."""
    assert contents(user("a"), assistant(ThinkingPart("hm")), user("", "b")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}
    ]
    assert "systemInstruction" not in body(system=(SystemBlock(name="a", text=""),))


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", b"{}"),
        (" ", b"{}"),
        ('{"a": 12345678901234567890123}', b'{"a": 12345678901234567890123}'),
        ('{"a": ', b'{"arguments":"{\\"a\\": "}'),
        ("[1]", b'{"arguments":"[1]"}'),
        ("null", b'{"arguments":"null"}'),
    ],
)
def test_arguments_go_out_as_they_were_written(arguments: str, args: bytes) -> None:
    encoded = encode(request(user("a"), assistant(call(arguments=arguments)), result(call(), "x")))
    assert b'"args":' + args + b"}" in encoded


def test_names_that_google_refuses_are_mapped_everywhere_the_same() -> None:
    names = ["mcp.files/read", "1st", "x" * 80]
    tools = tuple(ToolSpec(name=name, description="", parameters={"type": "object"}) for name in names)
    calls = [call(name, f"c{number}") for number, name in enumerate(names)]
    history = (user("a"), assistant(*calls), *(result(made, "x") for made in calls))
    sent = body(*history, tools=tools)
    declared = [function["name"] for function in sent["tools"][0]["functionDeclarations"]]
    assert [part["functionCall"]["name"] for part in sent["contents"][1]["parts"]] == declared
    assert [part["functionResponse"]["name"] for part in sent["contents"][2]["parts"]] == declared
    assert len(set(declared)) == 3
    assert all(name[0].isalpha() and len(name) <= 64 and name.replace("_", "").isalnum() for name in declared)


def test_without_ids_results_belong_to_calls_by_their_order() -> None:
    one, two = call(call_id="c1"), call(call_id="c2")
    sent = contents(user("a"), assistant(one, two), result(two, "2"), result(one, "1"), quirks={"call_ids": False})
    assert sent[1]["parts"][0]["functionCall"] == {"name": "look", "args": {}}
    assert [part["functionResponse"] for part in sent[2]["parts"]] == [
        {"name": "look", "response": {"output": "1"}},
        {"name": "look", "response": {"output": "2"}},
    ]


class TestSignatures:
    def test_each_goes_back_on_exactly_its_part_in_order(self) -> None:
        kept = state(
            {"thought": "hm", "thoughtSignature": "T"},
            {"text": 2},
            {"text": 3, "thoughtSignature": "S"},
            {"call": "c2", "thoughtSignature": "C"},
            {"part": {"executableCode": {"code": "1+1", "language": "PYTHON"}}},
            {"call": "c1"},
            {"text": 0, "thoughtSignature": "E"},
        )
        said = assistant(ThinkingPart("hm"), "a 世cd", call(), call("wait", "c2"), state=(kept,))
        assert contents(user("x"), said, quirks={})[1]["parts"] == [
            {"text": "hm", "thought": True, "thoughtSignature": "T"},
            {"text": "a "},
            {"text": "世cd", "thoughtSignature": "S"},
            {"functionCall": {"id": "c2", "name": "wait", "args": {}}, "thoughtSignature": "C"},
            {"executableCode": {"code": "1+1", "language": "PYTHON"}},
            {"functionCall": {"id": "c1", "name": "look", "args": {}}},
            {"text": "", "thoughtSignature": "E"},
        ]

    @pytest.mark.parametrize("said", ["another text", "ab!", ""])
    def test_of_a_text_that_was_replaced_only_those_of_calls_go_back(self, said: str) -> None:
        kept = state({"text": 2, "thoughtSignature": "S"}, {"call": "c1", "thoughtSignature": "C"})
        parts = contents(user("x"), assistant(said, call(), state=(kept,)), quirks={})[1]["parts"]
        assert parts[:-1] == ([{"text": said}] if said else [])
        assert parts[-1]["thoughtSignature"] == "C"

    def test_a_call_that_is_not_there_any_more_takes_its_signature_with_it(self) -> None:
        kept = state({"call": "c1", "thoughtSignature": "C"}, {"call": "c2"})
        parts = contents(user("x"), assistant(call("wait", "c2"), state=(kept,)), quirks={})[1]["parts"]
        assert [part["thoughtSignature"] for part in parts] == [SKIP]

    def test_those_of_another_model_do_not_go_out(self) -> None:
        kept = state({"text": 1, "thoughtSignature": "S"}, {"call": "c1", "thoughtSignature": "C"}, model="other")
        sent = contents(user("x"), assistant("a", call(), state=(kept,)), quirks={})
        assert sent[1]["parts"][0] == {"text": "a"}
        assert sent[1]["parts"][1]["thoughtSignature"] == SKIP

    def test_the_first_call_of_each_step_has_a_stand_in(self) -> None:
        steps = [(call(call_id=f"a{n}"), call(call_id=f"b{n}")) for n in range(2)]
        history = [user("x")]
        for one, two in steps:
            history += [assistant(one, two), result(one, "1"), result(two, "2")]
        models = [content for content in contents(*history, quirks={}) if content["role"] == "model"]
        signed = [[part.get("thoughtSignature") for part in content["parts"]] for content in models]
        assert signed == [[SKIP, None], [SKIP, None]]

    def test_a_model_that_demands_none_gets_none(self) -> None:
        sent = contents(user("x"), assistant(call()), result(call(), "1"), quirks=OLD)
        assert sent[1]["parts"] == [{"functionCall": {"id": "c1", "name": "look", "args": {}}}]


class TestThinking:
    @pytest.mark.parametrize(
        ("effort", "level"),
        [
            ("minimal", "LOW"),
            ("low", "LOW"),
            ("medium", "MEDIUM"),
            ("high", "HIGH"),
            ("xhigh", "HIGH"),
            ("max", "HIGH"),
        ],
    )
    def test_an_effort_is_the_nearest_level(self, effort: str, level: str) -> None:
        config = body(reasoning_effort=effort, quirks={})["generationConfig"]["thinkingConfig"]
        assert config == {"includeThoughts": True, "thinkingLevel": level}

    def test_a_level_that_the_model_lacks_becomes_the_next_higher(self) -> None:
        config = body(reasoning_effort="medium", quirks={"levels": ["low", "high"]})["generationConfig"]
        assert config["thinkingConfig"]["thinkingLevel"] == "HIGH"
        every = {"levels": ["minimal", "low", "medium", "high"]}
        config = body(reasoning_effort="none", quirks=every)["generationConfig"]
        assert config["thinkingConfig"] == {"includeThoughts": False, "thinkingLevel": "MINIMAL"}

    @pytest.mark.parametrize(
        ("effort", "budget", "tokens"),
        [
            ("none", (0, 24576), 0),
            ("none", (128, 32768), 128),
            ("minimal", (0, 24576), 512),
            ("low", (0, 24576), 1024),
            ("medium", (0, 24576), 8192),
            ("max", (0, 24576), 24576),
            ("max", (128, 32768), 32768),
        ],
    )
    def test_older_models_get_a_budget(self, effort: str, budget: tuple[int, int], tokens: int) -> None:
        config = body(reasoning_effort=effort, quirks={**OLD, "budget": list(budget)})["generationConfig"]
        assert config["thinkingConfig"]["thinkingBudget"] == tokens
        assert "thinkingLevel" not in config["thinkingConfig"]

    def test_without_an_effort_the_vendors_default_holds_and_thoughts_are_shown(self) -> None:
        assert body(quirks={})["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}}
        assert body(quirks=OLD)["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}}

    def test_a_model_that_does_not_think_is_not_asked_to(self) -> None:
        assert "generationConfig" not in body(reasoning_effort="high", quirks={"thinking": "none"})

    def test_an_effort_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(BadRequest, match='no reasoning effort "hard"') as raised:
            encode(request(reasoning_effort="hard"))
        assert "medium" in raised.value.hint


class TestOptions:
    def test_what_is_asked_for_is_in_the_configuration(self) -> None:
        sent = body(max_tokens=5, temperature=0.5, stop=("a", "b"), seed=7, logprobs=True)["generationConfig"]
        assert sent == {
            "maxOutputTokens": 5,
            "temperature": 0.5,
            "stopSequences": ["a", "b"],
            "seed": 7,
            "responseLogprobs": True,
        }

    def test_a_schema_is_sent_in_the_words_that_google_knows(self) -> None:
        schema = {
            "type": "object",
            "$defs": {"kind": {"const": "x"}},
            "properties": {
                "const": {"$ref": "#/$defs/kind", "description": "dropped"},
                "list": {"type": "array", "items": {"const": 1}},
                "any": {"anyOf": [{"const": None}, {"enum": ["const"]}]},
            },
        }
        config = body(response_format=ResponseFormat(name="n", json_schema=schema))["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        assert config["responseJsonSchema"] == {
            "type": "object",
            "$defs": {"kind": {"enum": ["x"]}},
            "properties": {
                "const": {"$ref": "#/$defs/kind"},
                "list": {"type": "array", "items": {"enum": [1]}},
                "any": {"anyOf": [{"enum": [None]}, {"enum": ["const"]}]},
            },
        }

    def test_where_a_schema_may_not_stand_beside_tools_it_is_asked_for_in_words(self) -> None:
        wanted = ResponseFormat(name="n", json_schema={"type": "object"})
        sent = body(tools=(LOOK,), response_format=wanted, quirks=OLD, system=(SystemBlock(name="a", text="A"),))
        assert "responseJsonSchema" not in sent["generationConfig"]
        assert sent["systemInstruction"]["parts"][0] == {"text": "A"}
        assert sent["systemInstruction"]["parts"][1]["text"].endswith('{"type":"object"}')
        assert "responseJsonSchema" in body(response_format=wanted, quirks=OLD)["generationConfig"]
        assert "responseJsonSchema" in body(tools=(LOOK,), response_format=wanted)["generationConfig"]

    def test_what_is_extra_is_laid_over_the_rest(self) -> None:
        extra = {
            "generationConfig": {"topK": 3, "temperature": 1.0},
            "tools": [{"googleSearch": {}}],
            "safetySettings": [{"category": "C"}],
        }
        sent = body(tools=(LOOK,), temperature=0.1, max_tokens=9, extra=extra)
        assert sent["generationConfig"] == {"maxOutputTokens": 9, "temperature": 1.0, "topK": 3}
        assert [next(iter(tool)) for tool in sent["tools"]] == ["functionDeclarations", "googleSearch"]
        assert sent["safetySettings"] == [{"category": "C"}]
        assert list(sent)[-1] == "contents"

    def test_the_conversation_is_no_extra(self) -> None:
        with pytest.raises(BadRequest, match="contents"):
            encode(request(extra={"contents": []}))

    def test_a_quirk_that_nobody_knows_is_named(self) -> None:
        with pytest.raises(ConfigError, match="thinkin") as raised:
            encode(request(quirks={"thinkin": "level"}))
        assert "thinking" in raised.value.hint


TEXTS = st.text(max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_a_longer_conversation_starts_with_the_shorter_ones_bytes(turns: list[tuple[str, str, int, bool]]) -> None:
    history: list[Message] = []
    bodies = []
    for number, (asked, said, calls, steered) in enumerate(turns):
        history.append(user("x" + asked))
        bodies.append(encode(request(*history, tools=(LOOK,), quirks={})))
        made = [call(call_id=f"c{number}_{place}") for place in range(calls)]
        history += [assistant(said, *made), *(result(one, said) for one in reversed(made))]
        if calls and steered:
            history.append(user("s" + asked))
        if calls:
            bodies.append(encode(request(*history, tools=(LOOK,), quirks={})))
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter.rstrip(b"]}"))
