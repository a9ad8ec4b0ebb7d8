"""What a program asks of a model, in the forms that programs have it in."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hermes.config.schema import Effort
from hermes.contracts.errors import ConfigError
from hermes.contracts.messages import ImagePart, Message, Part, SystemBlock, TextPart, ToolSpec
from hermes.contracts.provider import ResponseFormat
from hermes.contracts.values import Value

from .images import image_of
from .structured import response_format_of


class RequestOptions(Value, kw_only=True, forbid_unknown_fields=True):
    """Further fields of a `ModelRequest`."""

    max_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: Effort = ""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: bool = False
    timeout: float = 600.0
    extra: dict[str, Any] = {}


class Question(Value, kw_only=True):
    """In our terms."""

    system: tuple[SystemBlock, ...]
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    response_format: ResponseFormat | None
    options: RequestOptions


def question_of(
    prompt: str | Sequence[Part],
    *,
    system_blocks: Sequence[str | SystemBlock] | None,
    system_prompt: str,
    history: Sequence[Message | Mapping[str, Any]],
    images: Sequence[ImagePart | str | Path],
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None,
    response_format: Mapping[str, Any] | ResponseFormat | None,
    options: Mapping[str, Any],
) -> Question:
    """Raises ConfigError for what is none of the forms; nothing is sent then."""
    for name, given in (("history", history), ("images", images), ("tools", tools), ("system_blocks", system_blocks)):
        if isinstance(given, str | Mapping):
            raise ConfigError(f"`{name}` has to be a list, not {given!r:.80}.")
    blocks = [system_prompt] if system_blocks is None else list(system_blocks)
    parts: list[Part] = [TextPart(prompt)] if isinstance(prompt, str) else list(prompt)
    parts += [_image(image) for image in images]
    turns = [_message(turn) for turn in history]
    if any(not isinstance(part, TextPart) or part.text.strip() for part in parts):
        turns.append(Message(role="user", parts=tuple(parts)))
    if not turns:
        raise ConfigError("There is nothing to ask: no prompt and no history.")
    return Question(
        system=tuple(_block(block, place) for place, block in enumerate(blocks) if _words(block).strip()),
        messages=tuple(turns),
        tools=tuple(tool_spec(tool) for tool in tools or ()),
        response_format=response_format_of(response_format),
        options=_options(options),
    )


def _options(given: Mapping[str, Any]) -> RequestOptions:
    try:
        return msgspec.convert({name: value for name, value in given.items() if value is not None}, RequestOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"An option of the call: {error}.", hint=f"There are: {', '.join(_OPTIONS)}.") from None


_OPTIONS = RequestOptions.__struct_fields__


def _words(block: str | SystemBlock) -> str:
    return block.text if isinstance(block, SystemBlock) else block


def _block(block: str | SystemBlock, place: int) -> SystemBlock:
    return block if isinstance(block, SystemBlock) else SystemBlock(name=f"block{place + 1}", text=block)


def _message(turn: Message | Mapping[str, Any]) -> Message:
    if isinstance(turn, Message):
        return turn
    role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else ("", "")
    if role not in ("user", "assistant") or not isinstance(content, str) or not content.strip():
        raise ConfigError(
            f"A turn of the history is {turn!r:.200}.",
            hint="Give Messages, or mappings with a role (user or assistant) and a content that is a text.",
        )
    return Message(role=role, parts=(TextPart(content),))


def tool_spec(tool: ToolSpec | Mapping[str, Any]) -> ToolSpec:
    """From the form of Anthropic (``input_schema``), OpenAI (``function.parameters``) or MCP (``inputSchema``).

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(tool, ToolSpec):
        return tool
    if not isinstance(tool, Mapping):
        raise ConfigError(f"A tool is {tool!r:.80}: it has to be a mapping or a ToolSpec.")
    inner = tool.get("function") if isinstance(tool.get("function"), Mapping) else tool
    assert isinstance(inner, Mapping)
    schema = next((inner[name] for name in ("input_schema", "inputSchema", "parameters") if name in inner), None)
    name = inner.get("name")
    if not isinstance(name, str) or not name or not isinstance(schema, Mapping | None):
        raise ConfigError(
            f"A tool has no name, or a schema that is none: {str(dict(tool))[:200]}.",
            hint="Give it as Anthropic, OpenAI or MCP do: name, description, input_schema, parameters or inputSchema.",
        )
    parameters = dict(schema) if schema else {"type": "object", "properties": {}}
    return ToolSpec(name=name, description=str(inner.get("description") or ""), parameters=parameters)


def _image(image: ImagePart | str | Path) -> ImagePart:
    if isinstance(image, ImagePart):
        return image
    if isinstance(image, str) and image.startswith(("http://", "https://")):
        return ImagePart(media_type=mimetypes.guess_type(image)[0] or "", url=image)
    return image_of(image)
