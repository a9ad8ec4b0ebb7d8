"""The bodies that are sent: byte for byte, by Anthropic's own types, and as prefixes of one another."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pydantic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import (
    AudioPart,
    BadRequest,
    ConfigError,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelFinished,
    ModelRequest,
    ProviderState,
    ResponseFormat,
    StateUpdate,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolCallReady,
    ToolResultPart,
    ToolSpec,
)
from hermes_plugin_anthropic.codec import AnthropicMessagesCodec, encode
from hermes_plugin_anthropic.stream import Decoder
from hermes_testkit.provider_cases import user
from hermes_testkit.wire import anthropic_request

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test", key="a-secret")
PARAMS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(MessageCreateParamsStreaming | MessageCreateParamsNonStreaming)
MARK = {"cache_control": {"type": "ephemeral"}}


def request(*messages: Message, quirks: dict[str, Any] | None = None, **more: Any) -> ModelRequest:
    endpoint = msgspec.structs.replace(more.pop("endpoint", ENDPOINT), quirks=quirks or {})
    return ModelRequest(
        id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="a-model", messages=messages, **more
    )


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    """What is sent; the vendor's types and the model server have nothing against it."""
    encoded = encode(request(*messages, **more))
    PARAMS.validate_json(encoded)
    decoded: dict[str, Any] = json.loads(encoded)
    assert anthropic_request.refused("2023-06-01", decoded) is None
    return decoded


def assistant(*parts: Any, state: tuple[ProviderState, ...] = (), finish: str = "") -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return Message(role="assistant", parts=parts, provider_state=state, finish=finish)


def call(call_id: str, name: str = "look", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def result(call_id: str, *content: Any, name: str = "look", is_error: bool = False) -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in content)
    return Message(role="tool", parts=(ToolResultPart(call_id=call_id, name=name, content=parts, is_error=is_error),))


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


PNG = ImagePart(media_type="image/png", data=b"\x89PNG")
PNG_BLOCK = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"\x89PNG").decode()},
}
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
ANSWER = ResponseFormat(
    name="n", json_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
)


def test_the_body_is_these_bytes() -> None:
    encoded = encode(
        request(
            user("Hi"),
            assistant("Look:", call("c1", arguments='{"a":  1.0}')),
            result("c1", "seen"),
            system=(SystemBlock(name="persona", text="Be brief."), SystemBlock(name="memory", text="None.")),
            tools=(LOOK,),
            max_tokens=9,
            stop=("END",),
        )
    )
    assert encoded == (
        b'{"model":"a-model","max_tokens":9,"stream":true,'
        b'"tools":[{"name":"look","description":"Looks.","input_schema":{"type":"object"},'
        b'"cache_control":{"type":"ephemeral"}}],'
        b'"system":[{"type":"text","text":"Be brief."},'
        b'{"type":"text","text":"None.","cache_control":{"type":"ephemeral"}}],'
        b'"stop_sequences":["END"],"cache_control":{"type":"ephemeral"},"messages":['
        b'{"role":"user","content":[{"type":"text","text":"Hi"}]},'
        b'{"role":"assistant","content":[{"type":"text","text":"Look:"},'
        b'{"type":"tool_use","id":"c1","name":"look","input":{"a":  1.0}}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"seen"}]}]}]}'
    )


def test_turns_of_one_role_are_not_merged() -> None:
    messages = body(user("a"), user("b"), assistant("c"), assistant("d"), user("e"))["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", [text("a")]),
        ("user", [text("b")]),
        ("assistant", [text("c")]),
        ("assistant", [text("d")]),
        ("user", [text("e")]),
    ]


def test_the_results_of_a_run_are_one_message_before_all_else() -> None:
    messages = body(user("x"), assistant(call("a"), call("b")), result("a", "1"), result("b", PNG), user("and?"))
    assert messages["messages"][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [text("1")]},
                {"type": "tool_result", "tool_use_id": "b", "content": [PNG_BLOCK]},
            ],
        },
        {"role": "user", "content": [text("and?")]},
    ]


def test_a_failed_result_says_so_and_holds_text_only() -> None:
    messages = body(user("x"), assistant(call("a"), call("b")), result("a", "no", PNG, is_error=True), result("b"))
    assert messages["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [text("no")], "is_error": True},
        {"type": "tool_result", "tool_use_id": "b"},
    ]


