"""``op read``, run as it is documented: what it is asked, and what is told when it fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hermes import App, ConfigError, HermesError, Scope, SecretQuery
from hermes_testkit.command import Hermes
from hermes_testkit.scripted import SetClock, make_app

Body = Callable[[App, Any], Awaitable[None]]
Play = Callable[..., None]
TOKEN = {"OP_SERVICE_ACCOUNT_TOKEN": "ops_token"}
KEYS = {name: f"op://Work/{name}/credential" for name in ("A", "B", "GONE")}


@pytest.fixture
def play(home: Path, vault: Any) -> Play:
    """Runs a body with an app that has the plugin, and its source; ``settings`` are those of the plugin."""

    def run(body: Body, environ: dict[str, str] = TOKEN, clock: SetClock | None = None, **settings: Any) -> None:
        async def work() -> None:
            overrides = {"onepassword": {"references": KEYS, **settings}}
            async with (
                asyncio.timeout(60),
                make_app(home, only=["onepassword"], environ=environ, overrides=overrides, clock=clock) as app,
            ):
                await body(app, await app.plugins.provided("secret_source", "onepassword"))

        asyncio.run(work())

    return run


async def ask(source: Any, *names: str) -> dict[str, str]:
    return dict((await source.get(SecretQuery(names=names, scope=Scope(home="")))).values)


async def failure(source: Any, name: str) -> HermesError:
    with pytest.raises(HermesError) as caught:
        await ask(source, name)
    return caught.value


def test_a_secret_is_read_by_its_reference_once_in_five_minutes(vault: Any, play: Play) -> None:
    clock = SetClock()

    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1", "B": "2"})
        assert await asyncio.gather(ask(source, "A"), ask(source, "A", "B")) == [{"A": "1"}, {"A": "1", "B": "2"}]
        asked = sorted(call["arguments"][-1] for call in vault.calls())
        assert asked == ["op://Work/A/credential", "op://Work/B/credential"]
        vault.hold({"A": "new", "B": "2"})
        clock.advance(299)
        assert await ask(source, "A") == {"A": "1"}
        clock.advance(2)
        assert await ask(source, "A") == {"A": "new"}

    play(body, clock=clock)


def test_names_without_a_reference_run_nothing(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"OTHER": "1", "OP_SERVICE_ACCOUNT_TOKEN": "2"})
        assert await ask(source, "OTHER", "OP_SERVICE_ACCOUNT_TOKEN") == {}
        assert vault.calls() == []

    play(body, references={"OP_SERVICE_ACCOUNT_TOKEN": "op://Work/OP_SERVICE_ACCOUNT_TOKEN/credential"})


def test_the_program_sees_the_token_and_nothing_else_that_is_secret(
    vault: Any, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-for-others")

    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        await ask(source, "A")
        (call,) = vault.calls()
        assert call["environment"]["OP_SERVICE_ACCOUNT_TOKEN"] == "ops_token"
        assert "ANTHROPIC_API_KEY" not in call["environment"]
        assert call["arguments"] == ["read", "--no-newline", "--account", "work", "op://Work/A/credential"]

    play(body, account="work")


def test_it_is_asked_only_for_what_no_earlier_layer_has(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "from the vault", "B": "from the vault"})
        assert await app.find_secret("A", app.scope) == ("", "")
        assert vault.calls() == []
        assert await app.find_secret("B", app.scope) == ("from the vault", "onepassword:B")

    play(body, {**TOKEN, "A": ""})


def test_a_reference_that_leads_nowhere_is_told_and_the_others_are_found(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        error = await failure(source, "GONE")
        assert str(error).startswith("op failed: could not read secret 'op://Work/GONE/credential'")
        assert "onepassword.references.GONE" in error.hint
        assert await ask(source, "A") == {"A": "1"}

    play(body)


def test_a_failure_is_kept_for_half_a_minute_and_told_without_the_token(vault: Any, play: Play) -> None:
    clock = SetClock()

    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        for _ in range(2):
            error = await failure(source, "A")
            assert "Unauthorized: …" in str(error)
            assert "ops_wrong" not in str(error)
        assert len(vault.calls()) == 1
        clock.advance(31)
        await failure(source, "A")
        assert len(vault.calls()) == 2

    play(body, {"OP_SERVICE_ACCOUNT_TOKEN": "ops_wrong"}, clock)


def test_a_program_that_waits_for_a_person_is_ended_in_time(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"}, hang=True)
        assert "op did not answer within 2 seconds" in str(await failure(source, "A"))
        with pytest.raises(ProcessLookupError):
            os.kill(int((vault.state / "hanging").read_text()), 0)

    play(body, timeout=2)


def test_what_is_no_text_is_told(vault: Any, play: Play) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": b"\xff\xfe"})
        assert "A is no text" in str(await failure(source, "A"))

    play(body)


def test_without_the_program_the_plugin_is_not_used(home: Path, vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(vault.state))

    async def work() -> None:
        async with make_app(home, only=["onepassword"], overrides={"onepassword": {"references": KEYS}}) as app:
            assert app.plugins.names("secret_source") == ()
            assert app.plugins.plugins["onepassword"].problem == "it needs the program op"
            assert await app.find_secret("A", app.scope) == ("", "")

    asyncio.run(work())


@pytest.mark.parametrize("reference", ["Work/A", "--help", "", 7])
def test_a_reference_that_is_none_is_told_and_not_tried(vault: Any, play: Play, reference: Any) -> None:
    async def body(app: App, source: Any) -> None:
        vault.hold({"A": "1"})
        error = await failure(source, "WRONG")
        assert isinstance(error, ConfigError)
        assert "onepassword.references.WRONG" in str(error)
        assert vault.calls() == []

    play(body, references={"WRONG": reference})


def test_the_command_says_of_each_name_whether_it_is_found(vault: Any, hermes: Hermes) -> None:
    references = {"A": "op://Work/A/credential", "EMPTY": "op://Work/EMPTY/credential"}
    hermes.configure({"onepassword": {"references": references}})
    hermes.environ |= {"PATH": os.environ["PATH"], **TOKEN}
    vault.hold({"A": "value-of-a", "EMPTY": "value"})
    ran = hermes("onepassword")
    assert (ran.code, ran.out) == (0, "ok       A\nok       EMPTY\n")
    vault.hold({"EMPTY": ""})
    ran = hermes("onepassword")
    assert ran.code == 1
    assert "problem  A: op failed" in ran.out
    assert "problem  EMPTY: it is blank" in ran.out
