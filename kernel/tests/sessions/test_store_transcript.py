"""The transcripts: plain files beside the store."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import StoreError
from hermes.contracts.messages import ImagePart, Message, TextPart, ToolCallPart, Usage
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import SessionRecord
from hermes.sessions.transcript import remove_transcript, write_transcript

RECORD = SessionRecord(
    id="20250102_030405_abcdef", created=1735787045.0, updated=1735787046.5, surface="cli", principal=LOCAL
)


def say(number: int, text: str = "", parent: int = 0) -> Message:
    return Message(role="user", parts=(TextPart(text or f"text {number}"),), id=number, parent=parent)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{RECORD.id}.jsonl").read_text().splitlines()]


def ids(folder: Path) -> list[int]:
    return [line["id"] for line in lines(folder)]


def test_messages_are_appended(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    path = folder / f"{RECORD.id}.jsonl"
    write_transcript(folder, RECORD, [say(1), say(2)])
    inode, content = path.stat().st_ino, path.read_bytes()
    write_transcript(folder, RECORD, [say(1, "not written again"), say(2), say(5), say(9, "x" * 300_000)])
    assert path.stat().st_ino == inode
    assert path.read_bytes().startswith(content)
    write_transcript(folder, RECORD, [say(1), say(2), say(5), say(9), say(10)])
    write_transcript(folder, RECORD, [say(1), say(2), say(5), say(9), say(10)])
    assert ids(folder) == [1, 2, 5, 9, 10]
    assert lines(folder)[0] == {"id": 1, "role": "user", "parts": [{"type": "text", "text": "text 1"}]}
    for found in folder.iterdir():
        assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert len(list(folder.iterdir())) == 2


def test_a_moved_head_is_followed(tmp_path: Path) -> None:
    write_transcript(tmp_path, RECORD, [say(1), say(2), say(3)])
    write_transcript(tmp_path, RECORD, [say(1)])
    assert ids(tmp_path) == [1]
    write_transcript(tmp_path, RECORD, [say(1), say(4), say(5)])
    assert ids(tmp_path) == [1, 4, 5]
    write_transcript(tmp_path, RECORD, [say(1), say(2), say(3), say(6)])
    assert ids(tmp_path) == [1, 2, 3, 6]
    write_transcript(tmp_path, RECORD, [])
    assert ids(tmp_path) == []


@pytest.mark.parametrize("torn", [b'{"id": 3, "ro', b"\0\0\0\n", b"\n"])
def test_a_torn_line_is_mended(tmp_path: Path, torn: bytes) -> None:
    write_transcript(tmp_path, RECORD, [say(1), say(2)])
    with (tmp_path / f"{RECORD.id}.jsonl").open("ab") as file:
        file.write(torn)
    write_transcript(tmp_path, RECORD, [say(1), say(2), say(3)])
    assert ids(tmp_path) == [1, 2, 3]


def test_the_summary(tmp_path: Path) -> None:
    usage = Usage(input_tokens=10, output_tokens=20, cache_read_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    record = SessionRecord(
        id=RECORD.id,
        created=RECORD.created,
        updated=RECORD.updated,
        surface="cli",
        principal=LOCAL,
        provider="p",
        model="m",
        message_count=2,
        usage=usage,
        cost_usd=0.25,
        api_calls=3,
        outcome="failed",
        error="it broke",
    )
    write_transcript(tmp_path, record, [say(1)])
    assert json.loads((tmp_path / f"session_{RECORD.id}.json").read_text()) == {
        "id": RECORD.id,
        "model": "m",
        "provider": "p",
        "started_at": "2025-01-02T03:04:05.000Z",
        "updated_at": "2025-01-02T03:04:06.500Z",
        "message_count": 2,
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "prompt_tokens": 17,
        "completion_tokens": 20,
        "total_tokens": 37,
        "api_call_count": 3,
        "estimated_cost_usd": 0.25,
        "outcome": "failed",
        "error": "it broke",
    }
    write_transcript(tmp_path, RECORD, [say(1)])
    summary = json.loads((tmp_path / f"session_{RECORD.id}.json").read_text())
    assert (summary["estimated_cost_usd"], summary["error"], summary["outcome"]) == (None, None, "")


def test_secrets_are_redacted_and_the_json_stays_whole(tmp_path: Path) -> None:
    def redact(text: str) -> str:
        return "[redacted]" if "sk-" in text else text

    record = SessionRecord(
        id=RECORD.id, created=1.0, updated=1.0, surface="cli", principal=LOCAL, error='bad key "sk-123"'
    )
    call = ToolCallPart(id="c", name="run", arguments='{"key": "sk-123"}')
    image = ImagePart(media_type="image/png", data=b"sk-")
    message = Message(role="assistant", parts=(TextPart('say "sk-123"'), call, image), id=1)
    write_transcript(tmp_path, record, [message], redact=redact)
    parts = lines(tmp_path)[0]["parts"]
    assert [parts[0]["text"], parts[1]["arguments"], parts[2]["data"]] == ["[redacted]", "[redacted]", "c2st"]
    assert "sk-" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        write_transcript(tmp_path / "file", RECORD, [say(1)])
    assert caught.value.hint
    strange = SessionRecord(id="../x", created=1.0, updated=1.0, surface="cli", principal=LOCAL)
    with pytest.raises(StoreError, match="file's name"):
        write_transcript(tmp_path, strange, [say(1)])


def test_transcripts_can_be_removed(tmp_path: Path) -> None:
    write_transcript(tmp_path, RECORD, [say(1)])
    remove_transcript(tmp_path, RECORD.id)
    remove_transcript(tmp_path, RECORD.id)
    assert list(tmp_path.iterdir()) == []
