"""The bodies that are sent: byte for byte, by OpenAI's own types, and as prefixes of one another."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from hermes import (
    AudioPart,
    BadRequest,
    ConfigError,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    ProviderState,
    ResponseFormat,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from hermes_plugin_openai.codec import encode
from hermes_testkit.provider_cases import assistant, user

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="a-secret")
PARAMS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(CompletionCreateParamsStreaming)


def request(*messages: Message, quirks: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    endpoint = msgspec.structs.replace(ENDPOINT, quirks=quirks or {})
    return ModelRequest(
        id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="a-model", messages=messages, **more
    )


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    encoded = encode(request(*messages, **more))
    PARAMS.validate_json(encoded)
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


def call(call_id: str, name: str = "look", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def result(call_id: str, *content: Any, name: str = "look", is_error: bool = False) -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in content)
    return Message(role="tool", parts=(ToolResultPart(call_id=call_id, name=name, content=parts, is_error=is_error),))


def state(data: Any, **other: str) -> ProviderState:
    tag = {"provider": "acme", "model": "a-model", "endpoint": "http://acme.test/v1", **other}
    return ProviderState(data=json.dumps(data), **tag)


PNG = ImagePart(media_type="image/png", data=b"\x89PNG")
PNG_URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


def test_the_body_is_these_bytes() -> None:
    encoded = encode(
        request(
            user("Hi"),
            assistant("Look:", call("c1", arguments='{"a": 1}')),
            result("c1", "seen"),
            system=(SystemBlock(name="persona", text="Be brief."), SystemBlock(name="memory", text="None.")),
            tools=(ToolSpec(name="look", description="Looks.", parameters={"type": "object"}),),
            max_tokens=9,
        )
    )
    assert encoded == (
        b'{"model":"a-model","stream":true,"stream_options":{"include_usage":true},'
        b'"tools":[{"type":"function","function":{"name":"look","description":"Looks.","parameters":{"type":"object"}}}],'
        b'"max_tokens":9,"messages":['
        b'{"role":"system","content":"Be brief."},{"role":"system","content":"None."},'
        b'{"role":"user","content":"Hi"},'
        b'{"role":"assistant","content":"Look:","tool_calls":[{"id":"c1","type":"function",'
        b'"function":{"name":"look","arguments":"{\\"a\\": 1}"}}]},'
        b'{"role":"tool","tool_call_id":"c1","content":"seen"}]}'
    )


def test_turns_of_one_role_are_not_merged() -> None:
    messages = body(user("a"), user("b"), assistant("c"), assistant("d"))["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "a"),
        ("user", "b"),
        ("assistant", "c"),
        ("assistant", "d"),
    ]


def test_parts_of_a_user_message_stay_apart() -> None:
    url = ImagePart(media_type="image/jpeg", url="http://pictures.test/a.jpg")
    assert body(user("See", "these", PNG, url))["messages"][0]["content"] == [
        {"type": "text", "text": "See"},
        {"type": "text", "text": "these"},
        {"type": "image_url", "image_url": {"url": PNG_URL}},
        {"type": "image_url", "image_url": {"url": "http://pictures.test/a.jpg"}},
    ]


@pytest.mark.parametrize(("media_type", "name"), [("audio/wav", "wav"), ("audio/mpeg", "mp3"), ("audio/x-wav", "wav")])
def test_audio_and_files(media_type: str, name: str) -> None:
    audio = AudioPart(media_type=media_type, data=b"sound")
    file = FilePart(name="a.pdf", media_type="application/pdf", data=b"%PDF")
    content = body(user("Hear", audio, file))["messages"][0]["content"]
    assert content[1] == {"type": "input_audio", "input_audio": {"data": "c291bmQ=", "format": name}}
    assert content[2]["file"] == {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}


def test_content_is_null_only_beside_tool_calls() -> None:
    messages = body(user("x"), assistant(call("c1")), result("c1"), assistant(ThinkingPart("hm")))["messages"]
    assert messages[1]["content"] is None
    assert messages[2]["content"] == ""
    assert messages[3] == {"role": "assistant", "content": ""}


def test_thinking_is_never_sent_as_text() -> None:
    encoded = encode(request(user("x"), assistant(ThinkingPart("a private thought"), "y")))
    assert b"private" not in encoded


def test_images_of_tool_results_follow_the_whole_run_of_results() -> None:
    messages = body(
        user("x"),
        assistant(call("c1"), call("c2")),
        result("c1", "first", PNG),
        result("c2", PNG),
        user("and?"),
    )["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "first"
    assert "images" in messages[3]["content"]
    image = {"type": "image_url", "image_url": {"url": PNG_URL}}
    assert messages[4]["content"] == [
        {"type": "text", "text": "From the tool look (call c1):"},
        image,
        {"type": "text", "text": "From the tool look (call c2):"},
        image,
    ]
    assert messages[5]["content"] == "and?"


def test_several_results_in_one_message_are_several_messages() -> None:
    parts = (*result("c1", "one").parts, *result("c2", "two").parts)
    messages = body(user("x"), assistant(call("c1"), call("c2")), Message(role="tool", parts=parts))["messages"]
    assert [message.get("tool_call_id") for message in messages] == [None, None, "c1", "c2"]


def test_all_options_are_sent_under_their_names() -> None:
    sent = body(
        user("x"),
        max_tokens=5,
        temperature=0.5,
        reasoning_effort="low",
        stop=("END",),
        seed=7,
        logprobs=True,
        extra={"top_p": 0.25, "temperature": 0.125},
    )
    del sent["messages"]
    assert sent == {
        "model": "a-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.125,
        "reasoning_effort": "low",
        "stop": ["END"],
        "seed": 7,
        "logprobs": True,
        "top_p": 0.25,
    }


@pytest.mark.parametrize(
    ("name", "sent"), [("my answer!", "my_answer_"), ("", "answer"), ("n" * 80, "n" * 64), ("a-b_9", "a-b_9")]
)
def test_names_of_response_formats_are_made_fit(name: str, sent: str) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = body(user("x"), response_format=ResponseFormat(name=name, json_schema=schema))["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": sent, "strict": True, "schema": schema}}


def test_quirks() -> None:
    blocks = (SystemBlock(name="a", text="A"), SystemBlock(name="b", text="B"))
    plain = body(user("x", "y"), system=blocks, max_tokens=1)
    assert [m["content"] for m in plain["messages"][:2]] == ["A", "B"]
    odd = json.loads(
        encode(
            request(
                user("x", "y"),
                system=blocks,
                max_tokens=1,
                quirks={
                    "single_system": True,
                    "max_tokens_field": "max_completion_tokens",
                    "stream_options": False,
                    "text_as_string": True,
                },
            )
        )
    )
    assert odd == {
        "model": "a-model",
        "stream": True,
        "max_completion_tokens": 1,
        "messages": [{"role": "system", "content": "A\n\nB"}, {"role": "user", "content": "x\n\ny"}],
    }
    whole = json.loads(encode(request(user("x"), quirks={"stream": False})))
    assert (whole["stream"], "stream_options" in whole) == (False, False)


def test_an_unknown_quirk_is_named() -> None:
    with pytest.raises(ConfigError, match="single_sytem") as caught:
        encode(request(user("x"), quirks={"single_sytem": True}))
    assert "single_system" in caught.value.hint


def test_extra_members_cannot_replace_the_messages() -> None:
    with pytest.raises(BadRequest):
        encode(request(user("x"), extra={"messages": []}))


@pytest.mark.parametrize("other", [{"provider": "b"}, {"model": "b"}, {"endpoint": "http://b.test/v1"}])
def test_state_is_replayed_only_where_its_tag_matches(other: dict[str, str]) -> None:
    details = [{"type": "reasoning.encrypted", "data": "e30=", "index": 0}]
    data = {
        "reasoning_content": "hm",
        "reasoning_details": details,
        "extra_content": {"c1": {"google": {"thought_signature": "s"}}},
    }
    quirks = {"echo_reasoning": True}

    def sent(tagged: ProviderState) -> dict[str, Any]:
        answer = assistant("y", call("c1"), state=(tagged,))
        message: dict[str, Any] = json.loads(encode(request(user("x"), answer, quirks=quirks)))["messages"][1]
        return message

    own, foreign = sent(state(data)), sent(state(data, **other))
    assert own["reasoning_content"] == "hm"
    assert own["reasoning_details"] == details
    assert own["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}
    assert foreign["reasoning_content"] == ""
    assert "reasoning_details" not in foreign
    assert "extra_content" not in foreign["tool_calls"][0]


def test_reasoning_is_echoed_only_to_those_who_want_it() -> None:
    tagged = state({"reasoning_content": "hm"})
    assert "reasoning_content" not in body(user("x"), assistant("y", state=(tagged,)))["messages"][1]
    quirks = {"echo_reasoning": True}
    messages = json.loads(encode(request(user("x"), assistant("y"), assistant(call("c1")), quirks=quirks)))["messages"]
    assert "reasoning_content" not in messages[1]
    assert messages[2]["reasoning_content"] == ""


def test_the_key_is_not_in_the_body() -> None:
    assert b"a-secret" not in encode(request(user("x")))


TEXT = st.text(max_size=20)
USER_PARTS = st.lists(
    st.one_of(
        TEXT.map(TextPart),
        st.binary(max_size=8).map(lambda data: ImagePart(media_type="image/png", data=data)),
        TEXT.map(ThinkingPart),
    ),
    min_size=1,
    max_size=3,
)
RESULT_PARTS = st.lists(
    st.one_of(TEXT.map(TextPart), st.binary(max_size=8).map(lambda data: ImagePart(media_type="image/png", data=data))),
    max_size=2,
)


@st.composite
def turn(draw: st.DrawFn) -> list[Message]:
    """What is appended between two requests: an answer with its results, and perhaps what the user says."""
    added = []
    calls = [call(f"c{draw(st.integers(0, 999))}", arguments=draw(TEXT)) for _ in range(draw(st.integers(0, 3)))]
    kept = (state({"reasoning_content": draw(TEXT)}),) if draw(st.booleans()) else ()
    added.append(assistant(ThinkingPart("hm"), draw(TEXT), *calls, state=kept))
    added.extend(result(one.id, *draw(RESULT_PARTS)) for one in calls)
    if not calls or draw(st.booleans()):
        added.append(user(*draw(USER_PARTS)))
    return added


@settings(deadline=None)
@given(
    first=USER_PARTS,
    turns=st.lists(turn(), min_size=1, max_size=6),
    blocks=st.lists(TEXT, max_size=3),
    quirks=st.fixed_dictionaries({"single_system": st.booleans(), "echo_reasoning": st.booleans()}),
)
def test_every_request_starts_with_the_one_before(
    first: list[Any], turns: list[list[Message]], blocks: list[str], quirks: dict[str, Any]
) -> None:
    fixed = {
        "system": tuple(SystemBlock(name=str(number), text=text) for number, text in enumerate(blocks)),
        "tools": (ToolSpec(name="look", description="", parameters={"type": "object"}),),
        "temperature": 0.5,
        "extra": {"top_p": 1},
    }
    history = [user(*first)]
    before = encode(request(*history, quirks=quirks, **fixed))
    for added in turns:
        history.extend(added)
        after = encode(request(*history, quirks=quirks, **fixed))
        assert after == encode(request(*history, quirks=quirks, **fixed))
        assert before.endswith(b"]}")
        assert after.startswith(before[:-2])
        before = after
