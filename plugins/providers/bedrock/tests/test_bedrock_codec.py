"""The bodies that are sent: byte for byte, by Amazon's own model of the wire, and as prefixes of one another."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from botocore.serialize import create_serializer
from botocore.session import Session
from botocore.validate import ParamValidator
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
from hermes_plugin_bedrock.codec import ConverseCodec, encode
from hermes_plugin_bedrock.messages import call_id
from hermes_testkit.provider_cases import assistant, user
from hermes_testkit.wire.bedrock_request import refused

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com"
MODEL = "us.anthropic.claude-test-v1:0"
CLAUDE: dict[str, Any] = {"cache": ["system", "tools", "messages"]}
POINT = {"cachePoint": {"type": "default"}}
SERVICE = Session().get_service_model("bedrock-runtime")
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})


def request(*messages: Message, quirks: dict[str, Any] | None = None, model: str = MODEL, **more: Any) -> ModelRequest:
    endpoint = Endpoint(provider="aws", base_url=URL, key="a-secret-key", quirks=quirks or {})
    return ModelRequest(id="r1", session_id="s", turn_id="t", endpoint=endpoint, model=model, messages=messages, **more)


def in_bytes(value: Any, name: str = "") -> Any:
    """The body as the SDK is given it: what is base64 on the wire is bytes there."""
    if isinstance(value, dict):
        return {key: inner if key == "json" else in_bytes(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_bytes(inner) for inner in value]
    return base64.b64decode(value) if name in ("bytes", "redactedContent") else value


def judged(asked: ModelRequest) -> dict[str, Any]:
    """The body, after Amazon's SDK found nothing wrong and made the same path and body of it, and the server, too."""
    codec = ConverseCodec()
    body: dict[str, Any] = json.loads(codec.encode(asked))
    operation = SERVICE.operation_model("ConverseStream")
    parameters = {**in_bytes(body), "modelId": asked.model}
    report = ParamValidator().validate(parameters, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    theirs = create_serializer("rest-json").serialize_to_request(parameters, operation)
    assert json.loads(theirs["body"]) == body
    assert theirs["url_path"] == codec.path(asked)
    fail = refused(body)
    assert fail is None, fail
    return body


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    return judged(request(*messages, **more))


def contents(*messages: Message, **more: Any) -> list[tuple[str, list[Any]]]:
    return [(turn["role"], turn["content"]) for turn in body(*messages, **more)["messages"]]


def call(call_id: str, name: str = "look", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def result(call_id: str, *content: Any, name: str = "look", is_error: bool = False) -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in content)
    return Message(role="tool", parts=(ToolResultPart(call_id=call_id, name=name, content=parts, is_error=is_error),))


def use(call_id: str, name: str = "look", **given: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call_id, "name": name, "input": given}}


def answered(call_id: str, *content: Any, **more: Any) -> dict[str, Any]:
    blocks = [{"text": part} if isinstance(part, str) else part for part in content]
    return {"toolResult": {"toolUseId": call_id, "content": blocks, **more}}


def state(content: list[Any], **other: str) -> ProviderState:
    tag = {"provider": "aws", "model": MODEL, "endpoint": URL, **other}
    return ProviderState(data=json.dumps({"content": content}), **tag)


PNG = ImagePart(media_type="image/png", data=b"\x89PNG")
IMAGE = {"image": {"format": "png", "source": {"bytes": base64.b64encode(b"\x89PNG").decode()}}}


def test_the_body_is_these_bytes() -> None:
    encoded = encode(
        request(
            user("Hi"),
            assistant("Look:", call("c1", arguments='{"a": 1}')),
            result("c1", "seen"),
            system=(SystemBlock(name="persona", text="Be brief."), SystemBlock(name="memory", text="None.")),
            tools=(LOOK,),
            max_tokens=9,
            stop=("END",),
            temperature=0.5,
        )
    )
    assert encoded == (
        b'{"system":[{"text":"Be brief."},{"text":"None."}],'
        b'"toolConfig":{"tools":[{"toolSpec":{"name":"look","description":"Looks.",'
        b'"inputSchema":{"json":{"type":"object"}}}}]},'
        b'"inferenceConfig":{"maxTokens":9,"temperature":0.5,"stopSequences":["END"]},"messages":['
        b'{"role":"user","content":[{"text":"Hi"}]},'
        b'{"role":"assistant","content":[{"text":"Look:"},'
        b'{"toolUse":{"toolUseId":"c1","name":"look","input":{"a": 1}}}]},'
        b'{"role":"user","content":[{"toolResult":{"toolUseId":"c1","content":[{"text":"seen"}]}}]}]}'
    )


