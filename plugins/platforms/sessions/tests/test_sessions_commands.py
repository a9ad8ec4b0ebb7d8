"""``hermes sessions``, on a home with two sessions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hermes import HermesError, SessionNotFound
from hermes_plugin_sessions.commands import sessions
from hermes_testkit.scripted import ScriptedModel, collect, make_app, say


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One session about apples, one about pears with a secret in it."""
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def fill() -> None:
        model = ScriptedModel(
            [say("Apples are red."), say("Pears are green.\n```\nsk-abcdefghijklmnopqrstuvwxyz123456\n```")]
        )
        async with make_app(tmp_path / "home", model=model) as app:
            for prompt in ("What of apples?", "What of pears?"):
                await collect((await app.conversation()).send(prompt))

    asyncio.run(fill())
    return tmp_path / "home"


def run(*arguments: str, **options: Any) -> Result:
    result = CliRunner().invoke(sessions, arguments, standalone_mode=False, **options)
    if result.exception is not None:
        raise result.exception
    return result


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json").stdout)
    return found


@pytest.mark.usefixtures("home")
def test_sessions_are_listed_the_newest_first_with_every_field() -> None:
    pears, apples = listed()
    assert (pears["preview"], apples["preview"]) == ("What of pears?", "What of apples?")
    assert {"id", "model", "provider", "usage", "cost_usd", "outcome", "title", "message_count"} <= set(pears)
    assert "What of apples?" in run("list").stdout
    assert len(run("list", "-n", "1").stdout.splitlines()) == 1


@pytest.mark.usefixtures("home")
def test_a_session_is_shown_by_the_beginning_of_its_id_without_its_secrets() -> None:
    pears = listed()[0]["id"]
    shown = run("show", pears[:-2]).stdout
    assert "Pears are green." in shown
    assert "abcdefghijklmnop" not in shown
    assert "abcdefghijklmnop" not in run("show", pears, "--json").stdout


@pytest.mark.usefixtures("home")
def test_a_session_that_is_not_there_is_told() -> None:
    with pytest.raises(SessionNotFound):
        run("show", "19990101")


@pytest.mark.usefixtures("home")
def test_search_finds_words_and_says_where() -> None:
    (hit,) = json.loads(run("search", "pears", "green", "--json").stdout)
    assert hit["session_id"] == listed()[0]["id"]
    assert "**" in hit["snippet"]
    assert run("search", "bananas").stdout == ""


@pytest.mark.usefixtures("home")
def test_a_title_is_given_and_kept_unique() -> None:
    pears, apples = (record["id"] for record in listed())
    assert json.loads(run("rename", pears, "Fruit", "--json").stdout)["title"] == "Fruit"
    assert json.loads(run("rename", apples, "Fruit", "--json").stdout)["title"] == "Fruit #2"


def test_export_as_json_lines_and_markdown(home: Path) -> None:
    pears = listed()[0]["id"]
    lines = [json.loads(line) for line in run("export", pears).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["session", "message", "message"]
    run("export", pears, "--format", "markdown", "-o", str(home / "out.md"))
    text = (home / "out.md").read_text()
    assert text.startswith("# What of pears?")
    assert "## assistant" in text
    assert "abcdefghijklmnop" not in text
    with pytest.raises(HermesError, match="cannot be written"):
        run("export", pears, "-o", str(home / "nowhere" / "out"))


def test_delete_asks_and_takes_the_transcript_along(home: Path) -> None:
    pears, apples = (record["id"] for record in listed())
    assert run("delete", pears, input="n\n").return_value == 1
    assert (home / "sessions" / f"{pears}.jsonl").exists()
    assert json.loads(run("delete", pears, "--yes", "--json").stdout)["session_ids"] == [pears]
    assert [record["id"] for record in listed()] == [apples]
    assert not (home / "sessions" / f"{pears}.jsonl").exists()


@pytest.mark.usefixtures("home")
def test_prune_says_first_and_does_then() -> None:
    assert json.loads(run("prune", "--older-than", "0", "--dry-run", "--json").stdout)["session_ids"]
    assert len(listed()) == 2
    run("prune", "--older-than", "30", "--yes")
    assert len(listed()) == 2
    run("prune", "--older-than", "0", "--yes")
    assert listed() == []


@pytest.mark.usefixtures("home")
def test_stats_and_check() -> None:
    assert json.loads(run("stats", "--json").stdout)["messages"] == 4
    result = run("check", "--json")
    assert json.loads(result.stdout)["problems"] == []
    assert result.return_value == 0
