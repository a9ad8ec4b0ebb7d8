"""The transport ``replay``: answers from a cassette, always the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from hermes import (
    ModelEvent,
    ModelFinished,
    ModelInfo,
    ModelList,
    ModelRequest,
    ModelsQuery,
    ProviderCapabilities,
    TextDelta,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    Usage,
    UsageUpdate,
)

from .cassette import SHIPPED, RecordedCall, RecordedEvent, call_at, find_cassette, load_cassette, newest_text

WORDS = re.compile(r"\S*\s*")
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Player:
    """The position in the cassette is the number of answers in the history, so it is right after a resume, too."""

    capabilities = ProviderCapabilities(thinking=True, model_list=True)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        path = find_cassette(request.model)
        calls = _load(path, path.stat().st_mtime_ns)
        position = sum(message.role == "assistant" for message in request.messages)
        newest = newest_text(request.messages[-1].parts) if request.messages else ""
        call = call_at(list(calls), position, newest, path)
        for number, event in enumerate(call.events):
            if event.pause:
                await asyncio.sleep(event.pause)
            if event.error is not None:
                raise event.error.raised(request.endpoint.provider)
            for spoken in _spoken(event, f"{position}_{number}", request.extra):
                yield spoken
        yield ModelFinished(reason=_reason(call), model=request.model)

    async def models(self, query: ModelsQuery) -> ModelList:
        return ModelList(models=tuple(ModelInfo(id=file.stem) for file in sorted(SHIPPED.glob("*.yaml"))))


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> tuple[RecordedCall, ...]:
    return tuple(load_cassette(path))


def _spoken(event: RecordedEvent, number: str, values: Mapping[str, Any]) -> list[ModelEvent]:
    if event.text is not None:
        return [TextDelta(text=word) for word in WORDS.findall(_filled(event.text, values)) if word]
    if event.thinking is not None:
        return [ThinkingDelta(text=event.thinking)]
    if event.tool_call is not None:
        tool = event.tool_call
        arguments = _filled(tool.arguments, values)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return [ToolCallReady(call=ToolCallPart(id=tool.id or f"call_{number}", name=tool.name, arguments=text))]
    if event.usage is not None:
        return [UsageUpdate(usage=Usage(**msgspec.structs.asdict(event.usage)))]
    return []


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """``{{name}}`` replaced where the request's extra options have text of that name, and left where not."""
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), value)
    if isinstance(value, dict):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return value


def _reason(call: RecordedCall) -> str:
    given = next((event.finish for event in call.events if event.finish), "")
    return given or ("tool_calls" if any(event.tool_call for event in call.events) else "stop")
