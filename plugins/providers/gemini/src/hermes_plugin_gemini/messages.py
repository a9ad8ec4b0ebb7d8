"""The messages of a request as Gemini's ``contents``. Nothing in an encoded message depends on the ones after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hermes.contracts.messages import (
    AudioPart,
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
from hermes_carrier.calls import arguments_of
from hermes_carrier.media import MEGABYTE, PDF, Accepted, base64_of, plain_type
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of

from .quirks import Quirks
from .wire import NO_SIGNATURE, PARTS, SIGNATURE

Encoded = dict[str, Any]

_AUDIO = {
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
}
_TEXTS = ("plain", "html", "css", "csv", "xml", "rtf", "markdown", "md", "javascript", "x-python", "calendar")
_VIDEOS = ("mp4", "mpeg", "quicktime", "x-flv", "mpg", "webm", "wmv", "3gpp")
ACCEPTED = Accepted(
    images=frozenset(f"image/{kind}" for kind in ("png", "jpeg", "webp", "heic", "heif")),
    files=frozenset([PDF, *(f"text/{kind}" for kind in _TEXTS), *(f"video/{kind}" for kind in _VIDEOS)]),
    file_size=50 * MEGABYTE,
    audio=frozenset(
        [
            *(f"audio/{kind}" for kind in ("wav", "mp3", "mpeg", "aiff", "aac", "ogg", "flac", "mp4", "m4a", "webm")),
            *_AUDIO,
        ]
    ),
)


def contents_of(request: ModelRequest, quirks: Quirks, names: ToolNames) -> list[Encoded]:
    """Neighbours of one role are one content with the parts of each; results of tools are one of their own."""
    contents: list[Encoded] = []
    kind = ""
    for role, parts in _turns(request, quirks, names):
        if not parts:
            continue
        if role == kind and role != "results":
            contents[-1]["parts"].extend(parts)
        else:
            contents.append({"role": "model" if role == "model" else "user", "parts": parts})
        kind = role
    return contents


def _turns(request: ModelRequest, quirks: Quirks, names: ToolNames) -> Iterator[tuple[str, list[Encoded]]]:
    called: dict[str, int] = {}
    results: list[ToolResultPart] = []
    for message in request.messages:
        if message.role == "tool":
            results.extend(part for part in message.parts if isinstance(part, ToolResultPart))
            continue
        if results:
            yield "results", _results(results, called, quirks, names)
            results = []
        if message.role == "assistant":
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            called = {call.id: place for place, call in enumerate(calls)}
            yield "model", _model(message, request, quirks, names)
        else:
            yield "user", [encoded for part in message.parts if (encoded := _said(part)) is not None]
    if results:
        yield "results", _results(results, called, quirks, names)


def _model(message: Message, request: ModelRequest, quirks: Quirks, names: ToolNames) -> list[Encoded]:
    calls = {
        part.id: {"functionCall": _call(part, quirks, names)}
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    shape = state_of(message, request).get(PARTS) or []
    parts = _as_written(shape, text_of(message.parts), calls)
    if parts is None:
        signed = {entry["call"]: entry for entry in shape if "call" in entry}
        texts = [{"text": part.text} for part in message.parts if isinstance(part, TextPart) and part.text]
        parts = [*texts, *(_signed(call, signed.get(name, {})) for name, call in calls.items())]
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and quirks.signatures:
        first.setdefault(SIGNATURE, NO_SIGNATURE)
    return parts


def _as_written(shape: Sequence[Mapping[str, Any]], text: str, calls: Mapping[str, Encoded]) -> list[Encoded] | None:
    """The parts of an answer just as they came; None if the message does not say the same any more."""
    parts: list[Encoded] = []
    said = 0
    for entry in shape:
        if "call" in entry:
            if entry["call"] not in calls:
                return None
            parts.append(_signed(dict(calls[entry["call"]]), entry))
        elif "text" in entry:
            parts.append(_signed({"text": text[said : said + entry["text"]]}, entry))
            said += entry["text"]
        elif "thought" in entry:
            parts.append(_signed({"text": entry["thought"], "thought": True}, entry))
        else:
            parts.append(_signed(entry["part"], entry))
    whole = said == len(text) and sum("functionCall" in part for part in parts) == len(calls)
    return parts if shape and whole else None


def _signed(part: Encoded, entry: Mapping[str, Any]) -> Encoded:
    return {**part, SIGNATURE: entry[SIGNATURE]} if SIGNATURE in entry else part


def _call(part: ToolCallPart, quirks: Quirks, names: ToolNames) -> Encoded:
    named = {"id": part.id} if quirks.call_ids else {}
    return {**named, "name": names.theirs(part.name), "args": arguments_of(part)}


def _results(
    results: Iterable[ToolResultPart], called: Mapping[str, int], quirks: Quirks, names: ToolNames
) -> list[Encoded]:
    """In the order of their calls: Google counts them, and without ids tells them apart by their place."""
    parts: list[Encoded] = []
    images: list[Encoded] = []
    for result in sorted(results, key=lambda result: called.get(result.call_id, len(called))):
        seen = [_image(piece) for piece in result.content if isinstance(piece, ImagePart)]
        said = text_of(result.content)
        response: Encoded = {**({"id": result.call_id} if quirks.call_ids else {}), "name": names.theirs(result.name)}
        response["response"] = {"error" if result.is_error else "output": said}
        if seen and quirks.result_images:
            response["parts"] = seen
        elif seen:
            response["response"] = {**response["response"], "images": "They follow the results."}
            images += [{"text": f"From the tool {result.name} (call {result.call_id}):"}, *seen]
        parts.append({"functionResponse": response})
    return [*parts, *images]


def _said(part: Part) -> Encoded | None:
    """A part of a user's message; None for what has no place there."""
    match part:
        case TextPart():
            return {"text": part.text} if part.text else None
        case ImagePart():
            return _image(part)
        case AudioPart():
            kind = plain_type(part.media_type)
            return _inline(_AUDIO.get(kind, kind), base64_of(part.data))
        case FilePart():
            return _inline(plain_type(part.media_type), base64_of(part.data))
        case _:
            return None


def _image(part: ImagePart) -> Encoded:
    """By its bytes, or by an address: of Google's file store, of a bucket, or of the web where the model reads that."""
    if part.data or not part.url:
        return _inline(part.media_type, base64_of(part.data))
    if part.url.startswith("data:"):
        head, _, data = part.url[5:].partition(",")
        return _inline(part.media_type or head.partition(";")[0], data)
    kind = {"mimeType": part.media_type} if part.media_type else {}
    return {"fileData": {**kind, "fileUri": part.url}}


def _inline(media_type: str, data: str) -> Encoded:
    return {"inlineData": {"mimeType": media_type, "data": data}}
