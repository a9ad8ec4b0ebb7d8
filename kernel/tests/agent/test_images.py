"""Images are told by what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes import ConfigError
from hermes.agent.images import MOST_BYTES, image_of

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("a.png", PNG, "image/png"),
        ("really.jpg", PNG, "image/png"),
        ("noext", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.gif", b"GIF89a", "image/gif"),
        ("a.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_its_type_is_that_of_its_bytes(tmp_path: Path, name: str, data: bytes, media_type: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert image_of(tmp_path / name).media_type == media_type


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"some text", "no image that models take"),
        (b"", "no image that models take"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "no image that models take"),
        (PNG + bytes(MOST_BYTES), "too large: 20 MB"),
    ],
)
def test_what_is_none_is_told(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        image_of(tmp_path / "x.png")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        image_of(tmp_path)
