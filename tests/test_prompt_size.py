"""Small prompts: what an empty chat with the default tools costs before the first word."""

from __future__ import annotations

import json

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import ModelServer

MOST_TOKENS = 3000


def test_an_empty_chat_is_small(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script("Hello.")
    assert hermes_with_model("-z", "hi").code == 0
    (request,) = model_server.requests
    system = [message["content"] for message in request.json["messages"] if message["role"] == "system"]
    tools = json.dumps(request.json["tools"], separators=(",", ":"), ensure_ascii=False)
    assert {tool["function"]["name"] for tool in request.json["tools"]} >= {
        "terminal",
        "read_file",
        "write_file",
        "patch",
    }
    assert len("".join(system).encode()) + len(tools.encode()) < MOST_TOKENS * 4


def test_doctor_shows_what_the_prompt_is_made_of(hermes_with_model: Hermes) -> None:
    parts = json.loads(hermes_with_model("doctor", "--prompt", "--json").out)
    assert parts["tokens"] < MOST_TOKENS
    assert {"block persona", "tool terminal"} <= set(parts["bytes"])
