"""The commands beside the chat: sessions, config, doctor, logs, plugins, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Fail, ModelServer


@pytest.fixture
def stored(hermes_with_model: Hermes, model_server: ModelServer) -> str:
    """A session of two turns, with a tool call; its id."""
    model_server.script("A fox, quick and brown.", Call("terminal", {"command": "echo abc"}), "It jumped.")
    first = hermes_with_model("chat", "-Q", "-q", "what is on the picture?")
    session = first.err.split()[-1]
    assert hermes_with_model("chat", "-Q", "-q", "and then?", "--resume", session).code == 0
    return session


def answer(hermes: Hermes, *arguments: str) -> Any:
    """What a command that succeeds prints, as JSON."""
    ran = hermes(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_sessions_list_and_show(hermes_with_model: Hermes, stored: str) -> None:
    (record,) = answer(hermes_with_model, "sessions", "list")
    shown = answer(hermes_with_model, "sessions", "show", stored)
    text = hermes_with_model("sessions", "show", stored[:-3]).out

    assert (record["id"], record["provider"], record["model"]) == (stored, "fake", "test-model")
    assert (record["outcome"], record["message_count"], record["api_calls"]) == ("done", 6, 3)
    roles = ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert [message["role"] for message in shown["messages"]] == roles
    assert all(said in text for said in ("what is on the picture?", "A fox", "echo abc", "It jumped."))
    assert stored in hermes_with_model("sessions", "list").out


def test_sessions_search(hermes_with_model: Hermes, stored: str) -> None:
    (hit,) = answer(hermes_with_model, "sessions", "search", "quick", "fox")

    assert (hit["session_id"], hit["role"]) == (stored, "assistant")
    assert stored in hermes_with_model("sessions", "search", '"quick and brown"').out
    assert answer(hermes_with_model, "sessions", "search", "zebra") == []
    assert hermes_with_model("sessions", "search", "zebra").out == ""


def test_sessions_rename(hermes_with_model: Hermes, stored: str) -> None:
    assert answer(hermes_with_model, "sessions", "rename", stored[:-2], "The fox")["title"] == "The fox"
    assert "The fox" in hermes_with_model("sessions", "list").out


def test_sessions_export(hermes_with_model: Hermes, stored: str, tmp_path: Path) -> None:
    ran = hermes_with_model("sessions", "export", stored)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    markdown = tmp_path / "session.md"

    assert hermes_with_model("sessions", "export", stored, "--json") == ran
    assert hermes_with_model("sessions", "export", stored, "--format", "markdown", "-o", str(markdown)).code == 0
    assert hermes_with_model("sessions", "export", stored, "-o", "/no/such/folder/x").code == 2
    assert [line["type"] for line in lines] == ["session", *["message"] * 6]
    assert "## assistant\n\nIt jumped.\n" in markdown.read_text()


def test_sessions_delete_asks_first(hermes_with_model: Hermes, stored: str) -> None:
    files = hermes_with_model.home / "sessions"

    unasked = hermes_with_model("sessions", "delete", stored)
    declined = hermes_with_model("sessions", "delete", stored, stdin="n\n")
    assert (unasked.code, declined.code) == (2, 1)
    assert "--yes" in unasked.err
    assert (files / f"{stored}.jsonl").exists()

    assert hermes_with_model("sessions", "delete", stored, stdin="y\n").code == 0
    assert answer(hermes_with_model, "sessions", "list") == []
    assert list(files.iterdir()) == []
    assert hermes_with_model("sessions", "delete", stored, "--yes").code == 2


def test_sessions_prune(hermes_with_model: Hermes, stored: str) -> None:
    assert answer(hermes_with_model, "sessions", "prune", "--yes")["session_ids"] == []
    planned = answer(hermes_with_model, "sessions", "prune", "--older-than", "0", "--dry-run")
    assert planned == {"session_ids": [stored], "messages": 6, "dry_run": True}
    assert len(answer(hermes_with_model, "sessions", "list")) == 1

    assert answer(hermes_with_model, "sessions", "prune", "--older-than", "0", "--yes")["session_ids"] == [stored]
    assert answer(hermes_with_model, "sessions", "list") == []


def test_sessions_stats_and_check(hermes_with_model: Hermes, stored: str) -> None:
    stats = answer(hermes_with_model, "sessions", "stats")
    report = answer(hermes_with_model, "sessions", "check")

    assert (stats["sessions"], stats["messages"]) == (1, 6)
    assert report == {"path": str(hermes_with_model.home / "state.db"), "problems": [], "repaired": []}
    assert "messages     6" in hermes_with_model("sessions", "stats").out
    assert "sound" in hermes_with_model("sessions", "check").out


def test_sessions_check_finds_damage(hermes_with_model: Hermes, stored: str) -> None:
    file = hermes_with_model.home / "state.db"
    data = bytearray(file.read_bytes())
    data[4096 * 3 : 4096 * 8] = b"\xa5" * (4096 * 5)
    file.write_bytes(data)

    ran = hermes_with_model("sessions", "check")

    assert ran.code == 1
    assert ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["show", "export", "rename", "delete"])
def test_sessions_of_an_unknown_id(hermes: Hermes, command: str) -> None:
    more = {"rename": ["title"], "delete": ["--yes"]}.get(command, [])

    ran = hermes("sessions", command, "20200101_000000_abcdef", *more)

    assert (ran.code, ran.out) == (2, "")
    assert "20200101_000000_abcdef" in ran.err
    assert "sessions list" in ran.err


def test_beginning_that_several_sessions_have(hermes_with_model: Hermes, stored: str) -> None:
    hermes_with_model("-z", "another")

    ran = hermes_with_model("sessions", "show", "2")

    assert (ran.code, ran.out) == (2, "")
    assert "Several sessions begin with 2." in ran.err


def test_config_get_and_set(hermes: Hermes) -> None:
    assert hermes("config", "get", "agent.max_turns").out == "90\n"
    assert hermes("config", "set", "agent.max_turns", "7").code == 0
    assert hermes("config", "set", "approvals.mode", "off").code == 0
    assert hermes("config", "set", "toolsets", "[files, terminal]").code == 0

    assert hermes("config", "get", "agent.max_turns").out == "7\n"
    assert hermes("config", "get", "approvals.mode").out == "off\n"
    assert answer(hermes, "config", "get", "agent")["max_turns"] == 7
    assert answer(hermes, "config", "get")["toolsets"] == ["files", "terminal"]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("agent.max_turns", "many", "agent.max_turns"),
        ("agent.max_turn", "3", 'Did you mean "max_turns"?'),
        ("approvals.mode", "sometimes", "manual"),
        ("providers.fake.api_key", "abc", ".env"),
        ("toolsets", "[a", "not YAML"),
    ],
)
def test_config_set_of_what_is_wrong(hermes: Hermes, key: str, value: str, says: str) -> None:
    hermes.configure({"agent": {"max_turns": 5}})
    before = (hermes.home / "config.yaml").read_text()

    ran = hermes("config", "set", key, value)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "config.yaml.new" not in ran.err
    assert (hermes.home / "config.yaml").read_text() == before


def test_config_get_of_an_unknown_key(hermes: Hermes) -> None:
    ran = hermes("config", "get", "agent.nothing")

    assert (ran.code, ran.out) == (2, "")
    assert "agent.nothing" in ran.err


def test_config_path_check_schema(hermes: Hermes) -> None:
    hermes.configure({"agent": {"max_turns": 5}})
    schema = json.loads(hermes("config", "schema").out)
    properties = schema["$defs"]["Settings"]["properties"]

    assert hermes("config", "path").out == f"{hermes.home / 'config.yaml'}\n"
    assert hermes("config", "check").out.endswith("sound\n")
    assert {"model", "providers", "agent", "approvals", "terminal", "plugins"} <= set(properties)
    assert properties["approvals"]["properties"]["mode"]["enum"] == ["manual", "smart", "off"]


def test_config_edit_checks_what_was_written(hermes: Hermes) -> None:
    editor = hermes.workspace / "editor"
    editor.write_text('#!/bin/sh\nprintf \'%s\\n\' "$LINES_TO_ADD" >> "$1"\n')
    editor.chmod(0o755)
    hermes.environ["EDITOR"] = str(editor)

    hermes.environ["LINES_TO_ADD"] = "agent: {max_turns: 3}"
    good = hermes("config", "edit")
    hermes.environ["LINES_TO_ADD"] = "agnet: {}"
    bad = hermes("config", "edit")

    assert (good.code, bad.code) == (0, 2)
    assert 'Did you mean "agent"?' in bad.err
    assert "config.yaml:3" in bad.err
    assert hermes("config", "check").code == 2


def test_doctor(hermes_with_model: Hermes) -> None:
    findings = {found["check"]: found for found in answer(hermes_with_model, "doctor")}
    text = hermes_with_model("doctor").out

    assert {"python", "command", "disk", "home", "settings", "plugins", "store", "keys", "model", "reach"} <= set(
        findings
    )
    assert all(found["level"] != "problem" for found in findings.values()), findings
    assert "fake:test-model" in findings["model"]["text"]
    assert all(name in text for name in findings)


def test_doctor_says_what_to_do(hermes: Hermes) -> None:
    (hermes.home).mkdir()
    (hermes.home / ".env").write_text("A_KEY=abc\n")
    (hermes.home / ".env").chmod(0o644)

    ran = hermes("doctor", "--json")

    problems = {found["check"]: found for found in json.loads(ran.out) if found["level"] == "problem"}
    assert ran.code == 1
    assert set(problems) == {"model", "secrets"}
    assert all(found["todo"] for found in problems.values())


def test_doctor_of_a_provider_out_of_reach(hermes: Hermes) -> None:
    hermes.use("http://127.0.0.1:9/v1")

    ran = hermes("doctor", "--json")

    assert ran.code == 1
    assert [found["check"] for found in json.loads(ran.out) if found["level"] == "problem"] == ["reach"]
    assert hermes("doctor", "--offline").code == 0


def test_doctor_shows_the_prompt(hermes: Hermes) -> None:
    shown = answer(hermes, "doctor", "--prompt")

    assert shown["tokens"] == sum(shown["bytes"].values()) // 4
    assert {"block persona", "tool terminal", "tool read_file"} <= set(shown["bytes"])
    assert "tool terminal" in hermes("doctor", "--prompt").out
    assert not (hermes.home / "state.db").exists()


def test_logs(hermes: Hermes, model_server: ModelServer) -> None:
    hermes.use(model_server.url, agent={"retries": 0})
    none = hermes("logs")
    model_server.script(Fail(404))
    hermes("-z", "hi")

    assert (none.code, none.out) == (0, "")
    assert "404 model_not_found" in hermes("logs").out
    assert "404 model_not_found" in hermes("logs", "--all").out
    assert len(hermes("logs", "-n", "1").out.splitlines()) == 1
    assert hermes("logs", "--path").out == f"{hermes.home / 'logs' / 'errors.log'}\n"


def test_plugins_list_and_info(hermes: Hermes) -> None:
    listed = {plugin["name"]: plugin for plugin in answer(hermes, "plugins", "list")}
    terminal = answer(hermes, "plugins", "info", "terminal")

    assert {"approvals", "files", "openai", "replay", "sessions", "terminal"} <= set(listed)
    assert all(plugin["state"] == "enabled" for plugin in listed.values())
    assert {key: terminal[key] for key in listed["terminal"]} == listed["terminal"]
    assert (terminal["runs"], terminal["enforced"], terminal["counters"]) == ("in Hermes", False, {})
    assert terminal["provides"]["tools"] == ["process", "terminal"]
    assert "hooks" in hermes("plugins", "info", "approvals").out


def test_plugins_disable_and_enable(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    disabled = hermes_with_model("plugins", "disable", "terminal")
    hermes_with_model("-z", "hi")
    listed = {plugin["name"]: plugin["state"] for plugin in answer(hermes_with_model, "plugins", "list")}
    hermes_with_model("plugins", "enable", "terminal")
    hermes_with_model("-z", "hi")

    without, with_it = ({tool["function"]["name"] for tool in seen.json["tools"]} for seen in model_server.requests)
    assert disabled.code == 0
    assert listed["terminal"] == "disabled"
    assert "terminal" not in without
    assert "terminal" in with_it


@pytest.mark.parametrize("command", ["info", "enable", "disable"])
def test_unknown_plugin(hermes: Hermes, command: str) -> None:
    ran = hermes("plugins", command, "terminl")

    assert (ran.code, ran.out) == (2, "")
    assert 'Did you mean "terminal"?' in ran.err


BASH = """
eval "$(hermes completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_hermes_completion hermes
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to complete in")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("hermes", "se"), {"sessions"}),
        (("hermes", "c"), {"chat", "completion", "config"}),
        (("hermes", "sessions", "re"), {"rename"}),
        (("hermes", "config", "s"), {"schema", "set"}),
        (("hermes", "chat", "--pro"), {"--profile", "--provider"}),
        (("hermes", "--yo"), {"--yolo"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_completion_in_bash(hermes: Hermes, words: tuple[str, ...], wanted: set[str]) -> None:
    scripts = Path(sys.executable).parent
    environ = {**hermes.environ, "PATH": f"{scripts}{os.pathsep}{hermes.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", *words], env=environ, capture_output=True, text=True, timeout=60
    )

    assert set(done.stdout.split()) == wanted, done.stderr


def test_completion_scripts(hermes: Hermes) -> None:
    assert "_HERMES_COMPLETE=zsh_complete" in hermes("completion", "zsh").out
    assert "_HERMES_COMPLETE=fish_complete" in hermes("completion", "fish").out
    assert hermes("completion", "tcsh").code == 2
