"""What a model is known not to take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hermes import FilePart, ImagePart, Message, TextPart, ToolCallPart, ToolResultPart, TurnFinished
from hermes.contracts.errors import BadRequest
from hermes.models.inputs import fitting
from hermes_testkit.scripted import ScriptedModel, collect, make_app, say

PICTURE = ImagePart(media_type="image/png", data=b"png")
REPORT = FilePart(name="a.pdf", media_type="application/pdf", data=b"pdf")
MODELS = {
    "providers": {
        "scripted": {"models": [{"id": "model-1"}, {"id": "blind", "inputs": []}, {"id": "eye", "inputs": ["image"]}]}
    }
}


def test_what_is_asked_about_now_is_refused_with_models_that_take_it() -> None:
    asked = (Message(role="user", parts=(TextPart("See"), PICTURE)),)
    with pytest.raises(BadRequest, match="acme:m takes no image") as told:
        fitting(asked, [], "acme:m", ["eye", "eagle"])
    assert "eye, eagle" in told.value.hint
    assert fitting(asked, ["image"], "acme:m", []) == asked
    with pytest.raises(BadRequest, match="takes no file"):
        fitting((Message(role="user", parts=(REPORT,)),), ["image"], "acme:m", [])


def test_earlier_parts_become_notes() -> None:
    call = ToolCallPart(id="c", name="look")
    result = ToolResultPart(call_id="c", name="look", content=(TextPart("a photo"), PICTURE))
    history = (
        Message(role="user", parts=(TextPart("See"), PICTURE)),
        Message(role="assistant", parts=(call,)),
        Message(role="tool", parts=(result,)),
        Message(role="user", parts=(TextPart("And?"),)),
    )
    fitted = fitting(history, [], "acme:m", [])
    assert fitted[0].parts == (TextPart("See"), TextPart("[image left out: this model does not take it]"))
    (left,) = fitted[2].parts
    assert isinstance(left, ToolResultPart)
    assert left.content == (TextPart("a photo"), TextPart("[image left out: this model does not take it]"))
    assert (fitted[1], fitted[3]) == (history[1], history[3])


def test_nothing_is_sent_to_a_model_that_takes_none(tmp_path: Path) -> None:
    model = ScriptedModel([say("I see"), say("I do not")])

    async def work() -> list[TurnFinished]:
        ended = []
        async with make_app(tmp_path, model=model, overrides=MODELS) as app:
            conversation = await app.conversation()
            for name, parts in (("model-1", [PICTURE]), ("blind", [TextPart("And?")]), ("blind", [PICTURE])):
                await conversation.choose_model(f"scripted:{name}")
                events = await collect(conversation.send(parts))
                assert isinstance(events[-1], TurnFinished)
                ended.append(events[-1])
        return ended

    first, second, third = asyncio.run(work())
    assert (first.text, second.text) == ("I see", "I do not")
    assert third.error is not None
    assert "scripted:blind takes no image" in third.error.message
    assert "eye" in third.error.hint
    assert len(model.requests) == 2
    assert PICTURE in model.requests[0].messages[0].parts, "of a model that is not known, everything is sent"
    assert PICTURE not in model.requests[1].messages[0].parts
