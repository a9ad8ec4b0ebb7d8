"""A file as a model reads it: numbered lines of text, an image, or a refusal that says what the file is."""

from __future__ import annotations

from hermes.contracts.errors import ToolError
from hermes.contracts.messages import ImagePart
from hermes.contracts.terminal import FileInfo

from .access import Files

CHUNK = 1024 * 1024
MAX_LINE = 2000
MAX_LIMIT = 2000
MAX_IMAGE = 10 * 1024 * 1024
MAX_CHARACTERS = 45_000
"""Of one answer, under the 50,000 that a tool's result may have."""

_IMAGES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_KINDS = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\x7fELF", "an ELF program or library"),
    (b"\x1f\x8b", "gzip data"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"(\xb5/\xfd", "zstandard data"),
    (b"ustar", "a tar archive"),
)


async def show(files: Files, info: FileInfo, path: str, offset: int, limit: int) -> str | ImagePart:
    """Lines ``offset`` (from 1) and following; an image whole.

    Raises:
        ToolError: it is binary, or has no such line.
    """
    data = await files.read(info, 0, CHUNK)
    if media_type := _image_type(data):
        if info.size > MAX_IMAGE:
            raise ToolError(f"{path} is an image of {info.size:,} bytes, too large to look at. Scale it down first.")
        return ImagePart(media_type=media_type, data=data if info.size <= len(data) else await files.read(info))
    encoding = _encoding(data, path, info.size)
    if not data:
        return "(the file is empty)"
    first, last = max(offset, 1), max(offset, 1) + min(max(limit, 1), MAX_LIMIT) - 1
    lines, total = await _lines(files, info, data, encoding, first, last)
    if not lines:
        raise ToolError(f"{path} has only {total} lines; offset {first} is past its end.")
    shown: list[str] = []
    room = MAX_CHARACTERS
    for number, line in enumerate(lines, first):
        cut = f"{line[:MAX_LINE]} [… {len(line) - MAX_LINE:,} characters]" if len(line) > MAX_LINE else line
        room -= len(cut) + len(str(number)) + 2
        if room < 0 and shown:
            break
        shown.append(f"{number}|{cut}")
    end = first + len(shown) - 1
    if total is None or end < total:
        shown.append(f"[lines {first}-{end} of {total or 'more'}; go on with offset={end + 1}]")
    return "\n".join(shown)


def _image_type(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _IMAGES if data.startswith(magic)), "")


def _encoding(data: bytes, path: str, size: int) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    kind = next((name for magic, name in _KINDS if data.startswith(magic)), "")
    if kind or b"\0" in data[:8192]:
        raise ToolError(f"{path} is binary: {kind or 'no text'}, {size:,} bytes. Look into it with a command.")
    return "utf-8-sig"


async def _lines(
    files: Files, info: FileInfo, data: bytes, encoding: str, first: int, last: int
) -> tuple[list[str], int | None]:
    """The lines from ``first`` to ``last``, and how many there are; None: more than have been counted.

    Reads on only as far as it has to. A newline at the end ends the last line and begins none.
    """
    if encoding == "utf-16":
        data = (data if info.size <= len(data) else await files.read(info)).decode(encoding, "replace").encode()
        size = len(data)
    else:
        size = info.size
    wanted: list[str] = []
    rest, position, count = b"", 0, 0
    while True:
        position += len(data)
        *complete, rest = (rest + data).split(b"\n")
        if position >= size or not data:
            complete += [rest] if rest else []
        low = max(0, first - 1 - count)
        wanted += [line.decode("utf-8", "replace").removesuffix("\r") for line in complete[low : max(0, last - count)]]
        count += len(complete)
        if position >= size or not data:
            if wanted and first == 1:
                wanted[0] = wanted[0].removeprefix("\ufeff")
            return wanted, count
        if count > last:
            return wanted, None
        data = await files.read(info, position, CHUNK)
