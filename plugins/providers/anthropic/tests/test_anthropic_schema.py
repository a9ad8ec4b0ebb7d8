"""Schemas as the vendor takes them: what Anthropic's own client makes of them is the measure."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anthropic import transform_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_plugin_anthropic.schema import answer_schema, input_schema

WORDS = st.text("abc", min_size=1, max_size=3)
SAID = st.fixed_dictionaries({}, optional={"description": WORDS, "title": WORDS})
LEAVES = st.one_of(
    st.builds(
        lambda said, rest: {"type": "string", **said, **rest},
        SAID,
        st.sampled_from([{}, {"format": "uuid"}, {"format": "regex"}, {"pattern": "a", "minLength": 2}]),
    ),
    st.builds(
        lambda kind, rest: {"type": kind, **rest},
        st.sampled_from(["integer", "number"]),
        st.fixed_dictionaries({}, optional={"minimum": st.just(1), "multipleOf": st.just(2), "default": st.just(4)}),
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1, None]}, {"const": 3}]),
    st.just({"$ref": "#/$defs/D"}),
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    members = st.dictionaries(WORDS, inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda properties, said, rest: {"type": "object", "properties": properties, **said, **rest},
            members,
            SAID,
            st.fixed_dictionaries(
                {},
                optional={
                    "required": st.just(["a"]),
                    "additionalProperties": st.booleans(),
                    "minProperties": st.just(1),
                    "$defs": members,
                },
            ),
        ),
        st.builds(
            lambda items, rest: {"type": "array", "items": items, **rest},
            inner,
            st.sampled_from([{}, {"minItems": 0}, {"minItems": 1, "uniqueItems": True}, {"minItems": 2}]),
        ),
        st.builds(lambda name, variants: {name: variants}, st.sampled_from(["anyOf", "oneOf", "allOf"]), several),
    )


@settings(deadline=None, max_examples=300)
@given(st.recursive(LEAVES, grown, max_leaves=8))
def test_a_schema_is_adapted_as_the_official_client_does(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    assert answer_schema(schema) == transform_schema(copy.deepcopy(schema))
    assert schema == before


@pytest.mark.parametrize(
    ("schema", "adapted"),
    [
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "object"}, {"type": "object", "properties": {}, "additionalProperties": False}),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {
                "type": "object",
                "properties": {},
                "additionalProperties": False,
                "description": "{additionalProperties: {'type': 'string'}}",
            },
        ),
        (
            {"$ref": "#/definitions/a", "definitions": {"a": {"type": "integer", "minimum": 1}}},
            {"$ref": "#/definitions/a", "definitions": {"a": {"type": "integer", "description": "{minimum: 1}"}}},
        ),
        ({"type": "array", "items": True}, {"type": "array", "items": True}),
        ({}, {}),
    ],
)
def test_schemas_that_the_official_client_does_not_know(schema: dict[str, Any], adapted: dict[str, Any]) -> None:
    assert answer_schema(schema) == adapted


def test_the_schema_of_an_input_keeps_what_it_has() -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}], "minLength": 3}}, "required": ["a"]}
    assert input_schema(schema) == schema
