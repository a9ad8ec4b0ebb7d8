"""Anthropic's Messages: what it takes, and what it has against it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

from ..replies import Fail
from ..seen import SeenCall, SeenPrompt

NEWEST = "2026-10-21"
VERSIONS = ("2023-01-01", "2023-06-01", NEWEST)
BREAKPOINTS = 4

Content = list[Mapping[str, Any]]


class Turn(NamedTuple):
    role: str
    content: Content


def refused(version: str | None, asked: Mapping[str, Any]) -> Fail | None:
    found = chain(_header(version), _members(asked), _settings(version, asked), _messages(asked))
    problem = next(found, None)
    return Fail(400, message=problem) if problem else None


def turns_of(asked: Mapping[str, Any]) -> list[Turn]:
    """The messages as the model sees them: neighbours of one role are one turn."""
    turns = []
    for role, group in groupby(asked["messages"], key=lambda message: str(message.get("role"))):
        turns.append(Turn(role, [block for message in group for block in _list(message.get("content", ""))]))
    return turns


def _list(content: Any) -> Content:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _header(version: str | None) -> Iterator[str]:
    if version is None:
        yield "anthropic-version: header is required"
    elif version not in VERSIONS:
        yield f'anthropic-version: "{version}" is not a valid version'


def _members(asked: Mapping[str, Any]) -> Iterator[str]:
    for name in ("model", "max_tokens", "messages"):
        if name not in asked:
            yield f"{name}: Field required"
    if not asked.get("messages"):
        yield "messages: at least one message is required"


def _settings(version: str | None, asked: Mapping[str, Any]) -> Iterator[str]:
    thinking = asked.get("thinking") or {}
    thinks = thinking.get("type") in ("enabled", "adaptive")
    for name in ("temperature", "top_p", "top_k"):
        if name in asked and version == NEWEST:
            yield f"{name}: Extra inputs are not permitted"
    if thinks and (asked.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if thinking.get("budget_tokens", 0) >= asked["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    marked = json.dumps([asked.get(name) for name in ("tools", "system", "messages")]).count('"cache_control": {')
    if marked > BREAKPOINTS:
        yield f"A maximum of {BREAKPOINTS} blocks with cache_control may be provided. Found {marked}."
    wanted = (asked.get("output_config") or {}).get("format") or {}
    if wanted and _open(wanted.get("schema", {})):
        yield "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"


def _open(schema: Any) -> bool:
    """Whether an object in the schema takes more members than it names."""
    if not isinstance(schema, Mapping):
        return isinstance(schema, list) and any(_open(inner) for inner in schema)
    closed = schema.get("type") != "object" or schema.get("additionalProperties") is False
    return not closed or any(_open(inner) for inner in schema.values())


def _messages(asked: Mapping[str, Any]) -> Iterator[str]:
    yield from _roles(asked["messages"])
    turns = turns_of(asked)
    yield from _blocks(turns)
    yield from _pairs(turns)


def _roles(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number, message in enumerate(messages):
        role = message.get("role")
        if role == "system" and not (number and messages[number - 1].get("role") == "user"):
            yield (
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        elif role not in ("user", "assistant", "system"):
            yield f"messages.{number}.role: Input should be 'user' or 'assistant'"
    if messages[0].get("role") != "user":
        yield 'messages: first message must use the "user" role'


def _blocks(turns: list[Turn]) -> Iterator[str]:
    for number, turn in enumerate(turns):
        for place, block in enumerate(turn.content):
            where = f"messages.{number}.content.{place}"
            kind = block.get("type")
            if kind == "text" and not block.get("text"):
                yield "messages: text content blocks must be non-empty"
            elif kind == "text" and not str(block["text"]).strip():
                yield "messages: text content blocks must contain non-whitespace text"
            elif kind == "thinking" and not block.get("signature"):
                yield f"{where}.thinking.signature: Field required"
            elif kind in ("thinking", "redacted_thinking", "tool_use") and turn.role != "assistant":
                yield f"{where}: `{kind}` blocks can only be in `assistant` messages"
            elif kind == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", block.get("id", "")):
                yield f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"


def _pairs(turns: list[Turn]) -> Iterator[str]:
    """Calls whose results do not follow at once, and results whose calls do not stand right before."""
    for number, (turn, following) in enumerate(zip(turns, [*turns[1:], Turn("", [])], strict=True)):
        results = _ids(following.content, "tool_result", "tool_use_id")
        missing = [call for call in _ids(turn.content, "tool_use", "id") if call not in results]
        if missing and following.role:
            yield (
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        calls = _ids(turns[number - 1].content, "tool_use", "id") if number else []
        for place, result in enumerate(_ids(turn.content, "tool_result", "tool_use_id")):
            if result not in calls:
                yield (
                    f"messages.{number}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{result}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message."
                )
        kinds = [block.get("type") == "tool_result" for block in turn.content]
        if any(kinds) and kinds != sorted(kinds, reverse=True):
            yield f"messages.{number}: `tool_result` blocks must come before other content in the message"


def _ids(content: Content, kind: str, member: str) -> list[str]:
    return [str(block.get(member)) for block in content if block.get("type") == kind]


def read(body: Mapping[str, Any]) -> SeenPrompt:
    seen = SeenPrompt(tools=[tool["name"] for tool in body.get("tools", ())])
    seen.system = [block["text"] for block in _list(body["system"])] if body.get("system") else []
    seen.json_schema = (body.get("output_config") or {}).get("format", {}).get("schema")
    for message in body["messages"]:
        role, content = message["role"], _list(message["content"])
        if role == "system":
            seen.system.extend(block["text"] for block in content)
            continue
        texts = len(seen.turns)
        for block in content:
            _read_block(block, role, seen)
        if len(seen.turns) == texts:
            seen.turns.append((role, ""))
    return seen


def _read_block(block: Mapping[str, Any], role: str, seen: SeenPrompt) -> None:
    match block["type"]:
        case "text":
            seen.turns.append((role, block["text"]))
        case "image":
            seen.images.append(base64.b64decode(block["source"]["data"]))
        case "tool_use":
            seen.calls.append(SeenCall(block["id"], block["name"], json.dumps(block["input"])))
        case "tool_result":
            parts = _list(block.get("content", []))
            text = "\n".join(part["text"] for part in parts if part["type"] == "text")
            seen.images.extend(base64.b64decode(part["source"]["data"]) for part in parts if part["type"] == "image")
            seen.turns.append(("tool", text))
            seen.results.append((block["tool_use_id"], text))