@pytest.mark.parametrize(
    ("model", "quirks", "path"),
    [
        ("us.a.b-v1:0", {}, "/model/us.a.b-v1%3A0/converse-stream"),
        ("a.b", {"profile": "eu", "stream": False}, "/model/eu.a.b/converse"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.a.b",
            {},
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a.b/converse-stream",
        ),
    ],
)
def test_the_model_is_in_the_path_and_quoted(model: str, quirks: dict[str, Any], path: str) -> None:
    assert ConverseCodec().path(request(model=model, quirks=quirks)) == path
    assert unquote(path).count(model) == 1


def test_neighbours_of_one_role_become_one_turn_and_keep_their_blocks() -> None:
    assert contents(user("a"), user("b", PNG), assistant("c"), assistant("d"), user("e")) == [
        ("user", [{"text": "a"}, {"text": "b"}, IMAGE]),
        ("assistant", [{"text": "c"}, {"text": "d"}]),
        ("user", [{"text": "e"}]),
    ]


def test_a_conversation_begins_with_the_user() -> None:
    (first, _), *_ = contents(assistant("Hello"), user("Hi"))
    assert first == "user"
    assert [role for role, _ in contents()] == ["user"]


@pytest.mark.parametrize("blank", ["", " \n\t "])
def test_blank_texts_are_dropped_or_replaced(blank: str) -> None:
    assert contents(user(blank, "a"), assistant(blank), user(blank)) == [("user", [{"text": "a"}, {"text": "(empty)"}])]
    assert contents(user("a"), assistant(blank, call("c")), result("c", blank, is_error=True), tools=(LOOK,)) == [
        ("user", [{"text": "a"}]),
        ("assistant", [use("c")]),
        ("user", [answered("c", "(no output)", status="error")]),
    ]
    assert "system" not in body(user("a"), system=(SystemBlock(name="x", text=blank),))


def test_results_and_errors_of_tools_stand_first_in_the_next_turn() -> None:
    history = (
        user("Go"),
        assistant(call("a"), call("b", arguments='{"x":1}')),
        result("b", "two", PNG),
        result("a", "no such place", is_error=True),
        user("and then?"),
    )
    assert contents(*history, tools=(LOOK,))[1:] == [
        ("assistant", [use("a"), use("b", x=1)]),
        (
            "user",
            [answered("a", "no such place", status="error"), answered("b", "two", IMAGE), {"text": "and then?"}],
        ),
    ]


def test_calls_without_results_and_results_without_calls_do_not_spoil_a_conversation() -> None:
    history = (user("Go"), assistant(call("a"), call("b")), result("a", "x"), user("Stop"), assistant("k"))
    assert contents(*history, result("lost", "y"), tools=(LOOK,))[2:] == [
        ("user", [answered("a", "x"), answered("b", "(no result)", status="error"), {"text": "Stop"}]),
        ("assistant", [{"text": "k"}]),
        ("user", [{"text": "y"}]),
    ]


def test_tools_of_the_history_are_named_where_the_request_has_none() -> None:
    history = (user("Go"), assistant(call("a"), call("b", "fs.read")), result("a", "x"), result("b", "y"))
    first, second = body(*history)["toolConfig"]["tools"]
    assert first["toolSpec"]["name"] == "look"
    assert first["toolSpec"]["inputSchema"] == second["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}


def test_a_tool_without_description_or_type_has_them_on_the_wire() -> None:
    (tool,) = body(user("a"), tools=(ToolSpec(name="x", description="", parameters={}),))["toolConfig"]["tools"]
    assert tool == {"toolSpec": {"name": "x", "description": "x", "inputSchema": {"json": {"type": "object"}}}}


@pytest.mark.parametrize("ours", ["x" * 65, "a b", "", "größe", "functions.look:0|1"])
def test_ids_that_it_refuses_are_mapped_the_same_way_each_time(ours: str) -> None:
    (_, said), (_, results) = contents(user("a"), assistant(call(ours)), result(ours, "x"), tools=(LOOK,))[1:]
    assert said[0]["toolUse"]["toolUseId"] == results[0]["toolResult"]["toolUseId"] == call_id(ours)
    assert call_id("t.a:1-_") == "t.a:1-_"


def test_names_that_it_refuses_are_mapped() -> None:
    name = "mcp.files/read " + "x" * 70
    sent = body(
        user("a"),
        assistant(call("c", name)),
        result("c", "x", name=name),
        tools=(ToolSpec(name=name, description="d", parameters={}),),
    )
    theirs = sent["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert sent["messages"][1]["content"][0]["toolUse"]["name"] == theirs
    assert len(theirs) == 64


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ('{"a": "ü", "b": [1.50, 12345678901234567890]}', {"a": "ü", "b": [1.5, 12345678901234567890]}),
        ('{"a": ', {"arguments": '{"a": '}),
        ("[1]", {"arguments": "[1]"}),
        ("null", {"arguments": "null"}),
    ],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, given: Any) -> None:
    assert contents(user("a"), assistant(call("c", arguments=arguments)), result("c", "x"))[1][1] == [use("c", **given)]