def test_blank_texts_are_left_out() -> None:
    asked = body(
        user("a", " \n", PNG), assistant("\n\n", call("c")), result("c", " "), assistant(ThinkingPart("hm")), user("")
    )
    assert [message["content"] for message in asked["messages"]] == [
        [text("a"), PNG_BLOCK],
        [{"type": "tool_use", "id": "c", "name": "look", "input": {}}],
        [{"type": "tool_result", "tool_use_id": "c"}],
        [text("(empty)")],
    ]


def test_a_conversation_begins_and_ends_with_the_user() -> None:
    messages = body(assistant("Hello!"), user("a"), assistant("half an ans", finish="interrupted"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[-1]["content"] == [text("Go on.")]


def test_a_paused_answer_is_sent_back_as_it_is() -> None:
    assert body(user("a"), assistant("searching", finish="pause"))["messages"][-1]["role"] == "assistant"


def test_thinking_is_never_sent_as_text() -> None:
    assert b"private" not in encode(request(user("x"), assistant(ThinkingPart("a private thought"), "y"), user("z")))


def test_images_and_files() -> None:
    url = ImagePart(media_type="", url="https://pictures.test/a.jpg")
    pdf = FilePart(name="a.pdf", media_type="application/pdf", data=b"%PDF")
    code = FilePart(name="a.rs", media_type="text/x-rust", data="fn größe()".encode())
    content = body(user("See", PNG, url, pdf, code, FilePart(name="e", media_type="text/plain", data=b"")))
    assert content["messages"][0]["content"] == [
        text("See"),
        PNG_BLOCK,
        {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.jpg"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "fn größe()"},
            "title": "a.rs",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "(empty)"}, "title": "e"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        AudioPart(media_type="audio/wav", data=b"sound"),
        ImagePart(media_type="image/tiff", data=b"II"),
        ImagePart(media_type="image/png", data=bytes(10 * 1024 * 1024 + 1)),
        FilePart(name="a.zip", media_type="application/zip", data=b"PK"),
    ],
    ids=lambda part: f"{part.media_type}-{len(part.data)}",
)
def test_what_cannot_be_sent_is_refused_before(part: Any) -> None:
    with pytest.raises(BadRequest, match="acme: the ") as caught:
        encode(request(user(part)))
    assert caught.value.hint


def test_names_and_ids_that_the_vendor_refuses_are_mapped_and_mapped_back() -> None:
    names = ["files.read", "größe", "x" * 80, "files_read"]
    tools = tuple(ToolSpec(name=name, description="", parameters={}) for name in names)
    history = (user("x"), assistant(call("call|1:a", names[0])), result("call|1:a", "seen", name=names[0]))
    asked = body(*history, tools=tools)
    theirs = [tool["name"] for tool in asked["tools"]]
    assert len(set(theirs)) == len(names)
    assert theirs[3] == "files_read"
    use = asked["messages"][1]["content"][0]
    assert use["name"] == theirs[0]
    assert use["id"] == asked["messages"][2]["content"][0]["tool_use_id"]
    whole = {
        "type": "message",
        "content": [{"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}} for name in theirs],
        "stop_reason": "tool_use",
    }
    events = Decoder(request(*history, tools=tools)).whole(json.dumps(whole).encode())
    assert [event.call.name for event in events if isinstance(event, ToolCallReady)] == names


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"b": 1, "a": [1.50, 1e400]}', None),
        ("{}", None),
        ("[1]", {"arguments": "[1]"}),
        ('{"half": ', {"arguments": '{"half": '}),
        ("", {}),
        ("[" * 5000, {"arguments": "[" * 5000}),
    ],
    ids=["object", "empty", "list", "half", "nothing", "deep"],
)
def test_arguments_go_back_as_they_were_written(arguments: str, sent: Any) -> None:
    encoded = encode(request(user("x"), assistant(call("c", arguments=arguments)), result("c")))
    if sent is None:
        assert f'"input":{arguments}'.encode() in encoded
    else:
        assert json.loads(encoded)["messages"][1]["content"][0]["input"] == sent


def test_the_schema_of_a_tool_is_an_object_without_alternatives_at_its_top() -> None:
    parameters: dict[str, object] = {"properties": {"a": {"oneOf": []}}, "anyOf": [{"required": ["a"]}]}
    tool = body(user("x"), tools=(ToolSpec(name="t", description="d", parameters=parameters),))["tools"][0]
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {"a": {"oneOf": []}},
        "description": "{anyOf: [{'required': ['a']}]}",
    }


def test_a_schema_is_asked_for_natively() -> None:
    asked = body(user("x"), tools=(LOOK,), response_format=ANSWER)
    assert asked["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {**ANSWER.json_schema, "additionalProperties": False},
    }
    assert "tool_choice" not in asked


