"""Tokens that end while Hermes works, from the command line to the model's server, in one process and in two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Fail, ModelServer


@pytest.fixture
def acme(hermes: Hermes, logins: Any, model_server: ModelServer) -> Hermes:
    """A provider that is logged in to; its login ended long ago, and can be renewed."""
    spec = {"transport": "chat_completions", "base_url": model_server.url, "models": ["m"], "oauth": logins.oauth()}
    hermes.configure({"model": {"provider": "acme"}, "providers": {"acme": spec}})
    logins.good.add("refresh-0")
    store(hermes, expires=1.0)
    return hermes


def store(hermes: Hermes, **fields: Any) -> None:
    file = hermes.home / "auth.json"
    file.touch(0o600)
    entry = {"id": "a", "provider": "acme", "kind": "oauth", "secret": "old", "refresh": "refresh-0", **fields}
    file.write_text(json.dumps({"credentials": [entry]}))


def entry(hermes: Hermes) -> dict[str, Any]:
    (found,) = json.loads((hermes.home / "auth.json").read_text())["credentials"]
    return dict(found)


def test_a_token_that_has_ended_is_renewed_before_the_call(
    acme: Hermes, logins: Any, model_server: ModelServer
) -> None:
    ran = acme("-z", "hi")
    assert (ran.code, ran.out) == (0, "OK\n")
    assert [request.headers["authorization"] for request in model_server.requests] == ["Bearer access-1"]
    assert (entry(acme)["secret"], entry(acme)["refresh"]) == ("access-1", "refresh-1")
    assert acme("-z", "again").code == 0
    assert logins.refreshes == 1


def test_a_token_that_is_refused_early_is_renewed_once(acme: Hermes, logins: Any, model_server: ModelServer) -> None:
    store(acme, expires=4e9)
    model_server.script(Fail(401), "Here I am.")
    ran = acme("-z", "hi")
    assert (ran.code, ran.out) == (0, "Here I am.\n")
    assert [request.headers["authorization"] for request in model_server.requests] == ["Bearer old", "Bearer access-1"]


def test_a_login_that_is_over_names_the_command_that_helps(acme: Hermes, logins: Any) -> None:
    logins.good.clear()
    ran = acme("-z", "hi")
    assert ran.code == 4
    assert "invalid_grant" in ran.err
    assert "hermes auth login acme" in ran.err
    assert entry(acme)["refresh"] == "refresh-0"


ASK = """
import asyncio
from hermes import App

async def ask():
    async with App() as app:
        print("asking", flush=True)
        print((await app.router.target(app.scope)).endpoint.key, flush=True)

asyncio.run(ask())
"""


def test_two_processes_that_need_the_token_at_once_renew_it_once(acme: Hermes, logins: Any) -> None:
    """A refresh token is good once: a second renewal would end the login."""
    logins.gate.clear()
    command = [sys.executable, "-c", ASK]
    processes = [subprocess.Popen(command, env=acme.environ, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
    logins.wait_for(lambda server: any(seen.path == "/token" for seen in server.seen))
    logins.gate.set()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["access-1\n"] * 2
    assert [seen.path for seen in logins.seen] == ["/token"]
    assert entry(acme)["refresh"] == "refresh-1"


def test_a_process_that_is_killed_while_it_renews_leaves_the_login_to_the_next(acme: Hermes, logins: Any) -> None:
    logins.gate.clear()
    killed = acme.start("-z", "hi")
    logins.wait_for(lambda server: any(seen.path == "/token" for seen in server.seen))
    killed.kill()
    killed.communicate(timeout=60)
    assert entry(acme)["refresh"] == "refresh-0"
    logins.rotate = False
    logins.gate.set()
    ran = acme("-z", "hi")
    assert ran.code == 0, ran.err


FOR_NOTHING = ("fail", "null")
BACKEND = """
import json, pathlib
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    "A keyring for tests: what is in it can be looked at."
    priority = 5
    name = "a test's ring"
    file = pathlib.Path(__file__).with_name("ring.json")

    def _all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        return self._all().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({**self._all(), f"{service}/{username}": password}))

    def delete_password(self, service, username):
        self.file.write_text(json.dumps({k: v for k, v in self._all().items() if k != f"{service}/{username}"}))

class Plain(Ring):
    priority = 0.5
    name = "a file of plain text"
"""


@pytest.fixture
def ring(acme: Hermes, tmp_path: Path) -> Path:
    """What the keyring holds, as a file."""
    (tmp_path / "rings").mkdir()
    (tmp_path / "rings" / "test_rings.py").write_text(BACKEND)
    acme.environ |= {"PYTHONPATH": str(tmp_path / "rings"), "PYTHON_KEYRING_BACKEND": "test_rings.Ring"}
    return tmp_path / "rings" / "ring.json"


def test_a_login_in_the_keyring_is_opened_renewed_and_forgotten_there(
    acme: Hermes, ring: Path, logins: Any, model_server: ModelServer
) -> None:
    logins.token_extra = {"expires_in": 1}
    ran = acme("auth", "login", "acme", "--no-browser", "--keyring")
    assert ran.code == 0, ran.err
    kept = entry(acme)
    assert kept["place"] == "keyring"
    assert "secret" not in kept
    assert "refresh" not in kept
    assert json.loads(json.loads(ring.read_text())["hermes-auth/a"]) == {"secret": "access-1", "refresh": "refresh-1"}
    logins.token_extra = {"expires_in": 3600}
    ran = acme("-z", "hi")
    assert ran.code == 0, ran.err
    assert [request.headers["authorization"] for request in model_server.requests] == ["Bearer access-2"]
    assert "refresh-2" in ring.read_text()
    assert "access" not in (acme.home / "auth.json").read_text()
    assert "in the keyring" in acme("auth", "status").out
    assert acme("auth", "logout", "acme").code == 0
    assert json.loads(ring.read_text()) == {}


def test_a_key_in_the_keyring_reaches_the_server(acme: Hermes, ring: Path, model_server: ModelServer) -> None:
    acme("auth", "logout", "acme")
    assert acme("auth", "add", "acme", "--keyring", stdin="sk-in-the-ring\n").code == 0
    assert "sk-in-the-ring" not in (acme.home / "auth.json").read_text()
    assert acme("-z", "hi").code == 0
    assert model_server.requests[0].headers["authorization"] == "Bearer sk-in-the-ring"
    ring.unlink()
    ran = acme("-z", "hi")
    assert (ran.code, "the keyring has no secret" in ran.err) == (4, True)


@pytest.mark.parametrize(
    "backend", ["test_rings.Plain", "keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"]
)
@pytest.mark.usefixtures("ring")
def test_a_keyring_that_keeps_no_secrets_is_refused_before_anything_else(
    acme: Hermes, logins: Any, backend: str
) -> None:
    acme.environ["PYTHON_KEYRING_BACKEND"] = backend
    before = entry(acme)
    for ran in (
        acme("auth", "add", "acme", "--keyring", stdin="sk-1\n"),
        acme("auth", "login", "acme", "--no-browser", "--keyring"),
    ):
        assert ran.code == 2
        assert "no keyring that can be used" in ran.err
        assert "leave out --keyring" in ran.err
    assert entry(acme) == before
    assert logins.seen == []


def test_without_the_library_it_says_what_to_install(acme: Hermes, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "keyring.py").write_text("raise ImportError\n")
    acme.environ["PYTHONPATH"] = str(tmp_path / "without")
    ran = acme("auth", "add", "acme", "--keyring", stdin="sk-1\n")
    assert (ran.code, 'pip install "hermes-plugin-auth[keyring]"' in ran.err) == (2, True)
