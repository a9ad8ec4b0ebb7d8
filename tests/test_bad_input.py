"""What is wrong from outside: settings, models, homes, disks. One clear message, the documented code, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import Fail, ModelServer


def complaint(ran: Ran, code: int, *says: str) -> str:
    """What a run that failed said: on stderr alone, once, without a traceback."""
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("hermes: ") == 1, ran.err
    for text in says:
        assert text in ran.err
    return ran.err


ONE_SHOTS = pytest.mark.parametrize("command", [("-z", "hi"), ("chat", "-Q", "-q", "hi")], ids=["-z", "-Q"])


@ONE_SHOTS
def test_unknown_config_key(hermes_with_model: Hermes, model_server: ModelServer, command: tuple[str, ...]) -> None:
    file = hermes_with_model.home / "config.yaml"
    lines = file.read_text().count("\n")
    file.write_text(file.read_text() + "\nagent:\n  max_turn: 3\n")

    text = complaint(hermes_with_model(*command), 2, "agent.max_turn", 'Did you mean "max_turns"?')

    assert f"{file}:{lines + 3}" in text
    assert model_server.requests == []


def test_unknown_section_and_key_of_a_plugin(hermes: Hermes) -> None:
    hermes.configure({"terminals": {}})
    complaint(hermes("-z", "hi"), 2, '"terminals"', 'Did you mean "terminal"?', "config.yaml:1")
    hermes.configure({"terminal": {"backnd": "local"}})
    complaint(hermes("-z", "hi"), 2, '"terminal.backnd"', 'Did you mean "backend"?', "config.yaml:2")
    hermes.configure({"plugins": {"entries": {"replay": {"recrod": "x"}}}})
    complaint(hermes("-z", "hi"), 2, "recrod", 'Did you mean "record"?')


@pytest.mark.parametrize("text", ["model: [unclosed\n", "a: b: c\n", "\tmodel: x\n", "- a\n- list\n", "just text\n"])
def test_bad_yaml(hermes: Hermes, text: str) -> None:
    hermes.configure({})
    file = hermes.home / "config.yaml"
    file.write_text(text)

    complaint(hermes("-z", "hi"), 2, str(file))
    complaint(hermes("config", "check"), 2, str(file))
    assert hermes("doctor").code == 1
    assert hermes("--help").code == 0
    assert file.read_text() == text


def test_config_that_is_no_text(hermes: Hermes) -> None:
    hermes.configure({})
    (hermes.home / "config.yaml").write_bytes(b"\xff\xfe\x00model")

    complaint(hermes("-z", "hi"), 2, "config.yaml")


def test_missing_key_for_the_chosen_provider(hermes: Hermes) -> None:
    complaint(hermes("-z", "hi", "-m", "openai:gpt-5"), 2, '"openai"', "OPENAI_API_KEY", ".env")


def test_blank_key_counts_as_missing(hermes: Hermes) -> None:
    hermes.environ["OPENAI_API_KEY"] = "  "

    complaint(hermes("-z", "hi", "--provider", "openai"), 2, "OPENAI_API_KEY")


def test_no_provider_at_all(hermes: Hermes) -> None:
    complaint(hermes("-z", "hi"), 2, "No provider is chosen", "OPENAI_API_KEY", "hermes demo")


def test_line_of_the_secrets_file_that_is_none(hermes: Hermes) -> None:
    hermes.configure({})
    (hermes.home / ".env").write_text("GOOD=1\nthis holds hunter2-hunter2\n")

    assert "hunter2" not in complaint(hermes("-z", "hi"), 2, ".env:2")


def test_key_is_never_shown(hermes: Hermes, model_server: ModelServer) -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
    hermes.environ |= {"OPENAI_API_KEY": secret, "OPENAI_BASE_URL": model_server.url}
    body = {"error": {"message": f"Incorrect API key provided: {secret}", "code": "invalid_api_key"}}
    model_server.script(Fail(401, body))

    text = complaint(hermes("-z", "hi", "-m", "openai:gpt-5"), 4, "invalid_api_key", "OPENAI_API_KEY")

    assert secret not in text
    assert secret not in (hermes.home / "logs" / "errors.log").read_text()
    assert all(secret.encode() not in file.read_bytes() for file in (hermes.home / "sessions").iterdir())


def test_unknown_provider(hermes_with_model: Hermes) -> None:
    complaint(hermes_with_model("-z", "hi", "--provider", "opnai"), 2, 'Did you mean "openai"?', "hermes model list")


def test_unknown_model(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script(Fail(404))

    complaint(hermes_with_model("-z", "hi", "-m", "no-such-model"), 1, "404", "no-such-model", "errors.log")
    assert len(model_server.requests) == 1


def test_address_that_is_none(hermes: Hermes) -> None:
    hermes.use("localhost:8000")

    complaint(hermes("-z", "hi"), 2, "localhost:8000", "https://")


def test_unknown_transport(hermes: Hermes) -> None:
    hermes.configure({"model": {"provider": "x", "default": "m"}, "providers": {"x": {"transport": "telepathy"}}})

    ran = hermes("-z", "hi")

    assert ran.out == ""
    assert ran.code == 2
    assert "telepathy" in ran.err
    assert "Traceback" not in ran.err


def test_file_in_place_of_the_home(hermes: Hermes) -> None:
    hermes.home.write_text("not a folder")

    complaint(hermes("-z", "hi"), 2, str(hermes.home), "HERMES_HOME")
    assert hermes.home.read_text() == "not a folder"
    assert hermes("--version").code == 0


@pytest.mark.parametrize("mode", [0o000, 0o500], ids=["unreadable", "read-only"])
def test_home_that_may_not_be_used(hermes: Hermes, mode: int) -> None:
    """Root may do all, so as root the command runs without that power."""
    hermes.home.mkdir()
    hermes.home.chmod(mode)
    command = [sys.executable, "-m", "hermes.cli.main", "-z", "hi"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root, and no setpriv to run with less")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    try:
        done = subprocess.run(
            command, env=hermes.environ, cwd=hermes.workspace, capture_output=True, text=True, timeout=60
        )
    finally:
        hermes.home.chmod(0o700)

    complaint(Ran(done.returncode, done.stdout, done.stderr), 2, str(hermes.home), "HERMES_HOME")


FULL_DISK = """
set -e
mount -t tmpfs -o size=512k tmpfs "$HERMES_HOME"
printf '%s' "$CONFIG" > "$HERMES_HOME/config.yaml"
run() { name=$1; shift; "$PYTHON" -m hermes.cli.main "$@" >"$OUT/$name.out" 2>"$OUT/$name.err" </dev/null \
    && echo 0 >"$OUT/$name.code" || echo $? >"$OUT/$name.code"; }