def test_a_model_without_schemas_is_made_to_call_a_tool() -> None:
    quirks = {"structured": "tool", "thinking": "budget"}
    alone = body(user("x"), response_format=ANSWER, quirks=quirks, reasoning_effort="high")
    assert alone["tools"][0]["name"] == "give_answer"
    assert alone["tools"][0]["input_schema"] == ANSWER.json_schema
    assert alone["tool_choice"] == {"type": "tool", "name": "give_answer", "disable_parallel_tool_use": True}
    assert not {"thinking", "output_config"} & set(alone)
    clash = ToolSpec(name="give_answer", description="", parameters={})
    beside = body(user("x"), tools=(clash,), response_format=ANSWER, quirks=quirks)
    assert [tool["name"] for tool in beside["tools"]] == ["give_answer", "give_answer_"]
    assert beside["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    adaptive = body(user("x"), response_format=ANSWER, quirks={**quirks, "thinking": "adaptive"})
    assert adaptive["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("thinking", "schema"), [("always", ANSWER.json_schema), ("none", {"type": "array", "items": {"type": "string"}})]
)
def test_a_schema_is_never_silently_ignored(thinking: str, schema: dict[str, Any]) -> None:
    wanted = ResponseFormat(name="n", json_schema=schema)
    with pytest.raises(BadRequest, match="cannot be held to a schema") as caught:
        encode(request(user("x"), response_format=wanted, quirks={"structured": "tool", "thinking": thinking}))
    assert "structured" in caught.value.hint


SHOWN = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("quirks", "effort", "thinking", "sent"),
    [
        ({"thinking": "adaptive"}, "", SHOWN, None),
        ({"thinking": "adaptive"}, "none", {"type": "disabled"}, None),
        ({"thinking": "adaptive"}, "minimal", SHOWN, "low"),
        ({"thinking": "adaptive"}, "xhigh", SHOWN, "xhigh"),
        ({"thinking": "adaptive", "efforts": ["low", "medium", "high", "max"]}, "xhigh", SHOWN, "high"),
        ({"thinking": "adaptive", "efforts": ["low", "medium", "high", "max"]}, "max", SHOWN, "max"),
        ({"thinking": "adaptive", "efforts": ["high"]}, "low", SHOWN, "high"),
        ({"thinking": "adaptive", "efforts": []}, "low", SHOWN, None),
        ({"thinking": "always"}, "", SHOWN, None),
        ({"thinking": "always"}, "none", SHOWN, "low"),
        ({"thinking": "budget"}, "", None, None),
        ({"thinking": "budget"}, "none", None, None),
        ({"thinking": "budget"}, "medium", {"type": "enabled", "budget_tokens": 4096}, None),
        ({"thinking": "budget", "max_tokens": 64000}, "max", {"type": "enabled", "budget_tokens": 32000}, None),
        ({"thinking": "budget", "max_tokens": 2000}, "max", None, None),
        ({}, "high", None, None),
    ],
)
def test_how_much_to_think(quirks: dict[str, Any], effort: str, thinking: Any, sent: str | None) -> None:
    asked = body(user("x"), quirks=quirks, reasoning_effort=effort, temperature=0.5)
    assert asked.get("thinking") == thinking
    assert asked.get("output_config", {}).get("effort") == sent
    assert ("temperature" in asked) == (thinking is None or thinking["type"] == "disabled")


def test_a_budget_is_not_asked_for_within_a_run_of_calls_that_began_without() -> None:
    """Such a model wants the answer with the calls to begin with its thinking."""
    history = (user("x"), assistant(call("c")), result("c", "seen"))
    options: dict[str, Any] = {"quirks": {"thinking": "budget"}, "reasoning_effort": "low"}
    assert "thinking" not in body(*history, **options)
    assert "thinking" in body(*history, assistant("Done."), user("And?"), **options)


def test_a_temperature_is_left_out_where_it_is_refused() -> None:
    assert body(user("x"), temperature=0.5)["temperature"] == 0.5
    assert "temperature" not in body(user("x"), temperature=0.5, quirks={"temperature": False})


def test_the_limit_is_the_requests_or_the_models() -> None:
    assert body(user("x"))["max_tokens"] == 8192
    assert body(user("x"), quirks={"max_tokens": 64000})["max_tokens"] == 64000
    assert body(user("x"), quirks={"max_tokens": 64000}, max_tokens=5)["max_tokens"] == 5


