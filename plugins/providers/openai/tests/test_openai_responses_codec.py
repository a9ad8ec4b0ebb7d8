"""The bodies that are sent to Responses: byte for byte, by OpenAI's own types, and as prefixes of one another."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from hermes import (
    AudioPart,
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    NotEntitled,
    ProviderError,
    ProviderState,
    RateLimited,
    ResponseFormat,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolSpec,
)
from hermes_plugin_openai.responses_codec import ResponsesCodec, encode
from hermes_testkit.provider_cases import PNG, assistant, result, user

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="a-secret")
PARAMS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseCreateParamsStreaming)
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
BLOCKS = (SystemBlock(name="persona", text="Be brief."), SystemBlock(name="memory", text="None."))
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e30="}


def request(*messages: Message, quirks: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    endpoint = msgspec.structs.replace(ENDPOINT, quirks=quirks or {})
    fields = {"id": "r1", "session_id": "s", "turn_id": "t", "endpoint": endpoint, "model": "a-model"}
    return ModelRequest(**{**fields, "messages": messages or (user("x"),), **more})


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    encoded = encode(request(*messages, **more))
    PARAMS.validate_json(encoded)
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


def call(call_id: str, name: str = "look", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def state(*items: dict[str, Any], **other: str) -> ProviderState:
    tag = {"provider": "acme", "model": "a-model", "endpoint": "http://acme.test/v1", **other}
    return ProviderState(data=json.dumps({"items": items}), **tag)


def said(text: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": f"msg_{number}", "status": "completed", **more, "length": len(text)}


def test_the_body_is_these_bytes() -> None:
    one = call("c1", arguments='{"a": 1}')
    encoded = encode(
        request(user("Hi"), assistant("Look:", one), result(one, "seen"), system=BLOCKS, tools=(LOOK,), max_tokens=99)
    )
    assert encoded == (
        b'{"model":"a-model","stream":true,"store":false,"prompt_cache_key":"s",'
        b'"tools":[{"type":"function","name":"look","description":"Looks.","parameters":{"type":"object"},"strict":false}],'
        b'"reasoning":{"summary":"auto"},"include":["reasoning.encrypted_content"],"max_output_tokens":99,"input":['
        b'{"role":"system","content":"Be brief."},{"role":"system","content":"None."},'
        b'{"role":"user","content":"Hi"},{"role":"assistant","content":"Look:"},'
        b'{"type":"function_call","call_id":"c1","name":"look","arguments":"{\\"a\\": 1}"},'
        b'{"type":"function_call_output","call_id":"c1","output":"seen"}]}'
    )


def test_turns_of_one_role_are_not_merged() -> None:
    items = body(user("a"), user("b"), assistant("c"), assistant("d"))["input"]
    assert [(item["role"], item["content"]) for item in items] == [
        *[("user", "a"), ("user", "b")],
        *[("assistant", "c"), ("assistant", "d")],
    ]


def test_parts_stay_apart_and_results_hold_images() -> None:
    url = ImagePart(media_type="image/jpeg", url="http://pictures.test/a.jpg")
    file = FilePart(name="a.pdf", media_type="application/pdf", data=b"%PDF")
    one = call("c1")
    items = body(user("See", "these", PNG, url, file), assistant(one), result(one, "a cat", PNG))["input"]
    image = {
        "type": "input_image",
        "image_url": "data:image/png;base64," + base64.b64encode(PNG.data).decode(),
        "detail": "auto",
    }
    assert items[0]["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_text", "text": "these"},
        image,
        {"type": "input_image", "image_url": "http://pictures.test/a.jpg", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
    ]
    assert items[2] == {
        "type": "function_call_output",
        "call_id": "c1",
        "output": [{"type": "input_text", "text": "a cat"}, image],
    }


def test_all_options_are_sent_under_their_names() -> None:
    sent = body(
        temperature=0.5,
        reasoning_effort="low",
        stop=("END",),
        seed=7,
        logprobs=True,
        max_tokens=50,
        session_id="s" * 80,
        extra={"service_tier": "flex", "temperature": 0.125},
    )
    assert sent == {
        "model": "a-model",
        "stream": True,
        "store": False,
        "prompt_cache_key": "s" * 64,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "max_output_tokens": 50,
        "temperature": 0.125,
        "service_tier": "flex",
        "input": [{"role": "user", "content": "x"}],
    }


@pytest.mark.parametrize(
    ("quirks", "changed"),
    [
        ({"reasoning": "none"}, {"reasoning": None, "include": None}),
        ({"summaries": False}, {"reasoning": {"effort": "max"}}),
        ({"efforts": ["low", "high"]}, {"reasoning": {"effort": "high", "summary": "auto"}}),
        ({"efforts": ["none"]}, {"reasoning": {"effort": "none"}}),
        ({"temperature": False}, {"temperature": None}),
        ({"max_tokens_field": ""}, {"max_output_tokens": None}),
        ({"max_tokens_field": "max_completion_tokens"}, {}),
        ({"stream": False}, {"stream": False}),
    ],
)
def test_quirks(quirks: dict[str, Any], changed: dict[str, Any]) -> None:
    options: dict[str, Any] = {"reasoning_effort": "max", "temperature": 0.5, "max_tokens": 99}
    expected = {**body(**options), **changed}
    sent = json.loads(encode(request(quirks=quirks, **options)))
    assert sent == {name: value for name, value in expected.items() if value is not None}


def test_one_system_text_where_only_one_is_taken() -> None:
    assert body(system=BLOCKS, quirks={"single_system": True})["input"] == [
        {"role": "system", "content": "Be brief.\n\nNone."},
        {"role": "user", "content": "x"},
    ]


def test_structured_output() -> None:
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    for schema, strict in ((closed, True), ({"type": "object"}, False)):
        form = body(response_format=ResponseFormat(name="a name", json_schema=schema))["text"]["format"]
        assert form == {"type": "json_schema", "name": "a_name", "strict": strict, "schema": schema}
    told = body(
        response_format=ResponseFormat(name="n", json_schema=closed), quirks={"json_mode": "object"}, system=BLOCKS
    )
    assert told["text"] == {"format": {"type": "json_object"}}
    assert [item["role"] for item in told["input"]] == ["system", "system", "system", "user"]
    assert json.loads(told["input"][2]["content"].partition("\n")[2]) == closed


def test_codex_wants_instructions() -> None:
    sent = body(system=BLOCKS, quirks={"instructions": True})
    assert sent["instructions"] == "Be brief."
    assert sent["input"][0] == {"role": "developer", "content": "None."}
    assert body(quirks={"instructions": True})["instructions"]
    assert list(sent)[-1] == "input"


def test_codex_wants_the_account() -> None:
    claims = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc-ü1", "more": 1}, "exp": 1}
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    quirks = {"account_header": "ChatGPT-Account-Id"}
    endpoint = msgspec.structs.replace(ENDPOINT, key=f"e30.{middle}.sig", quirks=quirks)
    assert ResponsesCodec().headers(endpoint) == {
        "authorization": f"Bearer e30.{middle}.sig",
        "chatgpt-account-id": "acc-ü1",
    }


@pytest.mark.parametrize("key", ["sk-plain", "e30.e30.sig", "e30.bm8ganNvbg.sig", "e30.!.sig", "a.\u00fc.b"])
def test_a_key_that_is_no_token_of_an_account(key: str) -> None:
    quirks = {"account_header": "chatgpt-account-id"}
    with pytest.raises(AuthenticationFailed) as caught:
        ResponsesCodec().headers(msgspec.structs.replace(ENDPOINT, key=key, quirks=quirks))
    assert "hermes auth login acme" in caught.value.hint
    assert key not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("error", "kind", "seconds"),
    [
        ({"type": "usage_limit_reached", "message": "Limit reached", "resets_in_seconds": 90}, RateLimited, 90.0),
        ({"type": "usage_limit_reached", "message": "Limit reached"}, RateLimited, 7.0),
        ({"type": "usage_not_included", "message": "Not in your plan"}, NotEntitled, 7.0),
    ],
)
def test_limits_of_an_account(error: dict[str, Any], kind: type[ProviderError], seconds: float) -> None:
    refused = json.dumps({"error": error}).encode()
    failure = ResponsesCodec().error_of(429, {"retry-after": "7"}, refused, ENDPOINT, "a-model")
    assert (type(failure), failure.retry_after) == (kind, seconds)


def test_names_and_ids_that_are_refused_are_mapped_everywhere_alike() -> None:
    odd = call("x" * 65, name="server.tool/größer")
    sent = body(
        user("x"), assistant(odd), result(odd, "1"), tools=(ToolSpec(name=odd.name, description="", parameters={}),)
    )
    made, output = sent["input"][1:]
    assert made["name"] == sent["tools"][0]["name"]
    assert made["name"].isascii()
    assert made["call_id"] == output["call_id"]
    assert len(made["call_id"]) <= 64
    assert body(user("x"), assistant(call("y" * 64)))["input"][1]["call_id"] == "y" * 64


def test_a_kept_call_has_the_id_that_its_result_has() -> None:
    one = call("x" * 65)
    answer = assistant(one, state=(state(THOUGHT, {"type": "function_call", "call_id": one.id, "id": "fc_1"}),))
    made, output = body(user("x"), answer, result(one, "1"))["input"][2:]
    assert (made["call_id"], made["id"]) == (output["call_id"], "fc_1")


def test_a_session_without_an_id_has_no_key_for_the_cache() -> None:
    assert "prompt_cache_key" not in body(session_id="")


def test_reasoning_goes_back_as_it_came_in_order_with_the_calls() -> None:
    one, two = call("c1"), call("c2", arguments='{"b": 2}')
    second = {**THOUGHT, "id": "rs_2"}
    kept = state(
        THOUGHT,
        said("Look:"),
        {"type": "function_call", "call_id": "c1", "id": "fc_1"},
        second,
        {"type": "function_call", "call_id": "c2"},
    )
    items = json.loads(encode(request(user("x"), assistant("Look:", one, two, state=(kept,)), result(one, "1"))))[
        "input"
    ]
    assert items[1:-1] == [
        THOUGHT,
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Look:", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}", "id": "fc_1"},
        second,
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": '{"b": 2}'},
    ]


def test_messages_of_one_answer_are_told_apart_again() -> None:
    kept = state(said("One", phase="commentary"), THOUGHT, said("Two", 2, phase="final_answer"))
    first, thought, second = body(user("x"), assistant("One\n\nTwo", state=(kept,)))["input"][1:]
    assert [(item["phase"], item["content"][0]["text"]) for item in (first, second)] == [
        ("commentary", "One"),
        ("final_answer", "Two"),
    ]
    assert thought == THOUGHT


def test_a_text_that_was_replaced_is_sent_as_it_is_now() -> None:
    kept = state(THOUGHT, said("One"), said("Two", 2))
    items = body(user("x"), assistant("Another text.", state=(kept,)))["input"][1:]
    assert [item.get("type") for item in items] == ["reasoning", "message"]
    assert items[1]["content"][0]["text"] == "Another text."


@pytest.mark.parametrize(
    ("kept", "answer", "kinds"),
    [
        ((THOUGHT,), ("so",), ["message"]),
        ((THOUGHT,), (), ["message"]),
        ((THOUGHT, {"type": "function_call", "call_id": "gone"}), (), ["message"]),
        ((THOUGHT, said("so"), {**THOUGHT, "id": "rs_2"}), ("so",), ["reasoning", "message"]),
        (
            (THOUGHT, {"type": "function_call", "call_id": "c1"}),
            ("new", call("c1")),
            ["message", "reasoning", "function_call"],
        ),
        (({"type": "web_search_call", "id": "ws_1"}, said("so")), ("so",), ["web_search_call", "message"]),
    ],
)
def test_reasoning_without_what_it_led_to_is_not_sent(
    kept: tuple[dict[str, Any], ...], answer: tuple[Any, ...], kinds: list[str]
) -> None:
    items = json.loads(encode(request(user("x"), assistant(*answer, state=(state(*kept),)))))["input"][1:]
    assert [item.get("type", "message") for item in items] == kinds


@pytest.mark.parametrize("other", [{"provider": "b"}, {"model": "b"}, {"endpoint": "http://b.test/v1"}])
def test_state_of_another_is_not_sent(other: dict[str, str]) -> None:
    kept = state(THOUGHT, said("so"), **other)
    assert body(user("x"), assistant("so", state=(kept,)))["input"][1:] == [{"role": "assistant", "content": "so"}]


def test_thinking_is_never_sent_as_text() -> None:
    encoded = encode(
        request(user("x"), assistant(ThinkingPart("a private thought"), "y"), assistant(ThinkingPart("p")))
    )
    assert b"private" not in encoded
    assert json.loads(encoded)["input"][-1] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    "part", [AudioPart(media_type="audio/wav", data=b"x"), FilePart(name="a", media_type="a/zip", data=b"x")]
)
def test_what_the_wire_does_not_take_is_said_before(part: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(request(user("x", part)))
    assert caught.value.hint


def test_extra_members_cannot_replace_the_conversation() -> None:
    with pytest.raises(BadRequest):
        encode(request(extra={"input": []}))


def test_an_unknown_quirk_is_named() -> None:
    with pytest.raises(ConfigError, match="storre"):
        encode(request(quirks={"storre": True}))


TEXT = st.text(max_size=20)
PARTS = st.lists(st.one_of(TEXT.map(TextPart), st.just(PNG), TEXT.map(ThinkingPart)), min_size=1, max_size=3)
RESULTS = st.lists(st.one_of(TEXT.map(TextPart), st.just(PNG)), max_size=2)


@st.composite
def turn(draw: st.DrawFn) -> list[Message]:
    """What is appended between two requests: an answer with its results, and perhaps what the user says."""
    calls = [call(f"c{draw(st.integers(0, 999))}", arguments=draw(TEXT)) for _ in range(draw(st.integers(0, 3)))]
    text = draw(TEXT)
    kept = state(THOUGHT, said(text), *({"type": "function_call", "call_id": one.id} for one in calls))
    added = [assistant(text, *calls, state=(kept,) if draw(st.booleans()) else ())]
    added.extend(result(one, *draw(RESULTS)) for one in calls)
    if not calls or draw(st.booleans()):
        added.append(user(*draw(PARTS)))
    return added


@settings(deadline=None)
@given(first=PARTS, turns=st.lists(turn(), min_size=1, max_size=6), instructions=st.booleans())
def test_every_request_starts_with_the_one_before(
    first: list[Any], turns: list[list[Message]], instructions: bool
) -> None:
    fixed: dict[str, Any] = {"system": BLOCKS, "tools": (LOOK,), "extra": {"top_p": 1}}
    fixed["quirks"] = {"instructions": instructions}
    history = [user(*first)]
    before = encode(request(*history, **fixed))
    for added in turns:
        history.extend(added)
        after = encode(request(*history, **fixed))
        assert after == encode(request(*history, **fixed))
        assert after.startswith(before[:-2])
        before = after