run before chat -Q -q first
dd if=/dev/zero of="$HERMES_HOME/filler" bs=1k 2>/dev/null || true
run full chat -Q -q second
run list sessions list --json
rm "$HERMES_HOME/filler"
run after chat -Q -q third
run check sessions check
run listed sessions list --json
"""


def ran_in(folder: Path, name: str) -> Ran:
    texts = {kind: (folder / f"{name}.{kind}").read_text() for kind in ("code", "out", "err")}
    return Ran(int(texts["code"]), texts["out"], texts["err"])


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs to mount a small disk")
def test_full_disk(hermes_with_model: Hermes, tmp_path: Path) -> None:
    """A tmpfs of 512 KB in a mount namespace of its own, filled to the last block."""
    environ = {
        **hermes_with_model.environ,
        "CONFIG": (hermes_with_model.home / "config.yaml").read_text(),
        "OUT": str(tmp_path),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", FULL_DISK],
        env=environ,
        cwd=hermes_with_model.workspace,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if "mount" in done.stderr and "permitted" in done.stderr:
        pytest.skip("this root may not mount")
    assert done.returncode == 0, done.stderr

    assert ran_in(tmp_path, "before").code == 0
    complaint(ran_in(tmp_path, "full"), 1, "state.db", "disk", "free space")
    first, third = json.loads(ran_in(tmp_path, "listed").out)[::-1]
    assert [first["preview"], third["preview"]] == ["first", "third"]
    complaint(ran_in(tmp_path, "list"), 1, "state.db", "free space")
    assert ran_in(tmp_path, "after").code == 0
    assert ran_in(tmp_path, "check").code == 0


def test_files_that_may_not_grow(hermes_with_model: Hermes) -> None:
    """The limit on the size of files stands in for a disk where none can be mounted; it comes in mid-turn."""
    assert hermes_with_model("-z", "first").code == 0
    limited = f'ulimit -f 120; exec "{sys.executable}" -m hermes.cli.main -z -'
    done = subprocess.run(
        ["bash", "-c", limited],
        input="word " * 30_000,
        env=hermes_with_model.environ,
        cwd=hermes_with_model.workspace,
        capture_output=True,
        text=True,
        timeout=60,
    )

    complaint(Ran(done.returncode, done.stdout, done.stderr), 1, "state.db", "disk")
    assert hermes_with_model("sessions", "check").code == 0
    assert hermes_with_model("-z", "third").code == 0
    records = json.loads(hermes_with_model("sessions", "list", "--json").out)
    assert [record["preview"] for record in records if record["outcome"] == "done"] == ["third", "first"]


def test_state_of_another_program(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    file = hermes_with_model.home / "state.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT)")
        other.execute("INSERT INTO sessions VALUES ('20250101_000000_abcdef', 'cli')")
    other.close()
    before = file.read_bytes()

    complaint(hermes_with_model("-z", "hi"), 1, str(file), "hermes import", "ove")
    ran = hermes_with_model("sessions", "list")

    assert (ran.code, ran.out) == (1, "")
    assert hermes_with_model("doctor").code == 1
    assert file.read_bytes() == before
    assert sorted(path.name for path in hermes_with_model.home.glob("state.db*")) == ["state.db"]
    assert model_server.requests == []


def test_state_that_is_no_database(hermes_with_model: Hermes) -> None:
    file = hermes_with_model.home / "state.db"
    file.write_bytes(b"something else altogether\n" * 400)
    before = file.read_bytes()

    complaint(hermes_with_model("-z", "hi"), 1, str(file))
    assert file.read_bytes() == before
