"""What is sent beside text, checked before it is: a wrong type or size is an error here, not a refusal there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from hermes.contracts.errors import BadRequest
from hermes.contracts.messages import AudioPart, FilePart, ImagePart, Part, ToolResultPart
from hermes.contracts.provider import ModelRequest

IMAGES = frozenset(["image/png", "image/jpeg", "image/gif", "image/webp"])
PDF = "application/pdf"
MEGABYTE = 1024 * 1024
AUDIO = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/mp4": "mp4",
    "audio/m4a": "m4a",
    "audio/webm": "webm",
    "audio/aiff": "aiff",
    "audio/x-aiff": "aiff",
}
"""Types and short names of formats; see `formats`."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
DOCUMENTS = {
    PDF: "pdf",
    "application/json": "json",
    "application/msword": "doc",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}


def formats(table: Mapping[str, str], *names: str) -> dict[str, str]:
    """The types of ``table`` that are of these formats, and which of them each is."""
    return {media_type: name for media_type, name in table.items() if name in names}


def plain_type(media_type: str) -> str:
    """Without parameters, in lower case: ``audio/ogg`` of ``Audio/Ogg; codecs=opus``."""
    return media_type.partition(";")[0].strip().lower()


class Accepted(NamedTuple):
    """What a wire takes. Types: media types as `plain_type` gives them; an empty set takes none, None any. Sizes: bytes
    of one part; 0: any.
    """

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
        provider, media_type = request.endpoint.provider, plain_type(part.media_type)
        if types is not None and (media_type or part.data) and media_type not in types:
            takes = ", ".join(sorted(types)) or "none"
            raise BadRequest(
                f"{provider}: the {kind} of the type {media_type or 'unknown'} cannot be sent to {request.model}.",
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


def image_url(part: ImagePart) -> str:
    """The image's address; one with its bytes in it where they are given."""
    return part.url if part.url and not part.data else data_url(part.media_type, part.data)


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64_of(data)}"
