"""A conversation as the ``input`` of a Responses request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hermes.contracts.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from hermes.contracts.provider import ModelRequest
from hermes_carrier.calls import accepted_id
from hermes_carrier.media import DOCUMENTS, IMAGES, Accepted, data_url, formats, image_url
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of

from .quirks import Quirks
from .responses_wire import BETWEEN, ITEMS
from .schema import told as told_of

Item = dict[str, Any]

FILES = frozenset(formats(DOCUMENTS, "pdf", "json", "csv", "html", "md", "txt", "pptx", "xlsx", "docx"))
ACCEPTED = Accepted(images=IMAGES, files=FILES)
_CALL_ID = re.compile(r"(?s).{1,64}")


class Items:
    """Encodes the items of one request. ``instructions``: the system block that is none of them; mostly blank."""

    def __init__(self, request: ModelRequest, quirks: Quirks, names: ToolNames) -> None:
        self._request = request
        self._names = names
        texts = [block.text for block in request.system]
        if told := told_of(request, quirks):
            texts.append(told)
        if quirks.single_system and texts:
            texts = ["\n\n".join(texts)]
        self.instructions = texts.pop(0) if quirks.instructions and texts else ""
        self._role = "developer" if quirks.instructions else "system"
        self._system = texts

    def encoded(self) -> list[Item]:
        items: list[Item] = [{"role": self._role, "content": text} for text in self._system]
        for message in self._request.messages:
            match message.role:
                case "user":
                    items.append({"role": "user", "content": _content(message.parts)})
                case "assistant":
                    items.extend(self._assistant(message))
                case "tool":
                    items.extend(
                        {
                            "type": "function_call_output",
                            "call_id": accepted_id(part.call_id, _CALL_ID),
                            "output": _content(part.content),
                        }
                        for part in message.parts
                        if isinstance(part, ToolResultPart)
                    )
        return items

    def _assistant(self, message: Message) -> list[Item]:
        """An answer: as it came where it came from here, with the text and the calls that are kept of it."""
        text = text_of(message.parts)
        calls = {part.id: part for part in message.parts if isinstance(part, ToolCallPart)}
        kept = state_of(message, self._request).get(ITEMS) or []
        items = list(self._kept(kept, text, calls))
        if text and not any("role" in item for item in items):
            items.insert(0, {"role": "assistant", "content": text})
        items += [self._call(part) for part in calls.values()]
        while items and items[-1].get("type") == "reasoning":  # without what it led to, it is refused
            items.pop()
        return items or [{"role": "assistant", "content": ""}]

    def _kept(self, kept: list[Item], text: str, calls: dict[str, ToolCallPart]) -> Iterator[Item]:
        """The items of an answer in their order; takes the calls that it finds out of ``calls``."""
        texts = _split(text, [item["length"] for item in kept if item["type"] == "message"])
        for item in kept:
            match item["type"]:
                case "message":
                    if said := next(texts, ""):
                        own = {name: value for name, value in item.items() if name != "length"}
                        content = [{"type": "output_text", "text": said, "annotations": []}]
                        yield {**own, "role": "assistant", "content": content}
                case "function_call":
                    if (part := calls.pop(item["call_id"], None)) is not None:
                        yield {**item, **self._call(part)}
                case _:
                    yield item

    def _call(self, part: ToolCallPart) -> Item:
        name = self._names.theirs(part.name)
        return {
            "type": "function_call",
            "call_id": accepted_id(part.id, _CALL_ID),
            "name": name,
            "arguments": part.arguments,
        }


def _split(text: str, lengths: list[int]) -> Iterator[str]:
    """The texts of an answer's messages; all of it for the first one if it is not what was said any more."""
    if len(text) != sum(lengths) + len(BETWEEN) * (len(lengths) - 1):
        yield text
        return
    place = 0
    for length in lengths:
        yield text[place : place + length]
        place += length + len(BETWEEN)


def _content(parts: tuple[Part, ...]) -> str | list[Item]:
    """Of a message or a tool's result: a text alone as it stands, else each part as one of the wire's."""
    encoded = [item for part in parts if (item := _part(part)) is not None]
    if all(item["type"] == "input_text" for item in encoded) and len(encoded) < 2:
        return "".join(item["text"] for item in encoded)
    return encoded


def _part(part: Part) -> Item | None:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            return {"type": "input_image", "image_url": image_url(part), "detail": "auto"}
        case FilePart():
            return {"type": "input_file", "filename": part.name, "file_data": data_url(part.media_type, part.data)}
        case _:
            return None
