"""One model call of a program's own: `hermes.ask`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    BudgetExceeded,
    ConfigError,
    HermesError,
    ImagePart,
    Message,
    ModelRetry,
    Principal,
    Reply,
    SystemBlock,
    TextDelta,
    TextPart,
    ToolSpec,
    UsageQuery,
    ask,
    text_of,
)
from hermes_testkit.model_server import ModelServer
from hermes_testkit.scripted import ScriptedModel, call, make_app, say

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WANTED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
PNG = b"\x89PNG\r\n\x1a\n and so on"
TOOL = {"type": "object", "properties": {"place": {"type": "string"}}}


def asked(
    home: Path, *arguments: Any, model: ScriptedModel | None = None, **options: Any
) -> tuple[Reply, ScriptedModel]:
    model = model or ScriptedModel([say("hello")])

    async def work() -> Reply:
        async with make_app(home, model=model) as app:
            return await ask(*arguments, app=app, **options)

    return asyncio.run(work()), model


def test_a_prompt_is_answered(tmp_path: Path) -> None:
    reply, _ = asked(tmp_path, "Hi")
    assert (str(reply), reply.finish, reply.model, reply.usage.total_tokens) == ("hello", "stop", "model-1", 15)


def test_without_an_event_loop(tmp_path: Path) -> None:
    app = make_app(tmp_path, model=ScriptedModel([say("one"), say("two")]))
    assert [ask("Hi", app=app).result().text for _ in range(2)] == ["one", "two"]
    asyncio.run(app.close())


def test_events_stream_and_the_reply_follows(tmp_path: Path) -> None:
    async def work() -> tuple[str, str]:
        async with make_app(tmp_path, model=ScriptedModel([say("hello")])) as app:
            call_ = ask("Hi", app=app)
            with pytest.raises(HermesError, match="not complete"):
                _ = call_.reply
            text = "".join([event.text async for event in call_ if isinstance(event, TextDelta)])
            return text, call_.reply.text

    assert asyncio.run(work()) == ("hello", "hello")


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, []),
        ({"system_prompt": "Be brief."}, ["Be brief."]),
        ({"system_prompt": "ignored", "system_blocks": ["Persona", "  ", "", "Policy"]}, ["Persona", "Policy"]),
        ({"system_prompt": "ignored", "system_blocks": ["", " "]}, []),
        ({"system_blocks": [SystemBlock(name="a", text="A")]}, ["A"]),
    ],
)
def test_system_blocks_are_separate_and_blank_ones_left_out(tmp_path: Path, options: Any, sent: list[str]) -> None:
    _, model = asked(tmp_path, "Hi", **options)
    assert [block.text for block in model.requests[0].system] == sent


def test_history_keeps_its_roles_and_images_come_last(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(PNG)
    history = [{"role": "user", "content": "a"}, Message(role="assistant", parts=(TextPart("b"),))]
    images = [image, "https://x.test/c.webp", ImagePart(media_type="image/gif", data=b"g")]
    _, model = asked(tmp_path, "And now?", history=history, images=images)
    sent = model.requests[0].messages
    assert [(message.role, text_of(message.parts)) for message in sent] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "And now?"),
    ]
    assert sent[-1].parts[1:] == (
        ImagePart(media_type="image/png", data=PNG),
        ImagePart(media_type="image/webp", url="https://x.test/c.webp"),
        ImagePart(media_type="image/gif", data=b"g"),
    )


@pytest.mark.parametrize(
    "form",
    [
        {"name": "look", "description": "Looks.", "input_schema": TOOL},
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": TOOL}},
        {"type": "function", "name": "look", "description": "Looks.", "parameters": TOOL},
        {"name": "look", "description": "Looks.", "inputSchema": TOOL},
        ToolSpec(name="look", description="Looks.", parameters=TOOL),
    ],
)
def test_tools_are_taken_in_every_form(tmp_path: Path, form: Any) -> None:
    wanted = call("look", place="garden")
    reply, model = asked(tmp_path, "Hi", tools=[form], model=ScriptedModel([say("", wanted)]))
    assert model.requests[0].tools == (ToolSpec(name="look", description="Looks.", parameters=TOOL),)
    assert reply.calls == (wanted,)
    function = {"name": "look", "arguments": wanted.arguments}
    assert json.loads(str(reply)) == [{"id": wanted.id, "type": "function", "function": function}]


def test_text_comes_before_calls_and_no_tools_are_no_tools(tmp_path: Path) -> None:
    reply, model = asked(tmp_path, "Hi", tools=[], model=ScriptedModel([say("Looking.", call("look"))]))
    assert str(reply) == "Looking."
    assert model.requests[0].tools == ()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"type": "xml"}, "type has to be"),
        ({"type": "json_schema"}, "json_schema has to be an object"),
        ({"type": "json_schema", "json_schema": {"name": " ", "schema": {}}}, "json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": "x"}}, "json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nonsense"}}}, "the schema is none"),
    ],
)
def test_an_invalid_response_format_is_told_and_nothing_is_sent(tmp_path: Path, wanted: Any, says: str) -> None:
    model = ScriptedModel()
    with pytest.raises(ConfigError, match=f"invalid response_format: .*{says}"):
        asked(tmp_path, "Hi", response_format=wanted, model=model)
    assert model.requests == []


def test_json_is_checked_and_asked_for_again(tmp_path: Path) -> None:
    model = ScriptedModel([say("no"), say('```json\n{"n": 1}\n```')])

    async def work() -> tuple[list[Any], Reply]:
        async with make_app(tmp_path, model=model) as app:
            direct = ask("Hi", app=app, response_format=WANTED)
            events = [event async for event in direct]
            return events, direct.reply

    events, reply = asyncio.run(work())
    assert reply.text == '{"n": 1}'
    assert [event.restart for event in events if isinstance(event, ModelRetry)] == [True]
    assert model.requests[0].response_format is not None
    assert reply.usage.total_tokens == 30
    with pytest.raises(HermesError, match="does not fit the schema"):
        asked(tmp_path, "Hi", response_format=WANTED, model=ScriptedModel(lambda request: say("no")))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"history": [{"role": "system", "content": "x"}]}, "A turn of the history"),
        ({"tools": [{"description": "nameless"}]}, "A tool has no name"),
        ({"images": ["/nowhere/x.png"]}, "/nowhere/x.png cannot be read"),
    ],
)
def test_what_is_none_of_the_forms_is_told(tmp_path: Path, options: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        asked(tmp_path, "Hi", **options)
    with pytest.raises(ConfigError, match="nothing to ask"):
        asked(tmp_path)


def test_options_reach_the_request(tmp_path: Path) -> None:
    _, model = asked(tmp_path, "Hi", model=ScriptedModel([say("x")]), max_tokens=7, temperature=0.5, seed=None)
    request = model.requests[0]
    assert (request.max_tokens, request.temperature, request.seed) == (7, 0.5, None)


def test_what_it_costs_is_booked_and_held_to_the_budget(tmp_path: Path) -> None:
    async def work() -> int:
        model = ScriptedModel(lambda request: say("x"))
        async with make_app(tmp_path, model=model, overrides={"budget": {"day_tokens": 20}}) as app:
            who = Principal(id="telegram:7")
            await ask("Hi", app=app, principal=who)
            await ask("Hi", app=app)
            (booked,) = (await app.store.usage(UsageQuery(principal=who.id))).sums
            with pytest.raises(BudgetExceeded):
                await ask("Hi", app=app)
            return booked.usage.total_tokens

    assert asyncio.run(work()) == 15


def test_two_users_call_with_their_own_keys(tmp_path: Path) -> None:
    spec = {"transport": "scripted", "base_url": "http://x.test", "key_env": ["X_KEY"], "models": ["m"]}

    async def work() -> list[str]:
        model = ScriptedModel(lambda request: say("x"))
        overrides = {"providers": {"x": spec}, "model": {"provider": "x"}}
        async with make_app(tmp_path, model=model, overrides=overrides, environ={"X_KEY": "ours"}) as app:
            await asyncio.gather(
                *(ask("Hi", app=app, secrets={"X_KEY": key}) for key in ("key-of-one", "key-of-two")), _as_is(app)
            )
            with pytest.raises(ConfigError, match="No key"):
                await ask("Hi", app=app, secrets={"X_KEY": " "})
            return sorted(request.endpoint.key for request in model.requests)

    async def _as_is(app: Any) -> Reply:
        return await ask("Hi", app=app)

    assert asyncio.run(work()) == ["key-of-one", "key-of-two", "ours"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"response_format": "json"}, "invalid response_format"),
        ({"tools": "x"}, "`tools` has to be a list"),
        ({"tools": ["x"]}, "A tool is 'x'"),
        ({"history": "x"}, "`history` has to be a list"),
        ({"history": ["x"]}, "A turn of the history"),
        ({"history": [{"role": "user", "content": "  "}]}, "A turn of the history"),
        ({"max_tokens": "x"}, "An option of the call"),
        ({"nonsense": 1}, "unknown field `nonsense`"),
        ({"reasoning_effort": "huge"}, "Invalid enum value"),
    ],
)
def test_arguments_of_a_wrong_type_are_told(tmp_path: Path, options: Any, says: str) -> None:
    model = ScriptedModel()
    with pytest.raises(ConfigError, match=says):
        asked(tmp_path, "Hi", model=model, **options)
    assert model.requests == []


def test_a_blank_prompt_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to ask"):
        asked(tmp_path, "  \n ")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/nope"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "other.json"}}},
        {"properties": {"a": {"items": [{"$ref": "#/$defs/x"}]}}},
    ],
)
def test_a_schema_that_refers_to_nothing_is_told_before_any_call(tmp_path: Path, schema: Any) -> None:
    model = ScriptedModel()
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.raises(ConfigError, match="invalid response_format: the schema refers to"):
        asked(tmp_path, "Hi", response_format=wanted, model=model)
    assert model.requests == []


def test_what_a_schema_refers_to_is_never_fetched(tmp_path: Path, model_server: ModelServer) -> None:
    schema = {"$ref": f"{model_server.root}/schema.json"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.raises(ConfigError, match="which is not in it"):
        asked(tmp_path, "Hi", response_format=wanted)
    assert model_server.requests + model_server.other_requests == []


def test_a_schema_may_refer_to_its_own_parts(tmp_path: Path) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["n"]}
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"$ref": "#/$defs/node", "$defs": {"node": node}}},
    }
    reply, _ = asked(tmp_path, "Hi", response_format=wanted, model=ScriptedModel([say('{"n": 1, "next": {"n": 2}}')]))
    assert reply.text


def test_a_result_is_not_taken_where_a_loop_runs(tmp_path: Path) -> None:
    async def work() -> None:
        async with make_app(tmp_path) as app:
            with pytest.raises(HermesError, match="An event loop is running"):
                ask("Hi", app=app).result()

    asyncio.run(work())
