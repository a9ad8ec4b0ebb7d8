"""``hermes model`` as a user runs it, against a server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hermes import UsageQuery
from hermes.contracts.values import Done
from hermes.sessions.sqlite import open_store
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


def booked(hermes: Hermes) -> list[tuple[str, str, str, float | None]]:
    """Whose calls the store has, of which model, and what they cost."""

    async def read() -> list[tuple[str, str, str, float | None]]:
        store = open_store(hermes.home)
        sums = (await store.usage(UsageQuery(by=("principal", "provider", "model")))).sums
        await store.close(Done())
        return [(found.principal, found.provider, found.model, found.cost_usd) for found in sums]

    return asyncio.run(read())


class TestList:
    def test_the_providers_own_list_with_prices_and_where_they_are_from(self, here: Hermes) -> None:
        found = listed(here, "fake")
        assert len(found["models"]) == 32
        first = found["models"][0]
        assert (first["id"], first["context_window"], first["input_usd"]) == ("big-1", 1000, 2)
        assert first["price_source"] == "your settings"
        assert found["models"][1]["input_usd"] is None
        assert found["note"] == ""
        ran = here("model", "list", "fake")
        assert "fake: 32 models; its own list, of " in ran.out
        assert "1,000  $2 in, $8 out  (your settings)" in ran.out
        assert "price unknown" in ran.out

    def test_it_is_kept_and_asked_for_again_on_demand(self, here: Hermes, server: ModelServer) -> None:
        listed(here, "fake")
        server.models = ["new-1"]
        assert len(listed(here, "fake")["models"]) == 32
        assert [model["id"] for model in listed(here, "fake", "--refresh")["models"]] == ["new-1", "big-1", "old-1"]
        assert len(server.other_requests) == 2

    def test_models_of_the_settings_that_its_list_lacks_are_shown_and_marked(
        self, here: Hermes, server: ModelServer
    ) -> None:
        server.models = ["big-1"]
        found = listed(here, "fake")
        assert [(model["id"], model["added_by"]) for model in found["models"]] == [
            ("big-1", ""),
            ("old-1", "your settings"),
        ]
        lines = here("model", "list", "fake").out.splitlines()
        assert "not in its list" not in lines[1]
        assert lines[2].endswith("not in its list; from your settings")

    def test_one_model_is_one_model(self, here: Hermes) -> None:
        assert "lone: 1 model; " in here("model", "list", "lone").out

    def test_the_day_of_the_prices_is_told(self, here: Hermes) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        config["providers"]["fake"]["prices_of"] = "2026-11-21"
        here.configure(config)
        assert listed(here, "fake")["models"][0]["price_date"] == "2026-11-21"
        assert "$2 in, $8 out  (your settings of 2026-11-21)" in here("model", "list", "fake").out
        assert json.loads(here("model", "explain", "--json").out)["price"]["date"] == "2026-11-21"
        assert "price      $2 in, $8 out  (your settings of 2026-11-21)" in here("model", "explain").out

    def test_no_password_of_an_address_is_shown(self, here: Hermes, server: ModelServer) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        config["providers"]["fake"]["base_url"] = server.url.replace("://", "://me:pw-of-mine@")
        here.configure(config)
        ran = here("model", "list", "fake", "--json")
        assert json.loads(ran.out)[0]["base_url"] == server.url.replace("://", "://***@")
        assert "pw-of-mine" not in ran.out + ran.err

    def test_without_any_key_the_providers_and_what_they_want_are_shown(self, here: Hermes) -> None:
        del here.environ["FAKE_KEY"]
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        del config["model"]
        config["providers"]["house"] = {**config["providers"]["lone"], "key_env": [], "automatic": False}
        here.configure(config)
        ran = here("model", "list")
        assert ran.code == 0, ran.err
        assert "No key is found." in ran.err
        lines = [line.split(maxsplit=1) for line in ran.out.splitlines()]
        assert lines[0][0] == "house"
        assert lines[0][1].startswith("on this machine, http://127.0.0.1:")
        assert ["fake", "no key: FAKE_KEY"] in lines
        assert ["openai", "no key: OPENAI_API_KEY"] in lines
        assert json.loads(here("model", "list", "--json").out) == []
        assert here("model", "list", "--providers").out == ran.out

    def test_the_providers_with_what_is_found_and_what_is_wanted(self, here: Hermes, server: ModelServer) -> None:
        found = {entry["provider"]: entry for entry in json.loads(here("model", "list", "--providers", "--json").out)}
        assert found["fake"] == {"provider": "fake", "source": "env:FAKE_KEY", "about": "env:FAKE_KEY"}
        assert found["lone"] == {"provider": "lone", "source": "", "about": "no key: LONE_KEY"}
        assert not server.other_requests
        assert here("model", "list", "fake", "--providers").code == 2

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
        assert len(found["models"]) == 32
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
            ("fake:big-nope", 'fake lists no model "big-nope". Did you mean big-'),
            ("fake/smal-1", 'fake lists no model "smal-1". Did you mean small-1'),
            ("fale:x", 'No provider "fale". Did you mean "fake"?'),
            ("big-1", '"big-1" has to be a provider and a model. Did you mean fake:big-1'),
            ("nobody/big-1", '"nobody/big-1" has to be a provider and a model.'),
        ],
    )
    def test_what_is_not_there_is_refused_with_what_is_like_it(self, here: Hermes, name: str, told: str) -> None:
        before = (here.home / "config.yaml").read_bytes()
        ran = here("model", "set", name)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
        assert (here.home / "config.yaml").read_bytes() == before

    @pytest.mark.parametrize(
        ("name", "chosen"),
        [
            ("lone", {"provider": "lone", "default": "l-1"}),
            ("lone:", {"provider": "lone", "default": "l-1"}),
            ("FAKE", {"provider": "fake", "default": "big-1"}),
            ("fake/small-1", {"provider": "fake", "default": "small-1"}),
            ("lone/l-1", {"provider": "lone", "default": "l-1"}),
        ],
    )
    def test_a_provider_alone_and_the_form_with_a_slash(self, here: Hermes, name: str, chosen: dict[str, str]) -> None:
        ran = here("model", "set", name)
        assert ran.code == 0, ran.err
        assert settings(here) == chosen

    def test_a_provider_alone_whose_models_nobody_names_takes_the_first_that_it_lists(self, here: Hermes) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        config["providers"]["fake"]["models"] = []
        here.configure(config)
        assert here("model", "set", "fake").code == 0
        assert settings(here)["default"] == "big-1"

    def test_one_with_a_slash_stays_whole_where_models_of_many_vendors_are(
        self, here: Hermes, server: ModelServer
    ) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        config["providers"]["fake"]["aggregator"] = True
        here.configure(config)
        server.models = ["lone/l-1"]
        assert here("model", "set", "lone/l-1").code == 0
        assert settings(here) == {"provider": "fake", "default": "lone/l-1"}

    def test_one_that_is_not_listed_may_be_set_all_the_same(self, here: Hermes) -> None:
        assert here("model", "set", "fake:tuned-9", "--unchecked").code == 0
        assert settings(here)["default"] == "tuned-9"

    def test_one_that_only_the_plugin_knows_is_taken(self, here: Hermes) -> None:
        assert here("model", "set", "fake:old-1").code == 0

    def test_where_it_cannot_be_checked_it_is_set_and_told(self, here: Hermes) -> None:
        ran = here("model", "set", "lone:any-1")
        assert ran.code == 0
        assert "Whether there is lone:any-1 could not be checked" in ran.err
        assert "Known of lone, and like it: l-1" in here("model", "set", "lone:l-2").err
        assert here("model", "set", "lone:any-1").code == 0
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
        "arguments", [("-m", "fake:big-2"), ("--provider", "fake", "-m", "big-2"), ("--provider", "fake", "big-2")]
    )
    def test_a_model_is_named_as_for_a_chat(
        self, here: Hermes, server: ModelServer, arguments: tuple[str, ...]
    ) -> None:
        ran = here("model", "test", *arguments)
        assert ran.code == 0, ran.err
        assert server.requests[0].json["model"] == "big-2"

    def test_two_models_are_one_too_many(self, here: Hermes, server: ModelServer) -> None:
        ran = here("model", "test", "fake:big-2", "-m", "fake:big-3")
        assert (ran.code, ran.out) == (2, "")
        assert "Two models are named" in ran.err
        assert not server.requests

    def test_it_is_booked_and_held_to_the_budget(self, here: Hermes, server: ModelServer) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        here.configure({**config, "budget": {"day_usd": 0.01}})
        server.script([Say("ready"), Tokens(prompt=1000, completion=2000)])
        assert here("model", "test").code == 0
        assert booked(here) == [("local", "fake", "big-1", pytest.approx(0.018))]
        ran = here("model", "test")
        assert (ran.code, ran.out) == (3, "")
        assert "budget.day_usd" in ran.err
        assert len(server.requests) == 1

    def test_a_fallback_does_not_answer_in_its_place(self, here: Hermes, server: ModelServer) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        here.configure({**config, "fallback_providers": ["fake:small-1"]})
        server.script(Fail(503))
        assert here("model", "test", "fake:big-2").code == 1
        assert len(server.requests) == 1

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
            "carrier", "window", "price", "notes", "changes", "fallbacks",
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

    def test_keys_that_rest_are_noted(self, here: Hermes) -> None:
        stored = [{"id": name, "provider": "lone", "secret": f"{KEY}{name}"} for name in ("k-1", "k-2")]
        (here.home / "auth.json").write_text(json.dumps({"version": 1, "credentials": stored}))
        (here.home / "auth.json").chmod(0o600)
        (here.home / "run").mkdir(exist_ok=True)
        rests = {entry["id"]: {"until": 4e9, "reason": "429"} for entry in stored}
        (here.home / "run" / "resting-keys.json").write_text(json.dumps(rests))
        (note,) = json.loads(here("model", "explain", "-m", "lone:l-1", "--json").out)["notes"]
        assert "No key can be used now: lone: all 2 keys rest" in note
        del rests["k-2"]
        (here.home / "run" / "resting-keys.json").write_text(json.dumps(rests))
        found = json.loads(here("model", "explain", "-m", "lone:l-1", "--json").out)
        assert found["key_source"] == "auth:k-2"
        assert [note[:25] for note in found["notes"]] == ["auth:k-1 rests until 2096"]

    def test_a_model_that_its_list_lacks_is_noted_with_the_nearest(self, here: Hermes) -> None:
        assert "note" not in here("model", "explain", "-m", "fake:big-1").out
        listed(here, "fake")
        out = here("model", "explain", "-m", "fake:smal-1").out
        assert 'note       fake lists no "smal-1"; nearest: fake:small-1' in out

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
            assert ran.code == 2
        assert not server.requests


TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Takes the terminal, so that Ctrl+C on it is a signal, which a test runner may ignore; then becomes the command."""