def test_documents_images_and_audio() -> None:
    files = (
        FilePart(name="Übersicht_2.final.pdf", media_type="application/pdf", data=b"%PDF"),
        FilePart(name="Übersicht_2.final.pdf", media_type="application/pdf", data=b"%PDF2"),
        FilePart(name="…", media_type="text/markdown", data=b"# x"),
    )
    ((_, blocks),) = contents(user("See", *files, AudioPart(media_type="audio/mpeg", data=b"mp3")))
    assert [block["document"]["name"] for block in blocks if "document" in block] == [
        "bersicht 2 final pdf",
        "bersicht 2 final pdf (2)",
        "document",
    ]
    assert [block["document"]["format"] for block in blocks if "document" in block] == ["pdf", "pdf", "md"]
    assert blocks[-1] == {"audio": {"format": "mp3", "source": {"bytes": "bXAz"}}}
    ((_, alone),) = contents(user(files[0]))
    assert [next(iter(block)) for block in alone] == ["document", "text"]


def test_an_image_in_the_vendors_own_storage_may_be_sent_by_its_address() -> None:
    ((_, blocks),) = contents(user("a", ImagePart(media_type="image/webp", url="s3://bucket/a.webp")))
    assert blocks[1] == {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/a.webp"}}}}


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(media_type="image/png", url="https://pictures.test/a.png"),
        ImagePart(media_type="image/tiff", data=b"x"),
        ImagePart(media_type="image/png", data=b"x" * 4_000_000),
        FilePart(name="a.zip", media_type="application/zip", data=b"x"),
        AudioPart(media_type="audio/midi", data=b"x"),
    ],
    ids=lambda part: f"{part.media_type}-{bool(part.data)}" if hasattr(part, "data") else "url",
)
def test_what_it_does_not_take_is_an_error_with_a_way_out(part: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        encode(request(user("a", part)))
    assert caught.value.provider == "aws"
    assert caught.value.hint


def test_cache_points_stand_where_the_model_takes_them() -> None:
    history = (user("a"), assistant("b"), user("c"), assistant("d"), user("e"))
    fixed: dict[str, Any] = {"system": (SystemBlock(name="x", text="s"),), "tools": (LOOK,)}
    claude = body(*history, quirks=CLAUDE, **fixed)
    assert claude["system"] == [{"text": "s"}, POINT]
    assert claude["toolConfig"]["tools"][1:] == [POINT]
    assert [turn["content"][-1] == POINT for turn in claude["messages"]] == [False, False, True, False, True]
    nova = body(*history, quirks={"cache": ["system", "messages"]}, **fixed)
    assert nova["toolConfig"]["tools"] == claude["toolConfig"]["tools"][:1]
    assert b"cachePoint" not in encode(request(*history, **fixed))
    assert json.dumps(claude).count("cachePoint") == 4


THOUGHT = {"reasoningText": {"text": "hm", "signature": "sig"}}
SECRET = {"redactedContent": "c2VjcmV0"}


def test_signed_thinking_goes_back_in_its_place_and_only_to_its_model() -> None:
    layout = [THOUGHT, {"text": 4}, SECRET, {"text": 3}, {"call": "a"}]
    said = ("One two", call("a"))
    later = (result("a", "x"),)
    whole = contents(user("q"), assistant(ThinkingPart("hm"), *said, state=(state(layout),)), *later)
    assert whole[1][1] == [
        {"reasoningContent": THOUGHT},
        {"text": "One "},
        {"reasoningContent": SECRET},
        {"text": "two"},
        use("a"),
    ]
    for other in ({"model": "other"}, {"provider": "other"}, {"endpoint": "https://other.test"}):
        foreign = contents(user("q"), assistant(ThinkingPart("hm"), *said, state=(state(layout, **other),)), *later)
        assert foreign[1][1] == [{"text": "One two"}, use("a")]
    stripped = {"quirks": {"replay_thinking": False}}
    assert contents(user("q"), assistant(*said, state=(state(layout),)), *later, **stripped) == foreign


@pytest.mark.parametrize("said", [("Other", call("a")), ("One two", call("b")), ("One two",)])
def test_thinking_stays_in_front_of_an_answer_that_was_changed(said: tuple[Any, ...]) -> None:
    layout = [{"text": 4}, THOUGHT, {"text": 3}, {"call": "a"}]
    blocks = contents(user("q"), assistant(*said, state=(state(layout),)), user("r"), tools=(LOOK,))[1][1]
    assert blocks[0] == {"reasoningContent": THOUGHT}
    assert blocks[1:] == [
        {"text": said[0]},
        *(use(part.id) for part in said[1:] if isinstance(part, ToolCallPart)),
    ]


def fields(effort: str, **more: Any) -> tuple[Any, Any, Any]:
    limit = {"max_tokens": more.pop("max_tokens")} if "max_tokens" in more else {}
    sent = body(user("a"), reasoning_effort=effort, temperature=0.3, quirks=more, **limit)
    effort = sent.get("outputConfig", {}).get("effort")
    return sent.get("additionalModelRequestFields"), effort, sent["inferenceConfig"]


ADAPTIVE = {"thinking": {"type": "adaptive"}}


@pytest.mark.parametrize(
    ("effort", "quirks", "expected"),
    [
        ("", {"thinking": "adaptive"}, (None, None, {"maxTokens": 8192, "temperature": 0.3})),
        ("high", {}, (None, None, {"maxTokens": 8192, "temperature": 0.3})),
        ("high", {"thinking": "adaptive"}, (ADAPTIVE, "high", {"maxTokens": 8192})),
        ("minimal", {"thinking": "adaptive"}, (ADAPTIVE, "low", {"maxTokens": 8192})),
        ("max", {"thinking": "adaptive"}, (ADAPTIVE, "high", {"maxTokens": 8192})),
        ("xhigh", {"thinking": "adaptive", "efforts": ["low", "high", "max"]}, (ADAPTIVE, "high", {"maxTokens": 8192})),
        (
            "low",
            {"thinking": "always", "thinking_display": True},
            ({"thinking": {"type": "adaptive", "display": "summarized"}}, "low", {"maxTokens": 8192}),
        ),
        (
            "none",
            {"thinking": "adaptive"},
            ({"thinking": {"type": "disabled"}}, None, {"maxTokens": 8192, "temperature": 0.3}),
        ),
        ("none", {"thinking": "always"}, (ADAPTIVE, "low", {"maxTokens": 8192})),
        ("none", {"thinking": "budget"}, (None, None, {"maxTokens": 8192, "temperature": 0.3})),
        (
            "medium",
            {"thinking": "budget"},
            ({"thinking": {"type": "enabled", "budget_tokens": 8192}}, None, {"maxTokens": 16384}),
        ),
        (
            "max",
            {"thinking": "budget", "max_tokens": 4000},
            ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, None, {"maxTokens": 4000}),
        ),
        ("max", {"thinking": "budget", "max_tokens": 900}, (None, None, {"maxTokens": 900, "temperature": 0.3})),
        (
            "medium",
            {"thinking": "effort"},
            ({"reasoning_effort": "medium"}, None, {"maxTokens": 8192, "temperature": 0.3}),
        ),
        (
            "max",
            {"thinking": "reasoning_config"},
            ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None, {}),
        ),
    ],
)
def test_thinking_is_asked_for_in_each_familys_way(effort: str, quirks: dict[str, Any], expected: Any) -> None:
    assert fields(effort, **quirks) == expected