def test_where_the_cache_is_marked() -> None:
    system = (SystemBlock(name="a", text="A"), SystemBlock(name="b", text="B"), SystemBlock(name="c", text=" "))
    options: dict[str, Any] = {"system": system, "tools": (LOOK,)}
    top = body(user("x"), **options)
    assert top["system"] == [text("A"), {**text("B"), **MARK}]
    assert "cache_control" in top["tools"][-1]
    assert top["cache_control"] == {"type": "ephemeral"}
    blocks = body(user("x", "y"), quirks={"cache": "blocks", "cache_ttl": "1h"}, **options)
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert blocks["messages"][0]["content"] == [text("x"), {**text("y"), **mark}]
    assert blocks["system"][-1] == {**text("B"), **mark}
    assert "cache_control" not in blocks
    assert b"cache_control" not in encode(request(user("x"), quirks={"cache": "none"}, **options))


def test_a_login_is_sent_as_one() -> None:
    headers = AnthropicMessagesCodec().headers
    identity = {"identity": "You are that program.", "token_prefix": "sk-ant-oat"}
    assert headers(ENDPOINT) == {"anthropic-version": "2023-06-01", "x-api-key": "a-secret"}
    stored = msgspec.structs.replace(ENDPOINT, token=True, quirks=identity)
    found = msgspec.structs.replace(ENDPOINT, key="sk-ant-oat01-x", quirks={**identity, "betas": ["b"]})
    assert headers(stored) == {
        "anthropic-version": "2023-06-01",
        "authorization": "Bearer a-secret",
        "anthropic-beta": "oauth-2025-04-20",
    }
    assert headers(found)["anthropic-beta"] == "oauth-2025-04-20,b"
    own = (SystemBlock(name="a", text="A"),)
    for endpoint in (stored, found):
        sent = body(user("x"), system=own, endpoint=endpoint, quirks=endpoint.quirks)["system"]
        assert sent == [text("You are that program."), {**text("A"), **MARK}]
    assert body(user("x"), system=own, quirks=identity)["system"] == [{**text("A"), **MARK}]


def test_other_headers_are_data() -> None:
    endpoint = msgspec.structs.replace(
        ENDPOINT, quirks={"version": "2026-10-21", "key_header": "authorization", "betas": ["a", "b"]}
    )
    assert AnthropicMessagesCodec().headers(endpoint) == {
        "anthropic-version": "2026-10-21",
        "authorization": "Bearer a-secret",
        "anthropic-beta": "a,b",
    }
    assert AnthropicMessagesCodec().headers(Endpoint(provider="x")) == {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("base_url", "path"), [("http://a.test", "/v1/messages"), ("http://a.test/zen/v1", "/messages")]
)
def test_an_address_may_have_the_version_or_not(base_url: str, path: str) -> None:
    endpoint = msgspec.structs.replace(ENDPOINT, base_url=base_url)
    assert AnthropicMessagesCodec().path(request(user("x"), endpoint=endpoint)) == path


def test_extra_members_are_merged() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    extra = {"tools": [search], "output_config": {"effort": "low"}, "top_k": 3, "metadata": {"user_id": "u"}}
    asked = body(user("x"), tools=(LOOK,), response_format=ANSWER, extra=extra)
    assert [tool["name"] for tool in asked["tools"]] == ["look", "web_search"]
    assert set(asked["output_config"]) == {"effort", "format"}
    assert (asked["top_k"], asked["metadata"]) == (3, {"user_id": "u"})
    with pytest.raises(BadRequest, match="messages"):
        encode(request(user("x"), extra={"messages": []}))


def test_unknown_quirks_are_named() -> None:
    with pytest.raises(ConfigError, match="acme") as caught:
        encode(request(user("x"), quirks={"thinks": True}))
    assert "thinking" in caught.value.hint


# An answer of a model that thinks between its calls, as the wire has it.
CONTENT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "First …", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "text", "text": "\n\n"},
    {"type": "text", "text": "Looking."},
    {"type": "thinking", "thinking": "", "signature": "c2lnMg=="},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}},
    {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
]


def answered(asked: ModelRequest, content: list[dict[str, Any]], stop_reason: str = "tool_use") -> Message:
    """The message that the kernel stores for an answer."""
    whole = {"type": "message", "content": content, "stop_reason": stop_reason}
    events = list(Decoder(asked).whole(json.dumps(whole).encode()))
    said = "".join(event.text for event in events if event.__class__.__name__ == "TextDelta")
    calls = [event.call for event in events if isinstance(event, ToolCallReady)]
    states = tuple(event.state for event in events if isinstance(event, StateUpdate))
    assert isinstance(events[-1], ModelFinished)
    return assistant(ThinkingPart("shown"), *([said] if said else []), *calls, state=states, finish=events[-1].reason)


