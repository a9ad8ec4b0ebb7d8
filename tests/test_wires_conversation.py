"""One conversation, moved from wire to wire: every turn keeps its role, its tool calls' ids and their results."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from hermes import App, ImagePart, TextPart, ToolOutcome, TurnFinished, tool
from hermes_testkit.model_server import Call, ModelServer, Say, Think
from hermes_testkit.scripted import collect
from hermes_testkit.wires import WIRES, SeenPrompt

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PLUGINS = ["openai", "anthropic", "gemini", "bedrock"]
ADDRESSES = {"chat_completions": "/v1", "responses": "/v1", "gemini": "/v1beta"}
ORDERS = [list(islice(cycle(WIRES), start, start + 5)) for start in range(5)]
"""Each wire comes after each of its neighbours once."""


class Garden:
    name = "garden"

    @tool(risk="read", effects="none")
    def look(self, place: str) -> str:
        """Looks at a place."""
        return f"größer: {place}"

    @tool(risk="read", effects="none")
    def dig(self, depth: int) -> str:
        """Digs."""
        raise RuntimeError("a stone")

    @tool(risk="read", effects="none")
    def photo(self) -> ToolOutcome:
        """Takes a photo."""
        return ToolOutcome(content=(TextPart("a photo"), ImagePart(media_type="image/png", data=PNG)))


def settings(server: ModelServer) -> dict[str, Any]:
    providers = {
        wire: {
            "transport": wire,
            "base_url": f"{server.root}{ADDRESSES.get(wire, '')}",
            "key_env": "GARDEN_KEY",
            "models": [f"{wire}-model"],
        }
        for wire in WIRES
    }
    return {"providers": providers, "plugins": {"enabled": PLUGINS}}


def reply(turn: int) -> list[Any]:
    return [
        Think(f"thought {turn}"),
        Say(f"Looking {turn}."),
        Call("look", {"place": f"bed {turn}"}, id=f"call_look{turn:03}"),
        Call("dig", {"depth": turn}, id=f"call_dig{turn:03}"),
        Call("photo", {}, id=f"call_photo{turn:03}"),
    ]


def converse(home: Path, order: list[str]) -> list[SeenPrompt]:
    """The last prompt of each turn, as its wire has it."""
    script = [part for turn in range(len(order)) for part in (reply(turn), f"Done {turn}.")]
    seen = []
    with ModelServer(*script) as server:

        async def work() -> None:
            overrides = settings(server)
            async with App(home, plugins=[Garden()], environ={"GARDEN_KEY": "k" * 20}, overrides=overrides) as app:
                session = ""
                for turn, wire in enumerate(order):
                    options = {"provider": wire, "model": f"{wire}-model"}
                    conversation = await app.conversation(session, **options)
                    events = await collect(conversation.send(f"Turn {turn}"))
                    finished = events[-1]
                    assert isinstance(finished, TurnFinished)
                    assert finished.text == f"Done {turn}.", finished.error
                    session = conversation.id
                    await conversation.close()
                    seen.append(WIRES[wire].read(server.requests[-1]))

        asyncio.run(work())
    return seen


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order[0])
def test_every_turn_is_kept_across_wires(tmp_path: Path, order: list[str]) -> None:
    for turn, prompt in enumerate(converse(tmp_path, order)):
        texts = [text for _, text in prompt.turns]
        roles = [role for role, _ in prompt.turns]
        for earlier in range(turn + 1):
            assert texts.count(f"Turn {earlier}") == 1
            assert texts.count(f"Looking {earlier}.") == 1
            assert roles[texts.index(f"Turn {earlier}")] == "user"
            assert roles[texts.index(f"Looking {earlier}.")] == "assistant"
            assert texts.index(f"Turn {earlier}") < texts.index(f"Looking {earlier}.")
        for earlier in range(turn):
            assert roles[texts.index(f"Done {earlier}.")] == "assistant"
        expected = [
            (name, arguments)
            for earlier in range(turn + 1)
            for name, arguments in (("look", {"place": f"bed {earlier}"}), ("dig", {"depth": earlier}), ("photo", {}))
        ]
        assert [(call.name, json.loads(call.arguments)) for call in prompt.calls] == expected
        assert [number for number, _ in prompt.results] == [call.id for call in prompt.calls]
        results = [text for _, text in prompt.results]
        for earlier in range(turn + 1):
            assert f"größer: bed {earlier}" in results[3 * earlier]
            assert "a stone" in results[3 * earlier + 1]
            assert "a photo" in results[3 * earlier + 2]
        assert prompt.images == [PNG] * (turn + 1)
        assert not any("thought" in text for text in texts), "what was thought aloud is replayed to nobody as text"
