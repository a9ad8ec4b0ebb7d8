"""Images, files and audio in a request; what Google does not take is refused before it is sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hermes import AudioPart, BadRequest, Endpoint, FilePart, ImagePart, Message, ModelRequest, ToolCallPart
from hermes_plugin_gemini.codec import encode
from hermes_testkit.provider_cases import assistant, result, user

OLD = {"signatures": False, "result_images": False}
PNG = ImagePart(media_type="image/png", data=b"\x89PNG")


def request(*messages: Message, quirks: dict[str, Any] | None = None) -> ModelRequest:
    endpoint = Endpoint(provider="acme", base_url="http://acme.test/v1beta", quirks=quirks or {})
    return ModelRequest(id="r1", session_id="s", turn_id="t", model="a-model", endpoint=endpoint, messages=messages)


def contents(*messages: Message, quirks: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(encode(request(*messages, quirks=quirks)))["contents"]
    return found


def call(name: str = "look", call_id: str = "c1") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name)


def test_bytes_go_inline() -> None:
    audio = AudioPart(media_type="audio/x-wav", data=b"RIFF")
    paper = FilePart(name="a.pdf", media_type="application/pdf", data=b"%PDF")
    inline = [part["inlineData"] for part in contents(user(PNG, audio, paper))[0]["parts"]]
    assert [(part["mimeType"], base64.b64decode(part["data"])) for part in inline] == [
        ("image/png", b"\x89PNG"),
        ("audio/wav", b"RIFF"),
        ("application/pdf", b"%PDF"),
    ]


@pytest.mark.parametrize(
    ("part", "encoded"),
    [
        (
            ImagePart(media_type="image/png", url="gs://bucket/a.png"),
            {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}},
        ),
        (ImagePart(media_type="", url="https://x.test/a"), {"fileData": {"fileUri": "https://x.test/a"}}),
        (
            ImagePart(media_type="", url="data:image/webp;base64,AAAA"),
            {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        ),
    ],
)
def test_an_address_goes_as_one(part: ImagePart, encoded: dict[str, Any]) -> None:
    assert contents(user(part))[0]["parts"] == [encoded]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ImagePart(media_type="image/gif", data=b"GIF"), "image/gif cannot be sent to a-model"),
        (AudioPart(media_type="audio/midi", data=b"M"), "audio/midi"),
        (FilePart(name="a.zip", media_type="application/zip", data=b"PK"), "a.zip"),
        (ImagePart(media_type="image/png", data=bytes(21 * 1024 * 1024)), "21.0 MB"),
    ],
)
def test_what_google_does_not_take_is_refused_here(part: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as raised:
        encode(request(user(part)))
    assert raised.value.hint


def test_images_of_tools_are_in_their_result() -> None:
    parts = contents(user("x"), assistant(call()), result(call(), "see", PNG))[2]["parts"]
    assert [part["functionResponse"]["parts"][0]["inlineData"]["mimeType"] for part in parts] == ["image/png"]


def test_where_a_result_holds_text_only_its_images_follow_all_results() -> None:
    one, two = call(), call("wait", "c2")
    sent = contents(user("x"), assistant(one, two), result(one, "see", PNG), result(two, "2"), quirks=OLD)
    kinds = [next(iter(part)) for part in sent[2]["parts"]]
    assert kinds == ["functionResponse", "functionResponse", "text", "inlineData"]
    assert "look" in sent[2]["parts"][2]["text"]
