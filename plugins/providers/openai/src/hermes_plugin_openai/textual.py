"""Tools for endpoints that know none: described and called in the text, in the form of the Hermes models."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from hermes.contracts.messages import Message, ToolCallPart, ToolResultPart, text_of
from hermes.contracts.provider import ModelRequest

from .quirks import Quirks
from .tags import CALL, CALL_END

_NAME = re.compile(r'"name"\s*:\s*"([^"]+)"')
_ARGUMENTS = re.compile(r'"arguments"\s*:\s*')

_TOLD = """\
To use tools, write for each call one JSON object with the tool's name and its arguments, between tags:
{call}
{{"name": "the tool's name", "arguments": {{"an argument": "its value"}}}}
{end}
Write as many calls as are useful, then stop: what they return comes back between <tool_response> tags.
Never write a response yourself. The tools there are, each with the JSON Schema of its arguments:
<tools>
{tools}
</tools>"""


def told(request: ModelRequest, quirks: Quirks) -> str:
    """What the model has to be told of tools; blank where the endpoint takes them, and where there are none."""
    if quirks.native_tools or not request.tools:
        return ""
    tools = [_json({"name": t.name, "description": t.description, "parameters": t.parameters}) for t in request.tools]
    return _TOLD.format(call=CALL, end=CALL_END, tools="\n".join(tools))


def said(message: Message) -> str:
    """An answer's text with its calls."""
    calls = [
        f'{CALL}\n{{"name": {_json(part.name)}, "arguments": {part.arguments}}}\n{CALL_END}'
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return "\n".join(filter(None, [text_of(message.parts), *calls]))


def response(part: ToolResultPart, text: str) -> str:
    return f"<tool_response>\n{_json({'name': part.name, 'content': text})}\n</tool_response>"


def call_of(text: str) -> tuple[str, str] | None:
    """The name and the arguments of a call, these as JSON text, as it was written if that is none. None: no call."""
    try:
        call = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _broken_call(text)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments")
    if arguments is None:
        arguments = {}
    return call["name"], arguments if isinstance(arguments, str) else _json(arguments)


def _broken_call(text: str) -> tuple[str, str] | None:
    name, arguments = _NAME.search(text), _ARGUMENTS.search(text)
    if name is None:
        return None
    written = text[arguments.end() :] if arguments else text
    return name.group(1), written.strip()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
