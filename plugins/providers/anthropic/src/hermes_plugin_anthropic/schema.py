"""Answers of a schema and the schemas of tools' inputs, as the vendor takes them.

For models that take no schema for their answer: a tool that has to be called, whose input is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hermes.contracts.errors import BadRequest
from hermes.contracts.provider import ModelRequest
from hermes_carrier import structured

from .quirks import Quirks

_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"])
_KEPT = frozenset(["$ref", "type", "enum", "const", "title", "description", "required", "items"])
_COMBINED = ("oneOf", "anyOf", "allOf")


class AnswerTool(NamedTuple):
    name: str
    tool: dict[str, Any]
    choice: dict[str, Any]


def answer_tool(request: ModelRequest, quirks: Quirks) -> AnswerTool | None:
    """The tool, where one is needed. Beside other tools it is one way to end the turn, else the only one.

    Raises:
        BadRequest: the model cannot be forced to call a tool, or the answer is no object.
    """
    wanted = request.response_format
    if wanted is None or quirks.structured != "tool":
        return None
    if quirks.thinking == "always":
        raise _impossible(request, "It always thinks, and then cannot be made to call a tool.")
    if wanted.json_schema.get("type") != "object":
        raise _impossible(request, "It takes only schemas of the type object.")
    name = structured.answer_tool(request)
    tool = {
        "name": name,
        "description": f"Gives the final answer ({wanted.name}). Call it once, when the answer is known.",
        "input_schema": wanted.json_schema,
    }
    choice = {"type": "any"} if request.tools else {"type": "tool", "name": name}
    return AnswerTool(name, tool, {**choice, "disable_parallel_tool_use": True})


def answer_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an answer: objects are closed, ``oneOf`` is ``anyOf``, limits are words."""
    return structured.closed(schema, _is_refused)


def input_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's input: an object, without alternatives at its top."""
    rest = {name: schema[name] for name in _COMBINED if name in schema}
    plain = {name: value for name, value in schema.items() if name not in _COMBINED}
    return structured.told({**plain, "type": "object"}, rest)


def _is_refused(name: str, value: Any) -> bool:
    if name == "format":
        return value not in _FORMATS
    if name == "minItems":
        return value not in (0, 1)
    return name not in _KEPT and not (name in _COMBINED and isinstance(value, list))


def _impossible(request: ModelRequest, why: str) -> BadRequest:
    provider = request.endpoint.provider
    return BadRequest(
        f"{provider}: {request.model} cannot be held to a schema. {why}",
        provider=provider,
        hint=f"Use another model; if this one takes schemas, set providers.{provider}.quirks.structured to native.",
    )
