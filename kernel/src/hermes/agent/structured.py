"""Answers that have to be JSON of a schema: how one is asked for, and whether an answer fits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hermes.contracts.errors import ConfigError, HermesError
from hermes.contracts.provider import ResponseFormat

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_MISFITS = 2
"""Answers that do not fit before the call fails."""
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(?P<json>.*?)\n\s*```\s*", re.DOTALL)


def response_format_of(wanted: Mapping[str, Any] | ResponseFormat | None) -> ResponseFormat | None:
    """From OpenAI's form: `response_format`, of the type ``json_schema``, ``json_object`` or ``text``.

    Raises:
        ConfigError: it is none of these, or the schema is none.
    """
    if not isinstance(wanted, Mapping | ResponseFormat | None):
        raise _invalid(f"it has to be a mapping, not {wanted!r:.80}")
    found = _read(wanted) if isinstance(wanted, Mapping) else wanted
    if found is not None:
        _check_references(found)
        misfit("null", found)
    return found


def _read(wanted: Mapping[str, Any]) -> ResponseFormat | None:
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return ResponseFormat(name="answer", json_schema={"type": "object"}, strict=False)
        case "json_schema":
            inner = wanted.get("json_schema")
            if not isinstance(inner, Mapping):
                raise _invalid("json_schema has to be an object")
            name, schema = inner.get("name"), inner.get("schema")
            if not isinstance(name, str) or not name.strip():
                raise _invalid("json_schema.name has to be a text that is not empty")
            if not isinstance(schema, Mapping):
                raise _invalid("json_schema.schema has to be an object")
            return ResponseFormat(name=name, json_schema=dict(schema), strict=bool(inner.get("strict", True)))
        case other:
            raise _invalid(f"type has to be json_schema, json_object or text, not {other!r}")


def misfit(text: str, wanted: ResponseFormat) -> str:
    """What is wrong with an answer; blank if it is JSON that fits."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    try:
        wrong = next(iter(_validator(wanted).iter_errors(value)), None)
    except RecursionError:
        raise _invalid("the schema refers to itself without end") from None
    return f"at {wrong.json_path}: {wrong.message[:300]}" if wrong is not None else ""


def does_not_fit(problem: str) -> HermesError:
    return HermesError(
        f"The answer does not fit the schema: {problem}.", hint="Make the schema simpler, or use another model."
    )


def say_again(problem: str) -> str:
    """To a model whose answer does not fit."""
    return f"Your answer does not fit the JSON schema: {problem}. Answer again, with nothing but the JSON."


def unfenced(text: str) -> str:
    """Without the Markdown fence that some models put around JSON."""
    fenced = _FENCED.fullmatch(text)
    return fenced["json"] if fenced else text


def _validator(wanted: ResponseFormat) -> Validator:
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    kind = validator_for(wanted.json_schema, default=Draft202012Validator)
    try:
        kind.check_schema(wanted.json_schema)
    except SchemaError as error:
        raise _invalid(f"the schema is none: {error.message[:300]}") from None
    # With a registry of its own, nothing that a schema refers to is fetched.
    made: Validator = kind(wanted.json_schema, registry=Registry())
    return made


def _check_references(wanted: ResponseFormat) -> None:
    """Raises ConfigError: the schema refers to what is not in it."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(wanted.json_schema))
    for reference in _references(wanted.json_schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise _invalid(f'the schema refers to "{reference}", which is not in it') from None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key in ("$ref", "$dynamicRef"):
            if isinstance(schema.get(key), str):
                yield schema[key]
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _invalid(problem: str) -> ConfigError:
    return ConfigError(f"invalid response_format: {problem}.", hint="Nothing was sent.")
