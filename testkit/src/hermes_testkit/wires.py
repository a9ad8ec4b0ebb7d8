"""The wires that the fake servers speak, so that a suite can read a request whatever its form."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from .connection import SeenRequest
from .model_server import ModelServer, Scripted


@dataclass
class SeenCall:
    id: str
    name: str
    arguments: str


@dataclass
class SeenPrompt:
    """A request in the terms of the contracts."""

    system: list[str] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Role and text of each message after the system's, in order."""
    calls: list[SeenCall] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    """Call id and text."""
    images: list[bytes] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    json_schema: Mapping[str, Any] | None = None


class Wire(Protocol):
    def serve(self, *script: Scripted) -> AbstractContextManager[ModelServer]: ...

    def read(self, request: SeenRequest) -> SeenPrompt: ...


class ChatCompletionsWire:
    def serve(self, *script: Scripted) -> AbstractContextManager[ModelServer]:
        return ModelServer(*script)

    def read(self, request: SeenRequest) -> SeenPrompt:
        body = request.json
        seen = SeenPrompt(tools=[tool["function"]["name"] for tool in body.get("tools", ())])
        seen.json_schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        for message in body["messages"]:
            role, text = message["role"], _text(message.get("content"), seen)
            if role == "system":
                seen.system.append(text)
                continue
            seen.turns.append((role, text))
            for call in message.get("tool_calls") or ():
                seen.calls.append(SeenCall(call["id"], call["function"]["name"], call["function"]["arguments"]))
            if role == "tool":
                seen.results.append((message["tool_call_id"], text))
        return seen


def _text(content: Any, seen: SeenPrompt) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if part["type"] == "text":
            texts.append(part["text"])
        elif part["type"] == "image_url":
            seen.images.append(base64.b64decode(part["image_url"]["url"].partition("base64,")[2]))
    return "\n".join(texts)


WIRES: dict[str, Wire] = {"chat_completions": ChatCompletionsWire()}
