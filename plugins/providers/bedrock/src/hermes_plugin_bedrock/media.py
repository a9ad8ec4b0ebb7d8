"""What Converse takes beside text, by media type, and what it calls it."""

from __future__ import annotations

from hermes_carrier.media import MEGABYTE, Accepted

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
AUDIO = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "mp4",
    "audio/webm": "webm",
}
ACCEPTED = Accepted(
    images=frozenset(IMAGES),
    image_size=int(3.75 * MEGABYTE),
    files=frozenset(DOCUMENTS),
    file_size=32 * MEGABYTE,
    audio=frozenset(AUDIO),
    audio_size=25 * MEGABYTE,
)
