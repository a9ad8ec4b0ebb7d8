"""A provider is one YAML file: dropped into the home, it is chosen by its key, and a chat with tools works."""

from __future__ import annotations

import json

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer
from hermes_testkit.wires import WIRES

ACME = """\
name: acme
provides:
  providers:
    acme:
      transport: {transport}
      base_url: {address}
      key_env: ACME_API_KEY
      aliases: [roadrunner]
      models: [{{id: anvil-1, context_window: 4096, input_usd: 1000, output_usd: 2000}}]
"""
ADDRESSES = {"chat_completions": "/v1", "responses": "/v1", "gemini": "/v1beta"}
KEY = "acme-key-0123456789"


@pytest.mark.parametrize("wire", WIRES)
def test_a_file_in_the_home_is_a_provider(hermes: Hermes, wire: str) -> None:
    with ModelServer(Call("read_file", {"path": "note.txt"}), "It says hello.", key=KEY) as server:
        (hermes.home / "plugins").mkdir(parents=True)
        text = ACME.format(transport=wire, address=f"{server.root}{ADDRESSES.get(wire, '')}")
        (hermes.home / "plugins" / "acme.yaml").write_text(text)
        (hermes.workspace / "note.txt").write_text("hello")
        hermes.environ["ACME_API_KEY"] = KEY
        ran = hermes("-z", "What does note.txt say?")
        assert (ran.code, ran.out) == (0, "It says hello.\n"), ran.err
        seen = WIRES[wire].read(server.requests[-1])
        assert "hello" in seen.results[0][1]


def test_it_is_found_by_name_alias_and_env_file_and_its_prices_count(hermes: Hermes) -> None:
    with ModelServer(key=KEY) as server:
        (hermes.home / "plugins").mkdir(parents=True)
        text = ACME.format(transport="chat_completions", address=server.url)
        (hermes.home / "plugins" / "acme.yaml").write_text(text)
        ran = hermes("-z", "hi")
        assert ran.code == 2
        assert "ACME_API_KEY" in ran.err
        (hermes.home / ".env").write_text(f"ACME_API_KEY={KEY}\n")
        for choice in (("-m", "acme:anvil-2"), ("-m", "roadrunner:anvil-2"), ("--provider", "roadrunner")):
            ran = hermes(*choice, "-z", "hi", "--json")
            assert ran.code == 0, ran.err
        costs = [
            event.get("cost_usd") for event in map(json.loads, ran.out.splitlines()) if event["type"] == "usage_update"
        ]
        assert costs
        assert costs[-1] > 0
        assert [request.json["model"] for request in server.requests] == ["anvil-2", "anvil-2", "anvil-1"]


def test_what_is_wrong_with_it_is_told(hermes: Hermes) -> None:
    (hermes.home / "plugins").mkdir(parents=True)
    (hermes.home / "plugins" / "acme.yaml").write_text(ACME.format(transport="morse", address="http://127.0.0.1:9"))
    hermes.environ["ACME_API_KEY"] = KEY
    ran = hermes("-z", "hi")
    assert ran.code != 0
    assert "morse" in ran.err
    assert KEY not in ran.err
