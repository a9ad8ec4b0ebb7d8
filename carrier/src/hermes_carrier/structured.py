"""Answers of a schema, for models that cannot be held to it as it is: adapted, as a tool's input, or in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hermes.contracts.provider import ModelRequest, ResponseFormat

ANSWER_TOOL = "give_answer"
_NAME_LIMIT = 64
_IN_WORDS = (
    "Write your final answer as JSON alone, without a code fence or a word around it, that is valid by this schema:\n"
)
_MAPS = frozenset(["properties", "$defs", "definitions"])
_LISTS = frozenset(["oneOf", "anyOf", "allOf", "prefixItems"])

IsRefused = Callable[[str, Any], bool]
"""Whether a vendor refuses a keyword of JSON Schema with that value."""


def schema_name(wanted: ResponseFormat) -> str:
    """The name of a schema, of letters and digits that every vendor takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name)[:_NAME_LIMIT] or "answer"


def in_words(wanted: ResponseFormat) -> str:
    """What a model is told that cannot be held to a schema."""
    return f"{_IN_WORDS}{msgspec.json.encode(wanted.json_schema).decode()}"


def answer_tool(request: ModelRequest) -> str:
    """The name of a tool whose input is the answer, where that has to do; none of the request's own has it."""
    taken = {tool.name for tool in request.tools}
    return next(name for number in range(len(taken) + 1) if (name := ANSWER_TOOL + "_" * number) not in taken)


def closed(schema: Mapping[str, Any], refused: IsRefused) -> dict[str, Any]:
    """A schema in the subset that can be enforced: objects are closed, ``oneOf`` is ``anyOf``, and a keyword that is
    refused is said in the description, as `told` does it.
    """
    found: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, Mapping):
            found[name] = {key: _inner(inner, refused) for key, inner in value.items()}
        elif name in _LISTS and isinstance(value, list) and not refused(name, value):
            found["anyOf" if name == "oneOf" else name] = [_inner(inner, refused) for inner in value]
        elif name == "additionalProperties":
            continue
        elif refused(name, value):
            said[name] = value
        else:
            found[name] = _inner(value, refused) if name in ("items", "not") else value
    if isinstance(found.get("type"), list):
        found["anyOf"] = [{"type": kind} for kind in found.pop("type")]
    if found.get("type") == "object":
        found.setdefault("properties", {})
    if "properties" in found:
        found["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), Mapping):
        said["additionalProperties"] = schema["additionalProperties"]
    return told(found, said)


def told(schema: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` with the keywords of ``said`` in the words of its description, as Anthropic's own client does it."""
    if said:
        words = "{" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"
        before = schema.get("description")
        schema["description"] = f"{before}\n\n{words}" if before else words
    return schema


def _inner(schema: Any, refused: IsRefused) -> Any:
    return closed(schema, refused) if isinstance(schema, Mapping) else schema
