"""Thoughts and calls that a model writes into its text, cut anywhere, and never shown as text."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import Endpoint, ModelEvent, ModelFinished, ModelRequest, TextDelta, ThinkingDelta, ToolCallReady
from hermes_plugin_openai.provider import ChatCompletions
from hermes_plugin_openai.stream import Decoder
from hermes_plugin_openai.tags import Said, Tags
from hermes_testkit.model_server import ModelServer, Say
from hermes_testkit.provider_cases import TOOLS, Outcome, outcome_of, user

TEXT = (
    "\n<think>\nA < b, so <thin\n</think>\n\nLet me see.\n<tool_call>\n"
    '{"name": "look", "arguments": {"place": "</tool"}}\n</tool_call>\n<tool_call>{"name": "wait"}</tool_call>'
    " Now <b>that</b> <think>is</think> all. <tool"
)
TOLD = (
    "\nA < b, so <thin",
    "Let me see.\nNow <b>that</b> <think>is</think> all. <tool",
    [("look", '{"place":"</tool"}'), ("wait", "{}")],
)


def said(*pieces: str, thinking: bool = True, calls: bool = True) -> list[Said]:
    tags = Tags(thinking=thinking, calls=calls)
    return [*[one for piece in pieces for one in tags.feed(piece)], *tags.finish()]


def joined(found: list[Said], kind: str) -> str:
    return "".join(one.text for one in found if one.kind == kind)


def request(**quirks: Any) -> ModelRequest:
    endpoint = Endpoint(provider="acme", base_url="http://acme.test/v1", quirks=quirks)
    return ModelRequest(
        id="r1", session_id="s", turn_id="t", endpoint=endpoint, model="m", messages=(user("x"),), tools=TOOLS
    )


def events_of(*pieces: str, **quirks: Any) -> list[ModelEvent]:
    decoder = Decoder(request(**quirks))
    chunks: list[dict[str, Any]] = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return list(decoder.feed(stream.encode()))


def told(events: list[ModelEvent]) -> tuple[str, str, list[tuple[str, str]]]:
    return (
        "".join(event.text for event in events if isinstance(event, ThinkingDelta)).rstrip(),
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        [(event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallReady)],
    )


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, len(TEXT)), max_size=20).map(sorted))
def test_a_text_cut_anywhere_says_the_same(cuts: list[int]) -> None:
    edges = [0, *cuts, len(TEXT)]
    pieces = [TEXT[start:end] for start, end in pairwise(edges)]
    assert told(events_of(*pieces, think_tags=True, native_tools=False)) == TOLD


def test_a_text_of_single_letters() -> None:
    assert told(events_of(*TEXT, think_tags=True, native_tools=False)) == TOLD


@given(st.text(alphabet="<>/think tool_call\n", max_size=60), st.booleans(), st.booleans())
def test_without_whole_tags_all_text_is_text(text: str, thinking: bool, calls: bool) -> None:
    if any(tag in text for tag in ("<think>", "<tool_call>")):
        return
    found = joined(said(*text, thinking=thinking, calls=calls), "text")
    assert found == text


def test_text_is_given_as_soon_as_it_can_be_no_tag() -> None:
    tags = Tags(thinking=True, calls=True)
    assert list(tags.feed("Hello <t")) == [Said("text", "Hello")]
    assert list(tags.feed("ail>")) == [Said("text", " <tail>")]


def test_a_tag_after_the_beginning_is_a_word_of_the_text() -> None:
    assert told(events_of("Say ", "<think>", "no</think>", think_tags=True)) == ("", "Say <think>no</think>", [])


def test_thoughts_come_as_they_are_thought() -> None:
    tags = Tags(thinking=True, calls=False)
    assert list(tags.feed("<think>one")) == [Said("thinking", "one")]
    assert list(tags.feed(" two")) == [Said("thinking", " two")]


def test_tags_mean_nothing_to_an_endpoint_that_writes_none() -> None:
    assert told(events_of(TEXT)) == ("", TEXT, [])


@pytest.mark.parametrize(
    ("text", "calls", "shown"),
    [
        ('<tool_call>{"name": "look", "arguments": {"a": 1}}', [("look", '{"a":1}')], ""),
        ('<tool_call>{"name": "look", "arguments": "{\\"a\\": 1}"}</tool_call>', [("look", '{"a": 1}')], ""),
        ('<tool_call>{"name": "look", "arguments": {"a": </tool_call>', [("look", '{"a":')], ""),
        ('<tool_call>{"name": "look", </tool_call>', [("look", '{"name": "look",')], ""),
        ("<tool_call>I would look</tool_call>", [], "I would look"),
        ('<tool_call>{"tool": "look"}</tool_call>', [], '{"tool": "look"}'),
    ],
)
def test_calls_that_are_badly_written(text: str, calls: list[tuple[str, str]], shown: str) -> None:
    assert told(events_of(text, native_tools=False)) == ("", shown, calls)


def test_equal_calls_are_two_and_the_answer_ends_with_them() -> None:
    one = '<tool_call>{"name": "wait", "arguments": {"a": </tool_call>'
    events = events_of(one, one, native_tools=False)
    ids = [event.call.id for event in events if isinstance(event, ToolCallReady)]
    assert len(set(ids)) == 2
    end = events[-1]
    assert isinstance(end, ModelFinished)
    assert end.reason == "tool_calls"


def test_a_whole_turn_without_native_tools(model_server: ModelServer) -> None:
    model_server.script(Say('<think>Hm.</think>Looking.\n<tool_call>\n{"name": "look"}\n</tool_call>', chunks=40))
    asked = request(think_tags=True, native_tools=False)
    asked = msgspec.structs.replace(asked, endpoint=msgspec.structs.replace(asked.endpoint, base_url=model_server.url))

    async def work() -> Outcome:
        provider = ChatCompletions()
        outcome = await outcome_of(provider, asked)
        await provider.close()
        return outcome

    outcome = asyncio.run(work())
    assert (outcome.error, outcome.thinking, outcome.text) == (None, "Hm.", "Looking.")
    assert [(call.name, call.arguments) for call in outcome.calls] == [("look", "{}")]