class Terminal:
    """The command on a pseudo-terminal."""

    def __init__(self, hermes: Hermes, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "-m", "hermes.cli.main", *arguments],
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

    def interrupt(self) -> None:
        """Ctrl+C, once, when the process waits for a key."""
        deadline = time.monotonic() + 30
        stat = Path(f"/proc/{self._process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "it does not wait for a key"
        os.write(self._master, b"\x03")

    def end(self) -> int:
        return self._process.wait(30)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


Pick = Callable[[], Terminal]


@pytest.fixture
def pick(here: Hermes) -> Iterator[Pick]:
    """Starts ``hermes model`` and waits for its first question."""
    started: list[Terminal] = []

    def start() -> Terminal:
        terminal = Terminal(here, "model")
        started.append(terminal)
        terminal.expect("Provider (number, name, or part of one): ")
        return terminal

    yield start
    for terminal in started:
        terminal.close()


class TestPick:
    def test_a_provider_then_a_model_by_a_part_of_its_name(self, here: Hermes, pick: Pick) -> None:
        terminal = pick()
        terminal.expect("1  fake ")
        terminal.expect("env:FAKE_KEY")
        terminal.expect("no key: LONE_KEY")
        terminal.expect("Provider (number, name, or part of one): ")
        terminal.type("1")
        terminal.expect("and 12 more: type a part of the name")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("nothing-like-it")
        terminal.expect('Nothing is like "nothing-like-it".')
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("big-2")
        terminal.expect("fake:big-2 is set in ")
        assert terminal.end() == 0
        assert settings(here) == {"provider": "fake", "default": "big-2"}

    def test_what_fits_is_numbered_anew(self, here: Hermes, pick: Pick) -> None:
        terminal = pick()
        terminal.type("fak")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("big 3")
        terminal.expect("Model (number, name, or part of one): ")
        terminal.type("2")
        terminal.expect("fake:big-13 is set in ")
        assert terminal.end() == 0

    def test_those_with_a_key_come_first_then_this_machine_then_by_preference(self, here: Hermes, pick: Pick) -> None:
        config = yaml.safe_load((here.home / "config.yaml").read_text())
        known = {"key_env": "HOUSE_KEY", "key_optional": True, "automatic": False}
        config["providers"]["house"] = {**config["providers"]["lone"], **known}
        config["providers"]["aaa"] = {**config["providers"]["lone"], "base_url": "https://models.example/v1"}
        here.configure(config)
        terminal = pick()
        shown = [line.split() for line in terminal.text.splitlines() if line[:3].strip().isdigit()]
        names = [words[1] for words in shown]
        assert names[:3] == ["fake", "house", "openai"]
        assert {"aaa", "lone"} <= set(names[3:])
        assert "on this machine, http://127.0.0.1:" in " ".join(shown[1])
        assert "no key" not in " ".join(shown[1])
        terminal.interrupt()
        assert terminal.end() == 130

    @pytest.mark.parametrize("answers", [[], ["fake"]], ids=["first question", "second question"])
    def test_one_interrupt_ends_it(self, here: Hermes, pick: Pick, answers: list[str]) -> None:
        before = (here.home / "config.yaml").read_bytes()
        terminal = pick()
        for answer in answers:
            terminal.type(answer)
            terminal.expect("Model (number, name, or part of one): ")
        terminal.interrupt()
        assert terminal.end() == 130
        assert (here.home / "config.yaml").read_bytes() == before

    def test_without_a_terminal_it_says_what_to_use(self, here: Hermes) -> None:
        ran = here("model")
        assert (ran.code, ran.out) == (2, "")
        assert "hermes model set PROVIDER:MODEL" in ran.err

    def test_giving_up_changes_nothing(self, here: Hermes, pick: Pick) -> None:
        before = (here.home / "config.yaml").read_bytes()
        terminal = pick()
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