def test_a_model_that_refuses_a_temperature_gets_none() -> None:
    assert "temperature" not in body(user("a"), temperature=1.0, quirks={"temperature": False})["inferenceConfig"]


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many."}, "to": {"$ref": "#/$defs/to"}},
    "$defs": {"to": {"oneOf": [{"type": "string", "maxLength": 9}, {"type": "object", "additionalProperties": True}]}},
    "required": ["n"],
}
WANTED = ResponseFormat(name="a name", json_schema=SCHEMA)


def test_a_schema_is_sent_in_the_subset_that_it_takes() -> None:
    sent = body(user("a"), response_format=WANTED, reasoning_effort="high", quirks={"thinking": "adaptive"})
    structure = sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert structure["name"] == "a_name"
    assert json.loads(structure["schema"]) == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "How many.\n\n{minimum: 1}"},
            "to": {"$ref": "#/$defs/to"},
        },
        "$defs": {
            "to": {
                "anyOf": [
                    {"type": "string", "description": "{maxLength: 9}"},
                    {"type": "object", "properties": {}, "additionalProperties": False},
                ]
            }
        },
        "required": ["n"],
        "additionalProperties": False,
    }
    assert sent["outputConfig"]["effort"] == "high"


def test_a_model_without_schemas_is_forced_to_give_the_answer_to_a_tool() -> None:
    quirks = {"schema": "tool", "thinking": "adaptive"}
    sent = body(user("a"), response_format=WANTED, reasoning_effort="high", quirks=quirks)
    assert sent["toolConfig"]["toolChoice"] == {"tool": {"name": "give_answer"}}
    assert sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == SCHEMA
    assert "outputConfig" not in sent
    assert "additionalModelRequestFields" not in sent
    with_tools = body(user("a"), response_format=WANTED, tools=(LOOK,), quirks=quirks)["toolConfig"]
    assert with_tools["toolChoice"] == {"any": {}}
    assert [tool["toolSpec"]["name"] for tool in with_tools["tools"]] == ["look", "give_answer"]