def test_thinking_goes_back_unmodified_and_in_order() -> None:
    asked = request(user("x"))
    answer = answered(asked, CONTENT)
    results = (result("toolu_1", "1"), result("toolu_2", "2"))
    sent = body(user("x"), answer, *results)["messages"][1]["content"]
    # A blank text is what the vendor says, and does not take.
    assert sent == [block for block in CONTENT if block.get("text") != "\n\n"]


def test_thinking_goes_back_only_where_all_before_it_is_as_it_was() -> None:
    asked = request(user("x"))
    answer = answered(asked, CONTENT)
    results = (result("toolu_1", "1"), result("toolu_2", "2"))
    plain = [text("\n\nLooking."), *CONTENT[-2:]]
    replaced = msgspec.structs.replace(answer, parts=(TextPart("Redacted."), *answer.parts[2:]))
    other_model = msgspec.structs.replace(request(user("x"), answer, *results), model="another")
    for sent in (
        body(user("a summary"), answer, *results),
        body(user("x"), user("y"), answer, *results),
        json.loads(encode(other_model)),
    ):
        assert sent["messages"][-2]["content"] == plain
    assert body(user("x"), replaced, *results)["messages"][1]["content"] == [text("Redacted."), *CONTENT[-2:]]


def test_thinking_of_every_step_of_a_run_goes_back() -> None:
    history = [user("x")]
    for step in range(3):
        content = [
            {"type": "thinking", "thinking": f"step {step}", "signature": f"s{step}"},
            {"type": "tool_use", "id": f"toolu_{step}", "name": "look", "input": {}},
        ]
        history += [answered(request(*history), content), result(f"toolu_{step}", "seen")]
    sent = body(*history, quirks={"thinking": "budget"}, reasoning_effort="low")
    signatures = [message["content"][0].get("signature") for message in sent["messages"][1::2]]
    assert signatures == ["s0", "s1", "s2"]
    assert sent["thinking"]["type"] == "enabled"


def test_blocks_of_the_vendors_own_tools_go_back_as_they_came() -> None:
    content = [
        {"type": "text", "text": "Let me search."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"encrypted_content": "e"}]},
    ]
    answer = answered(request(user("x")), content, "pause_turn")
    assert answer.finish == "pause"
    assert json.loads(encode(request(user("x"), answer)))["messages"] == [
        {"role": "user", "content": [text("x")]},
        {"role": "assistant", "content": content},
    ]


@pytest.mark.parametrize("data", ['{"blocks": "x"}', '{"blocks": [], "after": 3}', "[]", '"x"'])
def test_state_that_is_none_of_ours_does_no_harm(data: str) -> None:
    state = ProviderState(provider="acme", model="a-model", endpoint="http://acme.test", data=data)
    assert body(user("x"), assistant("y", state=(state,)), user("z"))["messages"][1]["content"] == [text("y")]


PARTS = st.text(max_size=8) | st.just(PNG)
TURNS = st.lists(
    st.one_of(
        st.lists(PARTS, max_size=3).map(lambda parts: [user(*parts)]),
        st.text(max_size=8).map(lambda said: [assistant(said)]),
        st.lists(st.sampled_from(["{}", '{"a": 1}', "oops"]), min_size=1, max_size=3).map(lambda given: [given]),
    ),
    min_size=1,
    max_size=8,
)


def history_of(turns: list[Any]) -> list[Message]:
    history: list[Message] = []
    for place, (turn, *_) in enumerate(turns):
        if isinstance(turn, Message):
            history.append(turn)
            continue
        ids = [f"c{place}_{number}" for number in range(len(turn))]
        history.append(assistant(*(call(i, arguments=a) for i, a in zip(ids, turn, strict=True))))
        history.extend(result(call_id, "seen") for call_id in ids)
    return history


@settings(deadline=None, max_examples=150)
@given(TURNS)
def test_any_history_is_taken_by_the_vendor(turns: list[Any]) -> None:
    history = history_of(turns)
    body(*history)
    assert encode(request(*history)) == encode(request(*history))


@settings(deadline=None, max_examples=150)
@given(TURNS, TURNS)
def test_a_longer_conversation_starts_with_the_shorter_one(turns: list[Any], more: list[Any]) -> None:
    shorter = [*history_of(turns), user("x")]
    longer = [*shorter, assistant("y"), *history_of([*more, [user("z")]])]
    assert encode(request(*longer)).startswith(encode(request(*shorter)).removesuffix(b"]}"))
