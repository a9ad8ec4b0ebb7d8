"""Amazon Bedrock's Converse: what it takes, and what it has against it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from ..replies import Fail
from ..seen import SeenCall, SeenPrompt

ID = r"[a-zA-Z0-9_.:-]{1,64}"
NAME = r"[a-zA-Z0-9_-]{1,64}"

Message = Mapping[str, Any]


def refused(asked: Mapping[str, Any]) -> Fail | None:
    messages = asked.get("messages") or []
    problem = next(chain(_order(messages), _blocks(messages), _pairs(messages), _tools(asked, messages)), None)
    return Fail(400, message=problem) if problem else None


def _order(messages: Sequence[Message]) -> Iterator[str]:
    roles = [message.get("role") for message in messages]
    for number, role in enumerate(roles):
        if role not in ("user", "assistant"):
            yield (
                f"1 validation error detected: Value '{role}' at 'messages.{number + 1}.member.role' failed to satisfy "
                "constraint: Member must satisfy enum value set: [user, assistant]"
            )
    if roles[:1] != ["user"]:
        yield (
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    if any(role == following for role, following in pairwise(roles)):
        yield (
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )


def _blocks(messages: Sequence[Message]) -> Iterator[str]:
    for number, message in enumerate(messages):
        if not message.get("content"):
            yield (
                f"The content field in the Message object at messages.{number} is empty. Add a ContentBlock object to "
                "the content field and try again."
            )
        for place, block in enumerate(message["content"]):
            yield from _block(block, f"messages.{number}.content.{place}")


def _block(block: Mapping[str, Any], where: str) -> Iterator[str]:
    if "text" in block and not block["text"].strip():
        yield (
            f"The text field in the ContentBlock object at {where} is blank. Add text to the text field, and try again."
        )
    for name in ("toolUse", "toolResult"):
        used = block.get(name, {})
        if used and not re.fullmatch(ID, used.get("toolUseId", "")):
            yield _constraint(f"{where}.{name}.toolUseId", used.get("toolUseId", ""), ID)
    if "toolUse" in block and not re.fullmatch(NAME, block["toolUse"]["name"]):
        yield _constraint(f"{where}.toolUse.name", block["toolUse"]["name"], NAME)
    if block.get("toolResult", {}).get("status") == "error" and not block["toolResult"].get("content"):
        yield f"The content field in the ToolResultBlock object at {where} is empty, and its status is error."
    if "toolUse" in block and not isinstance(block["toolUse"]["input"], Mapping):
        yield f"The format of the value at {where}.toolUse.input is invalid. Provide a json object for the field."
    reasoning = block.get("reasoningContent", {})
    if "reasoningText" in reasoning and "redactedContent" in reasoning:
        yield f"The ContentBlock object at {where} must set one of its members: reasoningText, redactedContent."


def _constraint(where: str, value: str, pattern: str) -> str:
    return (
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy "
        f"regular expression pattern: {pattern}"
    )


def _pairs(messages: Sequence[Message]) -> Iterator[str]:
    """Calls whose results do not follow at once, and results whose calls do not stand right before."""
    for number, message in enumerate(messages):
        calls = _ids(messages[number - 1], "toolUse") if number else []
        results = _ids(message, "toolResult")
        if missing := [call for call in calls if call not in results]:
            yield (
                f"Expected toolResult blocks at messages.{number}.content for the following Ids: {', '.join(missing)}"
            )
        if [result for result in results if result not in calls]:
            yield (
                f"The number of toolResult blocks at messages.{number}.content exceeds the number of toolUse blocks of "
                "previous turn."
            )


def _ids(message: Message, member: str) -> list[str]:
    return [block[member]["toolUseId"] for block in message["content"] if member in block]


def _tools(asked: Mapping[str, Any], messages: Sequence[Message]) -> Iterator[str]:
    used = any("toolUse" in block or "toolResult" in block for message in messages for block in message["content"])
    if used and not (asked.get("toolConfig") or {}).get("tools"):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."


def read(body: Mapping[str, Any]) -> SeenPrompt:
    tools = (body.get("toolConfig") or {}).get("tools", ())
    seen = SeenPrompt(tools=[tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool])
    seen.system = [block["text"] for block in body.get("system", ()) if "text" in block]
    structure = (body.get("outputConfig") or {}).get("textFormat", {}).get("structure")
    seen.json_schema = json.loads(structure["jsonSchema"]["schema"]) if structure else None
    for message in body["messages"]:
        texts = len(seen.turns)
        for block in message["content"]:
            _read_block(block, message["role"], seen)
        if len(seen.turns) == texts:
            seen.turns.append((message["role"], ""))
    return seen


def _read_block(block: Mapping[str, Any], role: str, seen: SeenPrompt) -> None:
    if "text" in block:
        seen.turns.append((role, block["text"]))
    elif "image" in block:
        seen.images.append(base64.b64decode(block["image"]["source"]["bytes"]))
    elif "toolUse" in block:
        used = block["toolUse"]
        seen.calls.append(SeenCall(used["toolUseId"], used["name"], json.dumps(used["input"])))
    elif "toolResult" in block:
        parts = block["toolResult"]["content"]
        text = "\n".join(part.get("text", json.dumps(part.get("json"))) for part in parts if "image" not in part)
        pictures = [part["image"]["source"]["bytes"] for part in parts if "image" in part]
        seen.images.extend(base64.b64decode(picture) for picture in pictures)
        seen.turns.append(("tool", text))
        seen.results.append((block["toolResult"]["toolUseId"], text))