@pytest.mark.parametrize("quirks", [{"schema": "prompt"}, {"schema": "tool", "tools": False}])
def test_a_model_without_tools_either_is_asked_for_the_schema(quirks: dict[str, Any]) -> None:
    sent = body(user("a"), response_format=WANTED, system=(SystemBlock(name="x", text="s"),), quirks=quirks)
    assert sent["system"][0] == {"text": "s"}
    assert json.loads(sent["system"][1]["text"].partition("\n")[2]) == SCHEMA
    assert "toolConfig" not in sent


def test_a_model_without_tools_reads_of_past_calls() -> None:
    history = (user("Go"), assistant("So:", call("a", arguments='{"x":1}')), result("a", "seen", is_error=True))
    sent = body(*history, tools=(LOOK,), quirks={"tools": False})
    assert "toolConfig" not in sent
    assert [block["text"] for turn in sent["messages"] for block in turn["content"]] == [
        "Go",
        "So:",
        '[The tool look was called with {"x":1}]',
        "[The tool look answered: seen]",
    ]


def test_a_model_without_system_blocks_has_them_before_the_first_message() -> None:
    sent = body(
        user("a"), assistant("b"), user("c"), system=(SystemBlock(name="x", text="s"),), quirks={"system": False}
    )
    assert "system" not in sent
    assert sent["messages"][0]["content"] == [{"text": "s"}, {"text": "a"}]


def test_extra_members_are_merged_and_messages_are_not_taken() -> None:
    extra = {
        "requestMetadata": {"team": "a"},
        "inferenceConfig": {"topP": 0.5},
        "additionalModelRequestFields": {"top_k": 5},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
    }
    sent = body(user("a"), extra=extra, reasoning_effort="low", quirks={"thinking": "adaptive"})
    assert sent["requestMetadata"] == {"team": "a"}
    assert sent["inferenceConfig"] == {"maxTokens": 8192, "topP": 0.5}
    assert sent["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}, "top_k": 5}
    assert list(sent)[-1] == "messages"
    with pytest.raises(BadRequest, match="messages"):
        encode(request(user("a"), extra={"messages": []}))


def test_an_unknown_quirk_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        encode(request(user("a"), quirks={"chache": []}))
    assert "chache" in str(caught.value)
    assert "cache" in caught.value.hint


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
parts_said = st.one_of(texts, st.builds(call, ids, texts, st.sampled_from(["{}", '{"a":1}', "{", ""])))
messages = st.one_of(
    st.builds(user, texts, st.just(PNG)),
    st.builds(lambda parts: assistant(*parts), st.lists(parts_said, max_size=3)),
    st.builds(result, ids, texts, is_error=st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, max_size=8))
def test_any_history_becomes_one_that_amazon_takes(history: list[Message]) -> None:
    judged(request(*history))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=2, max_size=5))
def test_a_longer_conversation_starts_with_the_shorter_one(rounds: list[tuple[str, str, str]]) -> None:
    history: list[Message] = []
    bodies = []
    for number, (asked, said, seen) in enumerate(rounds):
        history += [user(asked, PNG)]
        bodies.append(encode(request(*history, tools=(LOOK,))))
        history += [assistant(said, call(f"c{number}")), result(f"c{number}", seen)]
        bodies.append(encode(request(*history, tools=(LOOK,))))
        history += [assistant("Done.")]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter.rstrip(b"]}"))
    assert encode(request(*history)) == encode(msgspec.structs.replace(request(*history), id="another"))
