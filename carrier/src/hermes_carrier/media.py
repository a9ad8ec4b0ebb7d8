"""What is sent beside text, checked before it is: a wrong type or size is an error here, not a refusal there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hermes.contracts.errors import BadRequest
from hermes.contracts.messages import AudioPart, FilePart, ImagePart, Part, ToolResultPart
from hermes.contracts.provider import ModelRequest

IMAGES = frozenset(["image/png", "image/jpeg", "image/gif", "image/webp"])
PDF = "application/pdf"
MEGABYTE = 1024 * 1024


class Accepted(NamedTuple):
    """What a wire takes. Types: media types; an empty set takes none, None any. Sizes: bytes of one part; 0: any."""

    images: frozenset[str] | None = IMAGES
    image_size: int = 20 * MEGABYTE
    files: frozenset[str] | None = frozenset([PDF])
    file_size: int = 32 * MEGABYTE
    audio: frozenset[str] | None = frozenset()
    audio_size: int = 20 * MEGABYTE


def check(request: ModelRequest, accepted: Accepted) -> None:
    """Raises BadRequest for the first part that the wire does not take; it says why, and what it takes."""
    for part in _media(request):
        match part:
            case ImagePart():
                kind, types, most = "image", accepted.images, accepted.image_size
            case FilePart():
                kind, types, most = f'file "{part.name}"', accepted.files, accepted.file_size
            case AudioPart():
                kind, types, most = "audio", accepted.audio, accepted.audio_size
        provider = request.endpoint.provider
        if types is not None and part.media_type and part.media_type not in types:
            takes = ", ".join(sorted(types)) or "none"
            raise BadRequest(
                f"{provider}: the {kind} of the type {part.media_type} cannot be sent to {request.model}.",
                provider=provider,
                hint=f"It takes: {takes}. Convert it, or use another model.",
            )
        if most and len(part.data) > most:
            raise BadRequest(
                f"{provider}: the {kind} has {len(part.data) / MEGABYTE:.1f} MB; {request.model} takes "
                f"{most / MEGABYTE:.0f}.",
                provider=provider,
                hint="Make it smaller.",
            )


def _media(request: ModelRequest) -> Iterator[ImagePart | FilePart | AudioPart]:
    for message in request.messages:
        yield from _of(message.parts)


def _of(parts: Iterable[Part]) -> Iterator[ImagePart | FilePart | AudioPart]:
    for part in parts:
        if isinstance(part, ImagePart | FilePart | AudioPart):
            yield part
        elif isinstance(part, ToolResultPart):
            yield from _of(part.content)


def base64_of(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64_of(data)}"
