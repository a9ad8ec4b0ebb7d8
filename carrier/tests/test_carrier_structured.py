"""Schemas of answers, extra members, and quirks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hermes import BadRequest, ConfigError, Endpoint, ModelRequest, ResponseFormat, ToolSpec
from hermes_carrier.extra import merged, refuse_extra
from hermes_carrier.quirks import QuirksBase
from hermes_carrier.structured import answer_tool, closed, in_words, schema_name


def asked(*tools: str, **extra: Any) -> ModelRequest:
    specs = tuple(ToolSpec(name=name, description="", parameters={}) for name in tools)
    endpoint = Endpoint(provider="acme")
    return ModelRequest(id="r", session_id="s", turn_id="t", endpoint=endpoint, model="m", tools=specs, extra=extra)


def refuses_limits(name: str, value: Any) -> bool:
    return name in ("minimum", "pattern")


def test_objects_are_closed_and_what_is_refused_is_said() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many."}, "s": {"pattern": "a+"}},
        "items": {"oneOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"type": "null"}]},
        "$defs": {"a": {"properties": {}, "additionalProperties": True}},
        "additionalProperties": True,
    }
    before = json.dumps(schema)
    assert closed(schema, refuses_limits) == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "How many.\n\n{minimum: 1}"},
            "s": {"description": "{pattern: a+}"},
        },
        "items": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {},
                    "additionalProperties": False,
                    "description": "{additionalProperties: {'type': 'string'}}",
                },
                {"type": "null"},
            ]
        },
        "$defs": {"a": {"properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }
    assert json.dumps(schema) == before


def test_a_list_of_types_is_one_of_them() -> None:
    assert closed({"type": ["string", "null"]}, refuses_limits) == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_the_tool_for_the_answer_has_a_name_of_its_own() -> None:
    assert answer_tool(asked()) == "give_answer"
    assert answer_tool(asked("give_answer", "give_answer_")) == "give_answer__"


@pytest.mark.parametrize(("name", "sent"), [("a name: größer", "a_name__gr__er"), ("", "answer"), ("x" * 99, "x" * 64)])
def test_a_schema_has_a_name_that_vendors_take(name: str, sent: str) -> None:
    assert schema_name(ResponseFormat(name=name, json_schema={})) == sent


def test_a_schema_in_words_is_whole() -> None:
    assert in_words(ResponseFormat(name="n", json_schema={"type": "object"})).endswith('\n{"type":"object"}')


def test_extra_members_are_laid_over_the_body() -> None:
    ours = {"a": {"b": {"c": 1}, "d": [1]}, "e": 1, "f": [1]}
    extra = {"a": {"b": {"x": 2}, "d": [2]}, "e": 2, "f": "no list", "g": 3}
    assert merged(ours, extra) == {"a": {"b": {"c": 1, "x": 2}, "d": [1, 2]}, "e": 2, "f": "no list", "g": 3}
    assert ours == {"a": {"b": {"c": 1}, "d": [1]}, "e": 1, "f": [1]}


def test_the_conversation_is_no_extra_member() -> None:
    refuse_extra(asked(top_k=1), "messages")
    with pytest.raises(BadRequest, match="messages") as caught:
        refuse_extra(asked(messages=[]), "messages")
    assert caught.value.hint


class Quirks(QuirksBase, kw_only=True):
    stream: bool = True
    efforts: tuple[str, ...] = ()


def test_quirks_are_the_endpoints_or_the_defaults() -> None:
    assert Quirks.of(Endpoint(provider="acme")) == Quirks()
    assert Quirks.of(Endpoint(provider="acme", quirks={"efforts": ["low"]})) == Quirks(efforts=("low",))


@pytest.mark.parametrize("quirks", [{"steam": False}, {"stream": "no"}])
def test_quirks_that_are_not_known_are_named(quirks: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="acme") as caught:
        Quirks.of(Endpoint(provider="acme", quirks=quirks))
    assert "stream, efforts" in caught.value.hint
