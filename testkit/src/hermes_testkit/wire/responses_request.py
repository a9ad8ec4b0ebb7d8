"""OpenAI's Responses: what it takes, and what it has against it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from ..replies import Fail
from ..seen import SeenCall, SeenPrompt
from .openai_common import invalid

PARTS = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file"),
    "system": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
}


def items_of(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = asked.get("input", "")
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def refused(asked: Mapping[str, Any]) -> Fail | None:
    checks = (_members, _tools, _format, _messages, _pairs, _reasoning)
    return next(chain.from_iterable(check(asked) for check in checks), None)


def _members(asked: Mapping[str, Any]) -> Iterator[Fail]:
    for name in ("model", "input"):
        if not asked.get(name):
            yield invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def _tools(asked: Mapping[str, Any]) -> Iterator[Fail]:
    for number, tool in enumerate(asked.get("tools") or ()):
        if tool.get("type") == "function" and not tool.get("name"):
            param = f"tools[{number}].name"
            yield invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _format(asked: Mapping[str, Any]) -> Iterator[Fail]:
    wanted = (asked.get("text") or {}).get("format") or {}
    if wanted.get("type") != "json_schema":
        return
    name = wanted.get("name", "")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        message = (
            "Invalid 'text.format.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'."
        )
        yield invalid(message, "text.format.name", "invalid_value")
    if wanted.get("strict"):
        for context, problem in _strict(wanted.get("schema", {}), ()):
            message = f"Invalid schema for response_format '{name}': In context={context}, {problem}"
            yield invalid(message, "text.format.schema", "invalid_json_schema")


def _strict(schema: Mapping[str, Any], context: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a schema is not one for strict output, and why."""
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield context, "'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in schema.get("required", ())]
        if missing:
            yield (
                context,
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'.",
            )
    for name, inner in properties.items():
        yield from _strict(inner, (*context, "properties", name))
    if isinstance(schema.get("items"), Mapping):
        yield from _strict(schema["items"], (*context, "items"))


def _messages(asked: Mapping[str, Any]) -> Iterator[Fail]:
    for number, item in enumerate(items_of(asked)):
        if item.get("type", "message") != "message":
            continue
        role, content = item.get("role"), item.get("content")
        if role not in PARTS:
            message = f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
            yield invalid(message, f"input[{number}]", "invalid_value")
            continue
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") not in PARTS[role]:
                supported = " and ".join(f"'{name}'" for name in PARTS[role])
                message = f"Invalid value: '{part.get('type')}'. Supported values are: {supported}."
                yield invalid(message, f"input[{number}].content[{place}]", "invalid_value")


def _pairs(asked: Mapping[str, Any]) -> Iterator[Fail]:
    """Calls without an output, and outputs without a call; an earlier response may hold the other half."""
    if asked.get("previous_response_id") or asked.get("conversation"):
        return
    calls: list[str] = []
    for item in items_of(asked):
        if item.get("type") == "function_call":
            calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in calls:
                yield invalid(f"No tool call found for function call output with call_id {item['call_id']}.", "input")
            else:
                calls.remove(item["call_id"])
    for call_id in calls:
        yield invalid(f"No tool output found for function call {call_id}.", "input")


def _reasoning(asked: Mapping[str, Any]) -> Iterator[Fail]:
    items = items_of(asked)
    for item, following in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") != "reasoning":
            continue
        if asked.get("store") is False and not item.get("encrypted_content"):
            message = (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. "
                "Try again with `store` set to true, or remove this item from your input."
            )
            yield invalid(message, "input", status=404)
        if not (following.get("role") == "assistant" or following.get("type") in ("reasoning", "function_call")):
            message = f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            yield invalid(message, "input")


def read(body: Mapping[str, Any]) -> SeenPrompt:
    seen = SeenPrompt(tools=[tool["name"] for tool in body.get("tools", ())])
    seen.json_schema = (body.get("text") or {}).get("format", {}).get("schema")
    if body.get("instructions"):
        seen.system.append(body["instructions"])
    for item in items_of(body):
        match item.get("type", "message"):
            case "function_call":
                seen.calls.append(SeenCall(item["call_id"], item["name"], item["arguments"]))
            case "function_call_output":
                text = _text(item["output"], seen)
                seen.turns.append(("tool", text))
                seen.results.append((item["call_id"], text))
            case "message":
                text = _text(item["content"], seen)
                if item["role"] in ("system", "developer"):
                    seen.system.append(text)
                else:
                    seen.turns.append((item["role"], text))
    return seen


def _text(content: Any, seen: SeenPrompt) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        if part["type"] == "input_image":
            seen.images.append(base64.b64decode(part["image_url"].partition("base64,")[2]))
        else:
            texts.append(part.get("text", part.get("refusal", "")))
    return "\n".join(texts)
