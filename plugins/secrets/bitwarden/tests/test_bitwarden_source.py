"""Bitwarden's two programs, run as they are documented: what they are asked, and what is told when they fail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hermes import App, HermesError, PluginError, Scope, SecretQuery
from hermes_testkit.command import Hermes
from hermes_testkit.contract_suite import eventually
from hermes_testkit.scripted import SetClock, make_app

Body = Callable[[App, Any], Awaitable[None]]
Play = Callable[..., None]
TOKEN = "0.48c78342-access-token"


@pytest.fixture
def play(home: Path, vault: Any) -> Play:
    """Runs a body with an app that has the plugin, and its source; ``settings`` are those of the plugin."""

    def run(body: Body, environ: dict[str, str] | None = None, clock: SetClock | None = None, **settings: Any) -> None:
        async def work() -> None:
            given = {"BWS_ACCESS_TOKEN": TOKEN} if environ is None else environ
            async with (
                asyncio.timeout(60),
                make_app(
                    home, only=["bitwarden"], environ=given, overrides={"bitwarden": settings}, clock=clock
                ) as app,
            ):
                await body(app, await app.plugins.provided("secret_source", "bitwarden"))

        asyncio.run(work())

    return run


async def ask(source: Any, *names: str) -> dict[str, str]:
    return dict((await source.get(SecretQuery(names=names, scope=Scope(home="")))).values)


async def failure(source: Any, name: str = "NAME") -> HermesError:
    with pytest.raises(HermesError) as caught:
        await ask(source, name)
    return caught.value


def test_the_program_is_asked_once_for_all_names_and_again_after_five_minutes(vault: Any, play: Play) -> None:
    clock = SetClock()

    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1", "B": "2"})
        assert await asyncio.gather(ask(source, "A"), ask(source, "B"), ask(source, "C")) == [
            {"A": "1"},
            {"B": "2"},
            {},
        ]
        assert len(vault.calls()) == 1
        vault.hold({"A": "new"})
        clock.advance(299)
        assert await ask(source, "A") == {"A": "1"}
        clock.advance(2)
        assert await ask(source, "A", "B") == {"A": "new"}
        assert len(vault.calls()) == 2

    play(body, clock=clock)


def test_the_program_sees_the_token_and_nothing_else_that_is_secret(
    vault: Any, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-for-others")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        await ask(source, "A")
        (call,) = vault.calls()
        assert call["environment"]["BWS_ACCESS_TOKEN"] == TOKEN
        assert call["environment"]["HTTPS_PROXY"] == "http://127.0.0.1:9"
        assert "ANTHROPIC_API_KEY" not in call["environment"]
        assert TOKEN not in " ".join(call["arguments"])

    play(body)


def test_project_and_server_are_passed_on(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        rows = [
            {"id": "1", "projectId": "other", "key": "A", "value": "not this"},
            {"id": "2", "projectId": "mine", "key": "A", "value": "this"},
        ]
        vault.write(secrets=rows)
        assert await ask(source, "A") == {"A": "this"}
        assert vault.calls()[0]["arguments"][-4:] == ["--server-url", "https://vault.bitwarden.eu", "--", "mine"]

    play(body, project="mine", server_url="https://vault.bitwarden.eu")


def test_of_two_secrets_with_one_key_the_first_counts(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.write(secrets=[{"key": "A", "value": "first"}, {"key": "A", "value": "second"}])
        assert await ask(source, "A") == {"A": "first"}

    play(body)


def test_it_is_asked_only_for_what_no_earlier_layer_has(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"HERE": "from the vault", "THERE": "from the vault", "HIDDEN": "from the vault"})
        assert await app.find_secret("HERE", app.scope) == ("from the environment", "env:HERE")
        assert await app.find_secret("HIDDEN", app.scope) == ("", "")
        assert vault.calls() == []
        assert await app.find_secret("THERE", app.scope) == ("from the vault", "bitwarden:THERE")

    play(body, {"BWS_ACCESS_TOKEN": TOKEN, "HERE": "from the environment", "HIDDEN": ""})


def test_what_bws_complains_of_is_told_without_the_token_and_not_tried_again_at_once(vault: Any, play: Play) -> None:
    clock = SetClock()

    async def body(app: App, source: Any) -> None:
        vault.write(problem=f"The access token {TOKEN} is\x1b[2J revoked.")
        error = await failure(source)
        assert str(error) == "bws failed: The access token … is[2J revoked."
        assert "bws secret list" in error.hint
        assert str(await failure(source, "OTHER")) == str(error)
        assert len(vault.calls()) == 1
        vault.hold({"NAME": "1"})
        clock.advance(31)
        assert await ask(source, "NAME") == {"NAME": "1"}

    play(body, clock=clock)


@pytest.mark.parametrize("raw", ["", "no JSON", '{"key": "A"}', '[{"key": "A"}]', '[{"key": "A", "value": 7}]'])
def test_what_is_no_list_of_secrets_is_told_without_what_it_was(vault: Any, play: Play, raw: str) -> None:
    async def body(app: App, source: Any) -> None:
        vault.write(secrets=[], raw=raw)
        error = await failure(source)
        assert "did not print the JSON" in str(error)
        assert not raw or raw not in f"{error} {error.hint}"

    play(body)


def test_a_program_that_hangs_is_ended_in_time(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"}, hang=True)
        assert "bws did not answer within 2 seconds" in str(await failure(source))
        assert not _runs(int((vault.state / "hanging").read_text()))

    play(body, timeout=2)


def test_a_question_that_is_given_up_ends_the_program(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"}, hang=True)
        asking = asyncio.create_task(ask(source, "A"))
        file = vault.state / "hanging"

        async def started() -> bool:
            return file.exists() and bool(file.read_text())

        await eventually(started)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not _runs(int(file.read_text()))

    play(body, timeout=60)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_without_a_token_it_says_which_and_runs_nothing(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        assert (await source.get(SecretQuery(names=("A",), scope=app.scope))).values == {}
        with pytest.raises(PluginError, match="BWS_ACCESS_TOKEN or BW_SESSION") as told:
            await source.all()
        assert "hermes plugins disable bitwarden" in told.value.hint
        assert vault.calls() == []

    play(body, {})


def test_without_the_program_it_says_so(vault: Any, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(vault.state))

    async def body(app: App, source: Any) -> None:
        assert str(await failure(source)) == "The program bws is not installed."

    play(body)


def test_its_own_token_is_never_looked_for_in_itself(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"BWS_ACCESS_TOKEN": "inside", "BW_SESSION": "inside"})
        assert await ask(source, "BWS_ACCESS_TOKEN", "BW_SESSION") == {}
        assert vault.calls() == []

    play(body)


ITEMS = [
    {"name": "KEY", "folderId": "f1", "type": 1, "login": {"username": "me", "password": "of a login"}, "notes": None},
    {"name": "NOTE", "folderId": "f1", "type": 2, "notes": "of a note"},
    {"name": "BLANK", "folderId": "f1", "type": 1, "login": {"password": None}, "notes": "not this"},
    {"name": "ELSEWHERE", "folderId": "f2", "type": 1, "login": {"password": "private"}},
]
FOLDERS = [{"id": None, "name": "No Folder"}, {"id": "f2", "name": "private"}, {"id": "f1", "name": "hermes"}]


def test_bw_gives_logins_and_notes_of_its_folder_alone(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.write(folders=FOLDERS, items=ITEMS)
        found = await ask(source, "KEY", "NOTE", "BLANK", "ELSEWHERE")
        assert found == {"KEY": "of a login", "NOTE": "of a note", "BLANK": ""}
        folders, items = vault.calls()
        assert items["arguments"] == ["--nointeraction", "list", "items", "--folderid", "f1"]
        assert folders["environment"]["BW_SESSION"] == "open"

    play(body, {"BW_SESSION": "open"})


def test_bw_that_is_locked_or_has_no_such_folder_is_told(vault: Any, play: Play) -> None:
    async def locked(app: App, source: Any) -> None:
        vault.write(folders=FOLDERS, items=ITEMS)
        error = await failure(source)
        assert str(error) == "bw failed: Vault is locked."
        assert "bw unlock" in error.hint

    async def elsewhere(app: App, source: Any) -> None:
        assert 'no folder "work"' in str(await failure(source))

    play(locked, {"BW_SESSION": "shut"})
    play(elsewhere, {"BW_SESSION": "open"}, folder="work")


def test_the_program_that_is_chosen_is_used(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.write(folders=FOLDERS, items=ITEMS)
        assert await ask(source, "KEY") == {"KEY": "of a login"}

    play(body, {"BW_SESSION": "open", "BWS_ACCESS_TOKEN": TOKEN}, program="bw")


def test_the_command_lists_names_and_no_values(vault: Any, hermes: Hermes) -> None:
    hermes.configure({})
    vault.hold({"B_KEY": "value-of-b", "A_KEY": "value-of-a"})
    hermes.environ |= {"PATH": os.environ["PATH"], "BWS_ACCESS_TOKEN": TOKEN}
    ran = hermes("bitwarden")
    assert (ran.code, ran.out) == (0, "Bitwarden answers, with 2 secrets.\n  A_KEY\n  B_KEY\n")
    vault.write(problem="The access token is invalid, expired, or revoked.")
    ran = hermes("bitwarden")
    assert ran.code == 1
    assert "invalid, expired, or revoked" in ran.err
