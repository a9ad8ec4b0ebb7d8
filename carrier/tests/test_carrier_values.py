"""Names, media and state, which every wire treats alike."""

from __future__ import annotations

import pytest

from hermes import (
    AudioPart,
    BadRequest,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from hermes_carrier.media import AUDIO, DOCUMENTS, IMAGES, MEGABYTE, PDF, Accepted, check, formats, image_url
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of, tagged

ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="k" * 20)


def asked(
    *messages: Message, model: str = "m", endpoint: Endpoint = ENDPOINT, tools: tuple[str, ...] = ()
) -> ModelRequest:
    specs = tuple(ToolSpec(name=name, description="", parameters={"type": "object"}) for name in tools)
    return ModelRequest(
        id="r", session_id="s", turn_id="t", endpoint=endpoint, model=model, messages=messages, tools=specs
    )


@pytest.mark.parametrize("name", ["mcp.files.read", "größe", "a b", "x" * 80, "ns/tool", "a:b", "9lives", ""])
def test_a_name_that_is_refused_is_mapped_and_mapped_back(name: str) -> None:
    names = ToolNames(asked(tools=(name, "plain")), first="[A-Za-z_]")
    theirs = names.theirs(name)
    assert theirs != name
    assert len(theirs) <= 64
    assert theirs.isascii()
    assert theirs.replace("_", "").replace("-", "").isalnum()
    assert not theirs[0].isdigit()
    assert names.ours(theirs) == name
    assert names.theirs("plain") == "plain"
    assert names.ours("unknown") == "unknown"


def test_names_that_become_alike_stay_apart() -> None:
    names = ToolNames(asked(tools=("a.b", "a/b", "a_b")))
    theirs = {names.theirs(name) for name in ("a.b", "a/b", "a_b")}
    assert len(theirs) == 3
    assert {names.ours(name) for name in theirs} == {"a.b", "a/b", "a_b"}


def test_a_name_in_the_history_is_mapped_back_too() -> None:
    call = ToolCallPart(id="c", name="gone.tool")
    names = ToolNames(asked(Message(role="assistant", parts=(call,))))
    assert names.ours(names.theirs("gone.tool")) == "gone.tool"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (ImagePart(media_type="image/tiff", data=b"x"), "image/tiff"),
        (ImagePart(media_type="image/png", data=bytes(2 * MEGABYTE)), "2.0 MB"),
        (FilePart(name="a.zip", media_type="application/zip", data=b"x"), "a.zip"),
        (AudioPart(media_type="audio/wav", data=b"x"), "audio"),
        (
            ToolResultPart(call_id="c", name="look", content=(ImagePart(media_type="image/bmp", data=b"x"),)),
            "image/bmp",
        ),
    ],
)
def test_what_a_wire_does_not_take_is_refused_before_it_is_sent(part, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadRequest, match=says) as raised:
        check(asked(Message(role="user", parts=(part,))), Accepted(image_size=MEGABYTE))
    assert raised.value.hint


def test_what_a_wire_takes_passes() -> None:
    parts = (
        TextPart("see"),
        ImagePart(media_type="image/png", data=b"x"),
        ImagePart(media_type="", url="http://a.test/b.png"),
        FilePart(name="a.pdf", media_type=PDF, data=b"x"),
    )
    check(asked(Message(role="user", parts=parts)), Accepted(images=IMAGES))
    check(asked(Message(role="user", parts=(AudioPart(media_type="audio/x", data=b"x"),))), Accepted(audio=None))


def test_state_goes_back_only_to_whom_it_came_from() -> None:
    request = asked(model="one")
    message = Message(role="assistant", parts=(), provider_state=(tagged(request, {"mark": "a"}),))
    assert state_of(message, request) == {"mark": "a"}
    assert state_of(message, asked(model="two")) == {}
    elsewhere = Endpoint(provider="acme", base_url="http://other.test/v1")
    assert state_of(message, asked(model="one", endpoint=elsewhere)) == {}


def test_a_type_counts_without_its_parameters_and_a_part_without_one_does_not() -> None:
    taken = Accepted(audio=frozenset(formats(AUDIO, "ogg")))
    check(asked(Message(role="user", parts=(AudioPart(media_type="Audio/OGG; codecs=opus", data=b"x"),))), taken)
    for part in (AudioPart(media_type="", data=b"x"), AudioPart(media_type="audio/mpeg", data=b"x")):
        with pytest.raises(BadRequest, match=r"unknown|audio/mpeg"):
            check(asked(Message(role="user", parts=(part,))), taken)


def test_the_types_of_some_formats() -> None:
    assert formats(DOCUMENTS, "pdf", "txt") == {PDF: "pdf", "text/plain": "txt"}
    assert set(formats(AUDIO, "wav")) == {"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"}


def test_an_image_by_its_address_or_with_its_bytes_in_it() -> None:
    assert image_url(ImagePart(media_type="", url="http://a.test/b.png")) == "http://a.test/b.png"
    assert image_url(ImagePart(media_type="image/png", url="http://a.test", data=b"x")) == "data:image/png;base64,eA=="
