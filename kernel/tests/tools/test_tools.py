"""From a function to a schema, from a call to a result."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from hermes import ImagePart, PluginContext, PluginError, TextPart, ToolCall, ToolCallPart, ToolError, ToolOptions, tool
from hermes.tools.runner import PreparedCall, waves
from hermes.tools.schema import arguments_type, check_arguments, entry_of
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say


@tool(risk="read", paths=("path",))
def example(
    path: Annotated[str, "where"],
    mode: Literal["a", "b"] = "a",
    many: list[int] | None = None,
    ctx: PluginContext | None = None,
) -> str:
    """Does this
    and that.

    Not for the model.
    """
    return f"{path} {mode} {many}"


def test_a_schema_is_made_of_the_signature() -> None:
    entry = entry_of(example, plugin="p")
    assert (entry.name, entry.description, entry.options.toolset) == ("example", "Does this and that.", "p")
    assert entry.parameters == {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "where"},
            "mode": {"enum": ["a", "b"], "default": "a"},
            "many": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}], "default": None},
        },
        "required": ["path"],
        "additionalProperties": False,
    }


def test_arguments_are_checked_and_text_is_taken_for_numbers() -> None:
    kind = arguments_type(example)
    assert check_arguments(kind, {"path": "x", "many": ["3"]}) == {"path": "x", "mode": "a", "many": [3]}
    with pytest.raises(ToolError, match="It takes: path, mode, many"):
        check_arguments(kind, {"path": "x", "mode": "c"})


def untyped(x) -> str:  # type: ignore[no-untyped-def]
    return ""


def starred(*x: int) -> str:
    return ""


@pytest.mark.parametrize("function", [untyped, starred])
def test_what_no_schema_can_be_made_of_is_refused_by_name(function: Any) -> None:
    with pytest.raises(PluginError, match=function.__name__):
        entry_of(function, plugin="p")


def prepared(name: str, path: str = "", **options: Any) -> PreparedCall:
    found = PreparedCall(
        ToolCallPart(id=name, name=name), ToolCall(id=name, name=name, arguments={}, options=ToolOptions(**options))
    )
    found.arguments = {"path": path}
    return found


def names(*calls: PreparedCall) -> list[list[str]]:
    return [[ready.call.name for ready in wave] for wave in waves(calls, "/w")]


def test_calls_run_at_once_unless_they_touch_the_same_path() -> None:
    write = {"risk": "write", "paths": ("path",)}
    read = {"risk": "read", "paths": ("path",)}
    assert names(prepared("r1", "a", **read), prepared("r2", "a", **read)) == [["r1", "r2"]]
    assert names(prepared("w1", "a", **write), prepared("w2", "b", **write)) == [["w1", "w2"]]
    assert names(prepared("w1", "a", **write), prepared("r1", "./a", **read)) == [["w1"], ["r1"]]
    assert names(prepared("r1", "d/x", **read), prepared("w1", "d", **write)) == [["r1"], ["w1"]]


def test_calls_that_want_to_be_alone_are() -> None:
    assert names(prepared("a"), prepared("b", interactive=True), prepared("c"), prepared("d", parallel=False)) == [
        ["a"],
        ["b"],
        ["c"],
        ["d"],
    ]


class Results:
    """Tools that answer in every form."""

    name = "results"

    @tool(risk="read", effects="none")
    def data(self) -> dict[str, int]:
        """Gives data."""
        return {"a": 1}

    @tool(risk="read", effects="none")
    async def nothing(self) -> None:
        """Gives nothing."""

    @tool(risk="read", effects="none")
    async def image(self) -> ImagePart:
        """Gives an image."""
        return ImagePart(media_type="image/png", data=b"x")

    @tool(risk="read", effects="none", max_chars=100)
    async def long(self) -> str:
        """Gives much."""
        return "".join(f"{number:04}" for number in range(1000))

    @tool(risk="read", effects="none", timeout=0.05)
    async def slow(self) -> str:
        """Takes its time."""
        await asyncio.sleep(30)
        return "never"

    @tool(risk="read", effects="none")
    async def leak(self) -> str:
        """Tells a secret."""
        return "the key is sk-abcdefghijklmnopqrstuvwxyz0123456789"

    @tool(risk="read", effects="none")
    async def half(self) -> str:
        """Gives half a character."""
        return "a\ud83d b"

    @tool(risk="read", effects="none")
    def exits(self) -> str:
        """Ends the program, or tries to."""
        raise SystemExit(3)


def result_of(home: Path, name: str) -> Any:
    async def work() -> Any:
        model = ScriptedModel([say("", call(name)), say("ok")])
        async with make_app(
            home, Results(), model=model, environ={"SOME_API_KEY": "sk-abcdefghijklmnopqrstuvwxyz0123456789"}
        ) as app:
            conversation = await app.conversation()
            await collect(conversation.send("go"))
            return model.requests[-1].messages[-1].parts[0]

    return asyncio.run(work())


def test_results_come_in_every_form(tmp_path: Path) -> None:
    assert json.loads(result_of(tmp_path, "data").content[0].text) == {"a": 1}
    assert result_of(tmp_path, "nothing").content == (TextPart("(done)"),)
    assert result_of(tmp_path, "image").content == (ImagePart(media_type="image/png", data=b"x"),)


def test_a_long_result_is_cut_in_the_middle_and_kept_whole_in_a_file(tmp_path: Path) -> None:
    text = result_of(tmp_path, "long").content[0].text
    assert text.startswith("00000001")
    assert text.endswith("09980999")
    assert "3900 characters left out" in text
    file = Path(text.partition("the whole is in ")[2].partition(" …]")[0])
    assert len(file.read_text()) == 4000


def test_a_tool_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    result = result_of(tmp_path, "slow")
    assert result.is_error
    assert "did not end within 0.05 s" in result.content[0].text


def test_secrets_are_hidden_from_the_model(tmp_path: Path) -> None:
    assert "abcdefghijklmnop" not in result_of(tmp_path, "leak").content[0].text


def test_a_tool_cannot_end_the_program(tmp_path: Path) -> None:
    assert "sys.exit(3)" in result_of(tmp_path, "exits").content[0].text


def test_a_dropped_in_tool_is_found_and_runs(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "dice.py").write_text(
        'from hermes import tool\n@tool(risk="read")\n'
        'def roll() -> int:\n    "Rolls."\n    print("noise")\n    return 4\n'
    )

    async def work() -> None:
        model = ScriptedModel([say("", call("roll")), say("ok")])
        async with make_app(tmp_path, model=model, only=["dice"]) as app:
            await collect((await app.conversation()).send("go"))
            assert model.requests[-1].messages[-1].parts[0].content == (TextPart("4"),)  # type: ignore[union-attr]

    asyncio.run(work())


def test_half_a_character_does_not_end_the_turn(tmp_path: Path) -> None:
    assert result_of(tmp_path, "half").content == (TextPart("a? b"),)
