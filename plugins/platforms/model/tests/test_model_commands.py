"""``hermes model`` as a user runs it, against a server."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import Fail, ModelServer, Say, Tokens

KEY = "k-0123456789abcdef"


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    model_server.models = [f"big-{number}" for number in range(1, 31)] + ["small-1"]
    return model_server


@pytest.fixture
def here(hermes: Hermes, server: ModelServer) -> Hermes:
    """A home with two providers: ``fake``, whose key is there, and ``lone``, whose key is not."""
    common = {"transport": "chat_completions", "base_url": server.url}
    known = {"id": "big-1", "context_window": 1000, "input_usd": 2, "output_usd": 8}
    fake = {**common, "key_env": "FAKE_KEY", "models": [known, "old-1"]}
    lone = {**common, "key_env": "LONE_KEY", "models": ["l-1"]}
    providers = {"fake": fake, "lone": lone}
    hermes.configure(
        {"model": {"provider": "fake"}, "providers": providers, "plugins": {"enabled": ["model", "openai"]}}
    )
    hermes.environ["FAKE_KEY"] = KEY
    return hermes


def listed(hermes: Hermes, *arguments: str) -> dict[str, Any]:
    ran = hermes("model", "list", *arguments, "--json")
    assert ran.code == 0, ran.err
    (found,) = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


def settings(hermes: Hermes) -> dict[str, Any]:
    tree = yaml.safe_load((hermes.home / "config.yaml").read_text())["model"]
    assert isinstance(tree, dict)
    return tree


class TestList:
    def test_the_providers_own_list_with_prices_and_where_they_are_from(self, here: Hermes) -> None:
        found = listed(here, "fake")
        assert len(found["models"]) == 31
        first = found["models"][0]
        assert (first["id"], first["context_window"], first["input_usd"]) == ("big-1", 1000, 2)
        assert first["price_source"] == "the manifest of fake"
        assert found["models"][1]["input_usd"] is None
        assert found["note"] == ""
        ran = here("model", "list", "fake")
        assert "fake: 31 models; its own list, of " in ran.out
        assert "1,000  $2 in, $8 out  (the manifest of fake)" in ran.out
        assert "price unknown" in ran.out

    def test_it_is_kept_and_asked_for_again_on_demand(self, here: Hermes, server: ModelServer) -> None:
        listed(here, "fake")
        server.models = ["new-1"]
        assert len(listed(here, "fake")["models"]) == 31
        assert [model["id"] for model in listed(here, "fake", "--refresh")["models"]] == ["new-1"]
        assert len(server.other_requests) == 2

    def test_offline_what_is_known_is_shown_and_said(self, here: Hermes, server: ModelServer) -> None:
        server.stop()
        ran = here("model", "list", "fake")
        assert ran.code == 0
        assert "fake: 2 models; what is known without asking it" in ran.out
        assert "fake was not asked: " in ran.err
        assert listed(here, "fake")["listed_at"] is None

    def test_offline_an_older_list_is_better_than_none(self, here: Hermes, server: ModelServer) -> None:
        listed(here, "fake")
        server.stop()
        found = listed(here, "fake", "--refresh")
        assert len(found["models"]) == 31
        assert found["listed_at"]
        assert found["note"]

    def test_without_a_key_what_is_known_is_shown(self, here: Hermes, server: ModelServer) -> None:
        found = listed(here, "lone")
        assert [model["id"] for model in found["models"]] == ["l-1"]
        assert 'No key for the provider "lone"' in found["note"]
        assert not server.other_requests

    def test_without_a_name_those_that_can_be_used(self, here: Hermes) -> None:
        assert listed(here)["provider"] == "fake"

    def test_a_provider_that_is_none(self, here: Hermes) -> None:
        ran = here("model", "list", "fale")
        assert (ran.code, ran.out) == (2, "")
        assert 'No provider "fale". Did you mean "fake"?' in ran.err


class TestSet:
    def test_comments_are_kept_and_the_chat_uses_it(self, here: Hermes, server: ModelServer) -> None:
        file = here.home / "config.yaml"
        file.write_text(file.read_text().replace("model:\n", "# my model\nmodel: # here\n"))
        ran = here("model", "set", "fake:small-1")
        assert ran.code == 0, ran.err
        assert f"fake:small-1 is set in {file}" in ran.err
        assert "# my model\nmodel: # here\n" in file.read_text()
        assert settings(here) == {"provider": "fake", "default": "small-1"}
        assert here("-z", "hello").code == 0
        assert server.requests[0].json["model"] == "small-1"

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("fake:smal-1", 'fake lists no model "smal-1". Did you mean small-1'),
            ("fale:x", 'No provider "fale". Did you mean "fake"?'),
            ("big-1", '"big-1" has to be a provider and a model.'),
            ("fake:", "has to be a provider and a model."),
        ],
    )
    def test_what_is_not_there_is_refused_with_what_is_like_it(self, here: Hermes, name: str, told: str) -> None:
        before = (here.home / "config.yaml").read_bytes()
        ran = here("model", "set", name)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
        assert (here.home / "config.yaml").read_bytes() == before

    def test_one_that_is_not_listed_may_be_set_all_the_same(self, here: Hermes) -> None:
        assert here("model", "set", "fake:tuned-9", "--unchecked").code == 0
        assert settings(here)["default"] == "tuned-9"

    def test_one_that_only_the_plugin_knows_is_taken(self, here: Hermes) -> None:
        assert here("model", "set", "fake:old-1").code == 0

    def test_where_it_cannot_be_checked_it_is_set_and_told(self, here: Hermes) -> None:
        ran = here("model", "set", "lone:any-1")
        assert ran.code == 0
        assert "Whether there is lone:any-1 could not be checked" in ran.err
        assert 'It cannot be used yet: No key for the provider "lone"' in ran.err
        assert settings(here) == {"provider": "lone", "default": "any-1"}

    def test_the_other_providers_address_goes(self, here: Hermes, server: ModelServer) -> None:
        file = here.home / "config.yaml"
        file.write_text(file.read_text().replace("model:\n", f"model:\n  base_url: {server.url}\n"))
        assert here("model", "set", "fake:big-2").code == 0
        assert settings(here)["base_url"] == server.url
        ran = here("model", "set", "lone:l-1")
        assert settings(here)["base_url"] == ""
        assert "it is removed, as it was the other provider's" in ran.err

    def test_a_variable_that_comes_before_it_is_told(self, here: Hermes) -> None:
        here.environ["HERMES_INFERENCE_MODEL"] = "big-1"
        assert "HERMES_INFERENCE_MODEL=big-1 is set" in here("model", "set", "fake:big-2").err

    def test_the_profile_is_honoured(self, here: Hermes) -> None:
        before = (here.home / "config.yaml").read_bytes()
        profile = here.home / "profiles" / "work"
        profile.mkdir(parents=True)
        (profile / "config.yaml").write_bytes(before)
        ran = here("--profile", "work", "model", "set", "fake:big-3")
        assert ran.code == 0, ran.err
        assert (here.home / "config.yaml").read_bytes() == before
        assert "big-3" in (profile / "config.yaml").read_text()


class TestTest:
    def test_it_says_time_tokens_and_cost(self, here: Hermes, server: ModelServer) -> None:
        server.script([Say("ready"), Tokens(prompt=1000, completion=500)])
        ran = here("model", "test", "--json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert (found["model"], found["text"]) == ("fake:big-1", "ready")
        assert (found["input_tokens"], found["output_tokens"]) == (1000, 500)
        assert found["cost_usd"] == pytest.approx(0.006)
        assert 0 < found["first_seconds"] <= found["seconds"]
        assert "tools" not in server.requests[0].json

    def test_in_words(self, here: Hermes) -> None:
        ran = here("model", "test", "fake:big-2")
        assert ran.code == 0, ran.err
        assert "fake:big-2 answers: OK" in ran.out
        assert "cost unknown" in ran.out

    @pytest.mark.parametrize(
        ("reply", "code"), [(Fail(401), 4), (Fail(404), 1), (Fail(429), 1), (Fail(503), 1), (Fail(400), 1)]
    )
    def test_an_error_is_one_line_and_a_code_and_nothing_is_tried_again(
        self, here: Hermes, server: ModelServer, reply: Fail, code: int
    ) -> None:
        server.script(reply)
        ran = here("model", "test")
        assert (ran.code, ran.out) == (code, "")
        assert ran.err.startswith("hermes: ")
        assert str(reply.status) in ran.err
        assert "Traceback" not in ran.err
        assert len(server.requests) == 1

    def test_no_key(self, here: Hermes, server: ModelServer) -> None:
        ran = here("model", "test", "lone:l-1")
        assert (ran.code, ran.out) == (2, "")
        assert "looked for: LONE_KEY" in ran.err
        assert not server.requests


class TestExplain:
    def test_the_json_has_what_programs_read_and_never_a_key(self, here: Hermes, server: ModelServer) -> None:
        ran = here("model", "explain", "--json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert list(found) == [
            "provider", "model", "transport", "base_url", "key_source", "why",
            "carrier", "window", "changes", "fallbacks",
        ]  # fmt: skip
        assert (found["provider"], found["model"], found["window"]) == ("fake", "big-1", 1000)
        assert (found["base_url"], found["key_source"]) == (server.url, "env:FAKE_KEY")
        assert KEY not in ran.out + ran.err
        assert not server.requests
        assert not server.other_requests

    def test_in_words_it_says_the_same(self, here: Hermes) -> None:
        out = here("model", "explain", "-m", "lone:l-1").err + here("model", "explain", "-m", "big-9").out
        assert 'No key for the provider "lone" (looked for: LONE_KEY)' in out
        assert "model      big-9" in out
        assert "window     unknown" in out
        assert "why        the setting model.provider names it" in out

    def test_without_a_key_it_ends_as_a_chat_does(self, hermes: Hermes) -> None:
        told, chat = hermes("model", "explain", "--json"), hermes("-z", "hello")
        assert (told.code, chat.code, told.out) == (2, 2, "")
        assert told.err == chat.err

    def test_a_wire_that_is_not_there_is_told_before_any_call(self, here: Hermes, server: ModelServer) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        config["providers"]["fake"]["transport"] = "anthropic_messages"
        here.configure(config)
        for ran in (here("model", "explain"), here("-z", "hello")):
            assert 'No plugin provides the transport "anthropic_messages".' in ran.err
            assert ran.code == 1
        assert not server.requests


class Terminal:
    """The command on a pseudo-terminal."""

    def __init__(self, hermes: Hermes, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hermes.cli.main", *arguments],
            stdin=slave, stdout=slave, stderr=slave, cwd=hermes.workspace, env=hermes.environ, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def expect(self, wanted: str) -> None:
        deadline = time.monotonic() + 30
        while wanted not in self.text:
            ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{wanted!r} did not come:\n{self.text}"
            self.text += os.read(self._master, 4096).decode(errors="replace")

    def type(self, line: str) -> None:
        self.text = ""
        os.write(self._master, f"{line}\n".encode())

    def end(self) -> int:
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            os.close(self._master)


class TestPick:
    def test_a_provider_then_a_model_by_a_part_of_its_name(self, here: Hermes) -> None:
        terminal = Terminal(here, "model")
        terminal.expect("env:FAKE_KEY")
        terminal.expect("no key: LONE_KEY")
        terminal.expect("Provider (number, name, or part of one): ")
        terminal.type("1")
        terminal.expect("and 11 more: type a part of the name")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("nothing-like-it")
        terminal.expect('Nothing is like "nothing-like-it".')
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("big-2")
        terminal.expect("fake:big-2 is set in ")
        assert terminal.end() == 0
        assert settings(here) == {"provider": "fake", "default": "big-2"}

    def test_what_fits_is_numbered_anew(self, here: Hermes) -> None:
        terminal = Terminal(here, "model")
        terminal.expect("Provider (number, name, or part of one): ")
        terminal.type("fak")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("big 3")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("2")
        terminal.expect("fake:big-13 is set in ")
        assert terminal.end() == 0

    def test_without_a_terminal_it_says_what_to_use(self, here: Hermes) -> None:
        ran = here("model")
        assert (ran.code, ran.out) == (2, "")
        assert "hermes model set PROVIDER:MODEL" in ran.err

    def test_giving_up_changes_nothing(self, here: Hermes) -> None:
        before = (here.home / "config.yaml").read_bytes()
        terminal = Terminal(here, "model")
        terminal.expect("Provider (number, name, or part of one): ")
        terminal.type("\x04")
        assert terminal.end() == 130
        assert (here.home / "config.yaml").read_bytes() == before


def test_help_imports_no_wire(here: Hermes) -> None:
    here.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    ran: Ran = here("model", "--help")
    assert ran.code == 0
    assert "hermes_plugin_model.running" in ran.err
    for module in ("httpx2", "hermes.models.router", "hermes_carrier", "genai_prices"):
        assert module not in ran.err
    assert Path(here.home / "state.db").exists() is False
