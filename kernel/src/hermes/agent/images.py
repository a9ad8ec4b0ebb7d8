"""Images from files, told by what is in them."""

from __future__ import annotations

from pathlib import Path

from hermes.contracts.errors import ConfigError
from hermes.contracts.messages import ImagePart

MOST_BYTES = 20 * 1024 * 1024
_MARKS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_of(file: str | Path) -> ImagePart:
    """Raises ConfigError: it cannot be read, is no image that models take, or is too large."""
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"The image {file} cannot be read: {error.strerror}.") from None
    media_type = _type_of(data)
    if not media_type:
        raise ConfigError(
            f"{file} is no image that models take.",
            hint="Convert it to PNG, JPEG, GIF or WebP; its name does not matter.",
        )
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{file} is too large: {len(data) >> 20} MB.", hint="Send at most 20 MB.")
    return ImagePart(media_type=media_type, data=data)


def _type_of(data: bytes) -> str:
    """By its first bytes; blank if it is none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _MARKS if data.startswith(mark)), "")
