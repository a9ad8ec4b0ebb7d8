"""What is asked of the keyring, which keyrings are refused, and ``hermes keyring``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend

from hermes import App, HermesError, Scope, SecretQuery
from hermes_plugin_keyring import backend as ring
from hermes_testkit.command import Hermes
from hermes_testkit.scripted import SetClock, make_app

Body = Callable[[App, Any], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(home: Path) -> Play:
    """Runs a body with an app that has the plugin, and its source; ``settings`` are those of the plugin."""

    def run(body: Body, environ: dict[str, str] | None = None, clock: SetClock | None = None, **settings: Any) -> None:
        async def work() -> None:
            async with (
                asyncio.timeout(60),
                make_app(home, only=["keyring"], environ=environ, overrides={"keyring": settings}, clock=clock) as app,
            ):
                await body(app, await app.plugins.provided("secret_source", "keyring"))

        asyncio.run(work())

    return run


async def ask(source: Any, *names: str) -> dict[str, str]:
    return dict((await source.get(SecretQuery(names=names, scope=Scope(home="")))).values)


async def failure(source: Any) -> HermesError:
    with pytest.raises(HermesError) as caught:
        await ask(source, "NAME")
    return caught.value


def test_it_is_asked_once_in_five_minutes_also_for_what_is_not_there(system: Any, play: Play) -> None:
    clock = SetClock()
    system.write({"hermes": {"A": "1"}, "other": {"B": "not ours"}})

    async def body(app: App, source: Any) -> None:
        assert await ask(source, "A", "B") == {"A": "1"}
        system.write({"hermes": {"A": "new", "B": "2"}})
        clock.advance(299)
        assert await ask(source, "A", "B") == {"A": "1"}
        assert system.asked == ["A", "B"]
        clock.advance(2)
        assert await ask(source, "A", "B") == {"A": "new", "B": "2"}

    play(body, clock=clock)


def test_the_service_can_be_another(system: Any, play: Play) -> None:
    system.write({"mine": {"A": "1"}})

    async def body(app: App, source: Any) -> None:
        assert await ask(source, "A") == {"A": "1"}

    play(body, service="mine")


def test_it_is_asked_only_for_what_no_earlier_layer_has(system: Any, play: Play) -> None:
    system.write({"hermes": {"HERE": "ring", "HIDDEN": "ring", "THERE": "ring"}})

    async def body(app: App, source: Any) -> None:
        assert (await app.find_secret("HERE", app.scope))[0] == "environment"
        assert await app.find_secret("HIDDEN", app.scope) == ("", "")
        assert system.asked == []
        assert await app.find_secret("THERE", app.scope) == ("ring", "keyring:THERE")

    play(body, {"HERE": "environment", "HIDDEN": ""})


def test_backends_that_keep_nothing_or_plain_text_are_refused(use_keyring: Any, plain: Any, play: Play) -> None:
    plain.write({"hermes": {"NAME": "in the clear"}})

    async def body(app: App, source: Any) -> None:
        assert (await source.get(SecretQuery(names=("NAME",), scope=app.scope))).values == {}
        with pytest.raises(ring.NoKeyring, match="no keyring that keeps secrets secret") as told:
            await ring.ask(lambda backend: backend.name, 5)
        assert "hermes plugins disable keyring" in told.value.hint

    for backend in (plain, null.Keyring(), fail.Keyring()):
        use_keyring(backend)
        play(body)
    assert plain.asked == []


def test_of_a_chain_only_the_sound_ones_are_asked(
    use_keyring: Any, make_keyring: Any, plain: Any, tmp_path: Path, play: Play
) -> None:
    class Chain(ChainerBackend):
        backends = (plain, make_keyring(tmp_path / "sound.json"))  # type: ignore[assignment]

    plain.write({"hermes": {"NAME": "in the clear"}})
    Chain.backends[1].write({"hermes": {"NAME": "kept"}})
    use_keyring(Chain())

    async def body(app: App, source: Any) -> None:
        assert await ask(source, "NAME") == {"NAME": "kept"}

    play(body)
    assert plain.asked == []


def test_a_keyring_that_waits_for_a_person_is_not_waited_for_in_every_lookup(system: Any, play: Play) -> None:
    clock = SetClock()
    system.locked.clear()

    async def body(app: App, source: Any) -> None:
        for _ in range(2):
            assert "did not answer within 0.2 seconds" in str(await failure(source))
        assert system.asked == ["NAME"]
        system.write({"hermes": {"NAME": "1"}})
        system.locked.set()
        clock.advance(31)
        assert await ask(source, "NAME") == {"NAME": "1"}

    play(body, clock=clock, timeout=0.2)


def test_a_keyring_that_fails_is_told_by_what_it_says(system: Any, play: Play) -> None:
    system.broken = "Failed to unlock the collection!"

    async def body(app: App, source: Any) -> None:
        assert "Failed to unlock the collection!" in str(await failure(source))

    play(body)


BACKEND = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    priority = 5
    name = "Ring of a test"
    file = pathlib.Path(os.environ["HERMES_HOME"]) / "ring.json"

    def entries(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        return self.entries().get(username)

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({**self.entries(), username: password}))

    def delete_password(self, service, username):
        self.file.write_text(json.dumps({k: v for k, v in self.entries().items() if k != username}))
"""


@pytest.fixture
def command(hermes: Hermes, tmp_path: Path) -> Hermes:
    """With a keyring of its own, which the library is told of as its documentation says."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "ring_of_a_test.py").write_text(BACKEND)
    hermes.environ |= {"PYTHONPATH": str(tmp_path / "library"), "PYTHON_KEYRING_BACKEND": "ring_of_a_test.Ring"}
    hermes.configure({})
    return hermes


def test_a_secret_is_put_in_found_and_taken_out(command: Hermes) -> None:
    ran = command("keyring", "set", "MY_KEY", stdin="value-of-it\n")
    assert (ran.code, ran.out) == (0, "MY_KEY is in the keyring.\n")
    assert json.loads((command.home / "ring.json").read_text()) == {"MY_KEY": "value-of-it"}
    ran = command("keyring", "check", "MY_KEY", "OTHER")
    assert (ran.code, ran.out) == (
        1,
        "The keyring answers: Ring of a test.\nok       MY_KEY\nmissing  OTHER\n",
    )
    assert command("keyring", "remove", "MY_KEY").code == 0
    assert command("keyring", "remove", "MY_KEY").code == 1
    assert json.loads((command.home / "ring.json").read_text()) == {}


def test_what_is_no_name_or_no_value_changes_nothing(command: Hermes) -> None:
    assert command("keyring", "set", "no name", stdin="x").code == 2
    assert command("keyring", "set", "NAME", stdin="\n").code == 2
    assert not (command.home / "ring.json").exists()


def test_without_a_keyring_the_command_says_so(command: Hermes) -> None:
    command.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    ran = command("keyring", "check")
    assert ran.code == 1
    assert "no keyring that keeps secrets secret" in ran.err


def test_the_library_is_not_imported_before_it_is_needed(command: Hermes) -> None:
    import subprocess

    code = "import sys, hermes_plugin_keyring, hermes_plugin_keyring.command; sys.exit('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=command.environ, timeout=60).returncode == 0
