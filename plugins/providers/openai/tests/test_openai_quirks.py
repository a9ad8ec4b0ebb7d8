"""Where endpoints differ from OpenAI's: every quirk of Chat Completions, as it goes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes import (
    AudioPart,
    BadRequest,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    ResponseFormat,
    SystemBlock,
    ToolCallPart,
    ToolSpec,
)
from hermes_carrier.efforts import EFFORTS
from hermes_plugin_openai.codec import ChatCompletionsCodec, encode
from hermes_plugin_openai.quirks import Quirks
from hermes_plugin_openai.schema import is_strict
from hermes_testkit.provider_cases import PNG, assistant, result, user

BLOCKS = (SystemBlock(name="a", text="A"), SystemBlock(name="b", text="B"))
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
MISTRAL = {"tool_call_ids": 9, "tool_result_names": True, "user_after_tool": False, "null_content": False}


def request(*messages: Message, quirks: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    endpoint = Endpoint(provider="acme", base_url="http://acme.test/v1", key="a-secret", quirks=quirks or {})
    return ModelRequest(
        id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="m", messages=messages or (user("x"),), **more
    )


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(request(*messages, **more)))
    return decoded


def call(call_id: str, name: str = "look", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def test_every_quirk_is_explained_to_users() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in Quirks.__struct_fields__ if f"| `{name}` |" not in readme] == []


def test_mistral() -> None:
    """Ids of nine letters and digits, names on results, no user after a tool, no content that is null."""
    one, two = call("toolu_01abc"), call("Ab3dEf7h9")
    history = (user("go"), assistant(one, two), result(one, "1", PNG), result(two, PNG), user("and?"))
    assistant_turn, first, second, between, images, last = body(*history, quirks=MISTRAL)["messages"][1:]
    mapped = assistant_turn["tool_calls"][0]["id"]
    assert "content" not in assistant_turn
    assert len(mapped) == 9
    assert mapped.isalnum()
    assert assistant_turn["tool_calls"][1]["id"] == "Ab3dEf7h9"
    assert first == {"role": "tool", "tool_call_id": mapped, "name": "look", "content": "1"}
    assert (second["tool_call_id"], second["name"]) == ("Ab3dEf7h9", "look")
    assert between == {"role": "assistant", "content": "Done."}
    assert (images["role"], last) == ("user", {"role": "user", "content": "and?"})
    assert "toolu_01abc" not in json.dumps([assistant_turn, first, second, images])


def test_mapped_ids_are_the_same_in_every_request() -> None:
    one = call("toolu_01abc")
    ids = {
        body(*before, user("x"), assistant(one), result(one, "1"), quirks=MISTRAL)["messages"][-1]["tool_call_id"]
        for before in ((), (user("a"), assistant("b")))
    }
    assert len(ids) == 1


def test_an_answer_between_a_tool_and_a_user_needs_no_other() -> None:
    one = call("Ab3dEf7h9")
    history = (user("go"), assistant(one), result(one, "1"), assistant("So."), user("and?"))
    roles = [message["role"] for message in body(*history, quirks=MISTRAL)["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_names_that_are_refused_are_mapped_everywhere_alike() -> None:
    odd = call("c1", name="server.tool/größer")
    tool = ToolSpec(name=odd.name, description="", parameters={})
    sent = body(user("x"), assistant(odd), result(odd, "1"), tools=(tool,))
    name = sent["tools"][0]["function"]["name"]
    assert name.isascii()
    assert name.replace("_", "").replace("-", "").isalnum()
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == name


@pytest.mark.parametrize(
    ("way", "effort", "sent"),
    [
        ("effort", "low", {"reasoning_effort": "low"}),
        ("effort", "none", {"reasoning_effort": "none"}),
        ("object", "high", {"reasoning": {"effort": "high"}}),
        ("enabled", "low", {"reasoning": {"enabled": True}}),
        ("enabled", "none", {"reasoning": {"enabled": False}}),
        ("thinking", "medium", {"thinking": {"type": "enabled"}}),
        ("thinking", "none", {"thinking": {"type": "disabled"}}),
        ("none", "high", {}),
        ("object", "", {}),
        ("thinking", "", {}),
    ],
)
def test_how_the_effort_is_said(way: str, effort: str, sent: dict[str, Any]) -> None:
    plain = body(quirks={"reasoning": way})
    assert body(quirks={"reasoning": way}, reasoning_effort=effort) == {**plain, **sent}


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        (["low", "medium", "high"], ["low", "low", "low", "medium", "high", "high", "high"]),
        (["none", "high"], ["none", "none", "none", "high", "high", "high", "high"]),
        ([], list(EFFORTS)),
    ],
)
def test_an_effort_that_is_not_known_becomes_the_nearest(known: list[str], sent: list[str]) -> None:
    quirks = {"efforts": known}
    assert [body(quirks=quirks, reasoning_effort=effort)["reasoning_effort"] for effort in EFFORTS] == sent


def test_a_word_for_an_effort_that_nobody_here_knows_is_sent_as_it_is() -> None:
    assert body(quirks={"efforts": ["low"]}, reasoning_effort="ultra")["reasoning_effort"] == "ultra"


def test_what_an_endpoint_does_not_take_is_left_out() -> None:
    odd = body(quirks={"temperature": False, "max_tokens_field": ""}, temperature=0.5, max_tokens=9)
    assert odd == body()


def test_structured_output_where_only_json_is_known() -> None:
    wanted = ResponseFormat(name="n", json_schema=CLOSED)
    for mode, form in (("object", {"type": "json_object"}), ("prompt", None)):
        sent = body(quirks={"json_mode": mode}, response_format=wanted, system=BLOCKS)
        assert sent.get("response_format") == form
        *blocks, told = (message["content"] for message in sent["messages"] if message["role"] == "system")
        assert blocks == ["A", "B"]
        assert "JSON" in told
        assert json.loads(told.partition("\n")[2]) == CLOSED
    joined = body(quirks={"json_mode": "object", "single_system": True}, response_format=wanted, system=BLOCKS)
    assert [message["role"] for message in joined["messages"]] == ["system", "user"]
    assert json.dumps(CLOSED, separators=(",", ":")) in joined["messages"][0]["content"]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "object"}, False),
        ({"type": ["object", "null"], "properties": {}}, False),
        ({**CLOSED, "properties": {"n": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {"n": {"type": "array", "items": {"type": "object"}}}}, False),
        ({**CLOSED, "properties": {"n": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        ({**CLOSED, "properties": {"n": {"oneOf": [CLOSED]}}}, False),
        ({**CLOSED, "properties": {"n": {}}}, False),
        ({**CLOSED, "properties": {"n": {"$ref": "#/$defs/d"}}, "$defs": {"d": CLOSED}}, True),
        ({**CLOSED, "properties": {"n": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"type": "object"}}}, False),
        ({**CLOSED, "properties": {"n": {"anyOf": [{"type": "object"}, {"type": "null"}]}}}, False),
        ({**CLOSED, "properties": {"n": {"type": "integer", "not": {"const": 1}}}}, False),
        ({**CLOSED, "properties": {"n": {"enum": ["a"]}}}, True),
        ({**CLOSED, "properties": {"n": True}}, False),
    ],
)
def test_a_schema_outside_the_strict_subset_is_not_sent_as_strict(schema: dict[str, Any], strict: bool) -> None:
    assert is_strict(schema) is strict
    form = body(response_format=ResponseFormat(name="n", json_schema=schema))["response_format"]["json_schema"]
    assert (form["strict"], form["schema"]) == (strict, schema)


def test_a_strict_schema_has_an_object_at_its_root_and_is_wanted_strict() -> None:
    for wanted in (
        ResponseFormat(name="n", json_schema={"anyOf": [CLOSED]}),
        ResponseFormat(name="n", json_schema=CLOSED, strict=False),
    ):
        assert body(response_format=wanted)["response_format"]["json_schema"]["strict"] is False


def test_tools_as_text() -> None:
    odd = call("c1", arguments='{"place": "roof"}')
    broken = call("c2", arguments='{"place": ')
    history = (user("go"), assistant("Look:", odd, broken), result(odd, "a cat", PNG), result(broken, "no JSON"))
    sent = body(*history, quirks={"native_tools": False}, tools=(LOOK,), system=BLOCKS)
    assert "tools" not in sent
    a, b, told, _, answer, seen, failed, images = sent["messages"]
    assert (a["content"], b["content"], told["role"]) == ("A", "B", "system")
    described = told["content"].partition("<tools>\n")[2].partition("\n</tools>")[0]
    assert json.loads(described) == {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert answer == {
        "role": "assistant",
        "content": 'Look:\n<tool_call>\n{"name": "look", "arguments": {"place": "roof"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "look", "arguments": {"place": }\n</tool_call>',
    }
    assert seen["role"] == failed["role"] == "user"
    assert seen["content"] == '<tool_response>\n{"name":"look","content":"a cat"}\n</tool_response>'
    assert images["content"][1]["type"] == "image_url"


def test_no_tools_are_told_of_where_there_are_none() -> None:
    assert body(quirks={"native_tools": False}) == body()


def test_marks_for_the_cache() -> None:
    """At the system text's end, and at those of the two newest messages that are not the model's."""
    one = call("c1")
    history = [user("a"), assistant("b"), user("c", PNG), assistant(one), result(one, "seen")]
    sent = body(*history, quirks={"cache_control": True}, system=BLOCKS)["messages"]
    mark = {"cache_control": {"type": "ephemeral"}}
    assert sent[0] == {"role": "system", "content": "A"}
    assert sent[1] == {"role": "system", "content": [{"type": "text", "text": "B", **mark}]}
    assert sent[2]["content"] == "a"
    assert [mark.items() <= part.items() for part in sent[4]["content"]] == [False, True]
    assert sent[6]["content"] == [{"type": "text", "text": "seen", **mark}]
    assert json.dumps(sent).count("ephemeral") == 3


def test_an_empty_text_is_not_marked() -> None:
    one = call("c1")
    history = (user("a"), assistant(one), result(one, ""), user("x", ""))
    messages = body(*history, quirks={"cache_control": True})["messages"]
    assert messages[2]["content"] == ""
    assert "ephemeral" not in json.dumps(messages[3])


def test_the_key_in_a_header_of_its_own_and_a_query() -> None:
    codec = ChatCompletionsCodec()
    azure = request(quirks={"key_header": "Api-Key", "query": {"api-version": "2026 10"}})
    assert codec.headers(azure.endpoint) == {"api-key": "a-secret"}
    assert codec.path(azure) == "/chat/completions?api-version=2026+10"
    assert codec.headers(request().endpoint) == {"authorization": "Bearer a-secret"}
    assert codec.path(request()) == "/chat/completions"
    assert codec.headers(msgspec.structs.replace(azure.endpoint, key="")) == {}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ImagePart(media_type="image/tiff", data=b"x"), "image/tiff"),
        (AudioPart(media_type="audio/x-unknown", data=b"x"), "audio/x-unknown"),
        (FilePart(name="a.zip", media_type="application/zip", data=b"x"), '"a.zip"'),
        (ImagePart(media_type="image/png", data=bytes(21 * 1024 * 1024)), "21.0 MB"),
    ],
)
def test_what_cannot_be_sent_is_said_before(part: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        encode(request(user("see", part)))
    assert caught.value.hint


def test_fallbacks_of_a_router_pass_as_they_stand() -> None:
    sent = body(extra={"models": ["a/b", "c/d"], "provider": {"order": ["x"]}})
    assert (sent["models"], sent["provider"]) == (["a/b", "c/d"], {"order": ["x"]})
