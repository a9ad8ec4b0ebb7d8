from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes import (
    BadRequest,
    ConfigError,
    Endpoint,
    Message,
    ModelAnswer,
    ModelCall,
    ModelFinished,
    ModelRequest,
    RateLimited,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolCallReady,
    Usage,
    UsageUpdate,
)
from hermes_plugin_replay.cassette import append_call, call_at, find_cassette, load_cassette
from hermes_plugin_replay.player import Player

CASSETTE = """
- expect: hello
  events:
    - thinking: hm
    - text: "Hi there. "
    - tool_call: {name: add, arguments: {a: 1}}
    - usage: {input_tokens: 3, output_tokens: 4}
- events:
    - text: Done.
"""


def request(cassette: Path | str, *messages: Message) -> ModelRequest:
    return ModelRequest(
        id="r",
        session_id="s",
        turn_id="t",
        endpoint=Endpoint(provider="replay"),
        model=str(cassette),
        messages=messages,
    )


def play(cassette: Path | str, *messages: Message) -> list[Any]:
    async def run() -> list[Any]:
        return [event async for event in Player().stream(request(cassette, *messages))]

    return asyncio.run(run())


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", parts=(TextPart(text),))


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(CASSETTE)
    return file


def test_it_plays_in_order(cassette: Path) -> None:
    events = play(cassette, user("hello you"))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hi there. "
    (call,) = [event.call for event in events if isinstance(event, ToolCallReady)]
    assert (call.name, call.arguments) == ("add", '{"a": 1}')
    assert [event.usage for event in events if isinstance(event, UsageUpdate)] == [
        Usage(input_tokens=3, output_tokens=4)
    ]
    assert events[-1] == ModelFinished(reason="tool_calls", model=str(cassette))


def test_it_is_deterministic(cassette: Path) -> None:
    assert play(cassette, user("hello")) == play(cassette, user("hello"))


def test_the_position_is_the_number_of_answers(cassette: Path) -> None:
    events = play(cassette, user("hello"), assistant("Hi"), user("and?"))
    assert events[0] == TextDelta(text="Done.")


def test_the_end_of_the_cassette_is_told(cassette: Path) -> None:
    with pytest.raises(BadRequest, match=r"c.yaml ends after 2 model calls"):
        play(cassette, user("hello"), assistant("1"), assistant("2"))


def test_another_conversation_than_the_recorded_one_is_told(cassette: Path) -> None:
    with pytest.raises(BadRequest, match="expects 'hello'"):
        play(cassette, user("goodbye"))


def test_recorded_errors_are_raised(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("- events:\n  - error: {kind: RateLimited, message: slow, retry_after: 3.0}\n")
    with pytest.raises(RateLimited, match="slow") as caught:
        play(file, user("x"))
    assert caught.value.retry_after == 3.0
    assert caught.value.provider == "replay"


@pytest.mark.parametrize(
    "event",
    [
        "error: {kind: RateLimted}",
        "error: {kind: OSError}",
        "error: {knd: x}",
        "usage: {tokens: 3}",
        "usage: {input_tokens: x}",
    ],
)
def test_mistakes_in_a_cassette_are_named_before_anything_is_played(tmp_path: Path, event: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(f"- events:\n  - text: Hello\n  - {event}\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml is no cassette"):
        play(file, user("x"))


def test_placeholders_are_filled_from_the_extra_options(tmp_path: Path) -> None:
    file = tmp_path / "places.yaml"
    file.write_text(
        "- events:\n"
        "  - text: 'In {{workspace}} and {{ other }}.'\n"
        "  - tool_call: {name: ls, arguments: {paths: ['{{workspace}}/a', '{{unknown}}'], deep: {n: 3}}}\n"
    )

    async def run() -> list[Any]:
        asked = msgspec.structs.replace(request(file, user("x")), extra={"workspace": "/w"})
        return [event async for event in Player().stream(asked)]

    events = asyncio.run(run())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "In /w and {{ other }}."
    (call,) = [event.call for event in events if isinstance(event, ToolCallReady)]
    assert json.loads(call.arguments) == {"paths": ["/w/a", "{{unknown}}"], "deep": {"n": 3}}


def test_a_missing_or_malformed_cassette_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cassette"):
        find_cassette(str(tmp_path / "nowhere"))
    file = tmp_path / "bad.yaml"
    file.write_text("- events: [{txt: x}]\n")
    with pytest.raises(ConfigError, match="txt"):
        load_cassette(file)


def test_what_is_recorded_can_be_played(tmp_path: Path) -> None:
    file = tmp_path / "recorded.yaml"
    call = ModelCall(
        id="r",
        session_id="s",
        turn_id="t",
        provider="openai",
        model="m",
        base_url="",
        messages=1,
        tools=0,
        last=(TextPart("Hello: world\nsecond line"),),
    )
    tool = ToolCallPart(id="call_9", name="terminal", arguments='{"command": "ls # \\u00fc"}')
    said = ModelAnswer(
        parts=(TextPart("Líne one\nline: two"), tool), finish="tool_calls", usage=Usage(input_tokens=1), seconds=1
    )
    append_call(str(file), call, said)
    append_call(str(file), call, ModelAnswer(parts=(TextPart("end"),), finish="stop", usage=Usage(), seconds=1))
    assert len(load_cassette(file)) == 2
    events = play(file, user("Hello: world\nsecond line"))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Líne one\nline: two"
    assert next(event.call.id for event in events if isinstance(event, ToolCallReady)) == "call_9"
    assert call_at(load_cassette(file), 1, "Hello: world", file).events[0].text == "end"


@pytest.mark.parametrize("arguments", ["", "{not json", "[1, 2]", '"text"'])
def test_arguments_that_are_no_object_are_recorded_as_they_were_written(tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "recorded.yaml"
    asked = ModelCall(
        id="r", session_id="s", turn_id="t", provider="openai", model="m", base_url="", messages=1, tools=0
    )
    tool = ToolCallPart(id="c", name="f", arguments=arguments)
    append_call(str(file), asked, ModelAnswer(parts=(tool,), finish="tool_calls", usage=Usage(), seconds=1))
    assert [event.call for event in play(file, user("x")) if isinstance(event, ToolCallReady)] == [tool]


FILLS_THE_DISK = """
import resource, signal, sys
from hermes import ModelAnswer, ModelCall, TextPart, Usage
from hermes_plugin_replay.cassette import append_call

asked = ModelCall(id="r", session_id="s", turn_id="t", provider="p", model="m", base_url="", messages=1, tools=0)

def add(text):
    answer = ModelAnswer(parts=(TextPart(text),), finish="stop", usage=Usage(), seconds=1)
    append_call(sys.argv[1], asked, answer)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
add("fits")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    add("x" * 5000)
except OSError:
    print("refused")
"""


def test_a_recording_that_does_not_fit_leaves_the_cassette_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "full.yaml"
    done = subprocess.run([sys.executable, "-c", FILLS_THE_DISK, str(file)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n", done.stderr
    assert [event.text for call in load_cassette(file) for event in call.events if event.text] == ["fits"]


def test_the_shipped_cassettes_are_sound() -> None:
    assert load_cassette(find_cassette("demo"))
