"""Every hook on every surface, in this process and in a host: which fire, in which order, of what, to what end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hermes import Done, History, HistoryQuery, SessionQuery, SessionRecord, text_of
from hermes.contracts import hookspecs
from hermes.plugins.loader import load_module
from hermes.sessions.sqlite import open_store
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import ModelServer

HERE = Path(__file__).parent
surfaces: Any = load_module("hook_surfaces", str(HERE / "hook_surfaces.py"))

HOOKS = {name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")}
SURFACES = {"oneshot": "cli", "interactive": "cli", "library": "library", "toy": "toy", "subagent": "subagent"}
"""What is driven, and as what its sessions are counted."""
PLACES = ("host", "isolated")
"""As the setting ``isolation`` names them: in Hermes's own process, in a plugin host."""

NOT_HERE: dict[str, dict[str, str]] = yaml.safe_load(
    (HERE.parent / "docs" / "hook_surfaces.yaml").read_text(encoding="utf-8")
)["not_on"]
"""Hooks that some surfaces have no occasion for, and why."""

ANY_TIME = {"on_event", "register_tools", "provide", "resolve_provider"}
"""Hooks that have no place of their own in a turn: on activation, with every event, whenever a model is looked up."""
UNCOUNTED = {"register_tools", "provide"}
"""Called on activation, once, and not counted: of their failure the plugin's state tells."""

BEGIN = ["on_session_start", "system_blocks"]
CALL = ["pre_api_request", "post_api_request"]
ASKED_AGAIN = ["pre_api_request", "on_api_error", *CALL]
JUDGED, RAN = ["rewrite_tool_call", "pre_tool_call"], ["post_tool_call", "transform_tool_result"]
TOOL = [*JUDGED, "on_approval", *RAN]
JUDGED_AGAIN = [*JUDGED, "on_approval", *JUDGED, *RAN]
"""A turn that waited for the answer takes the call up anew, and so do the guards: much may have changed meanwhile."""
END = [*CALL, "on_turn_end", *CALL, "on_turn_end", "post_llm_call"]
GOOD_TURN = ["pre_llm_call", *ASKED_AGAIN, *TOOL, *END]
BAD_TURN = ["pre_llm_call", "pre_api_request", "on_api_error", "on_error"]

ORDER = {
    "oneshot": [
        *BEGIN,
        *(hook for hook in GOOD_TURN if hook != "on_approval"),
        *("on_session_end", "on_session_start", *BAD_TURN, "on_session_end"),
    ],
    "interactive": [*BEGIN, *GOOD_TURN, *BAD_TURN, "on_session_reset", "on_session_end"],
    "library": [*BEGIN, *GOOD_TURN, *BAD_TURN, "on_session_end"],
    "toy": [
        *("on_message", *BEGIN, "pre_llm_call", *ASKED_AGAIN, *JUDGED_AGAIN, *END),
        *("on_message", *BAD_TURN, "on_session_end"),
    ],
    "subagent": [
        *("on_session_start", "on_subagent_start", "system_blocks", *GOOD_TURN, *BAD_TURN),
        *("on_session_end", "on_subagent_stop"),
    ],
}
"""In the session that the two turns are in. One that was never asked anything, as after ``/new``, begins with its
first message only.
"""

SESSION_FIELDS = ("session.id", "turn.session.id", "subagent.session.id")
NUMBERS = ("call.session_id", "request.session_id", "decision.session_id", "event.session_id")


class Recording(NamedTuple):
    """What one surface came to: lines of the recorder, the kept counters, the store's sessions with their history."""

    lines: list[dict[str, Any]]
    counters: dict[str, dict[str, dict[str, Any]]]
    sessions: dict[str, tuple[SessionRecord, History]]

    @property
    def driven(self) -> str:
        """The session that the two turns are in."""
        return next(session for session, (record, _) in self.sessions.items() if record.preview.startswith("poke it"))

    def of_driven(self) -> list[dict[str, Any]]:
        """What fired in it, and what belongs to no session."""
        return [line for line in self.lines if session_of(line) in ("", self.driven)]


def session_of(line: dict[str, Any]) -> str:
    return str(next((line[field] for field in (*SESSION_FIELDS, *NUMBERS) if line.get(field)), ""))


async def stored(home: Path) -> dict[str, tuple[SessionRecord, History]]:
    store = open_store(home)
    try:
        found = (await store.find(SessionQuery(limit=10))).sessions
        return {record.id: (record, await store.history(HistoryQuery(session_id=record.id))) for record in found}
    finally:
        await store.close(Done())


def record(hermes: Hermes, surface: str, place: str) -> Recording:
    with ModelServer(default=surfaces.Script()) as server:
        hermes.configure(
            {
                "model": {"provider": "elsewhere", "default": "test-model"},
                "agent": {"retries": 1},
                "approvals": {"mode": "off"},  # or the floor would ask, where nobody whose "allow" counts says it
                "plugins": {"entries": {"recorder": {"isolation": place}}},
            }
        )
        data = hermes.home / "plugin-data" / "recorder"
        for folder in (hermes.home / "plugins", data):
            folder.mkdir(parents=True)
        shutil.copy(HERE / "hook_recorder.py", hermes.home / "plugins" / "recorder.py")
        (data / "url").write_text(server.url)
        (data / "verdict").write_text("allow" if surface == "oneshot" else "ask")
        surfaces.DRIVERS[surface](hermes)
    lines = [json.loads(line) for line in (data / "fired").read_text().splitlines()]
    told = json.loads(hermes("plugins", "info", "recorder", "--json").out)
    assert told["runs"] == {"host": "in Hermes", "isolated": "isolated"}[place]
    return Recording(lines, told["counters"], asyncio.run(stored(hermes.home)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Recording]:
    """Each surface is driven once in each place."""
    known: dict[tuple[str, str], Recording] = {}

    def get(surface: str, place: str) -> Recording:
        if (surface, place) not in known:
            known[surface, place] = record(Hermes(tmp_path_factory.mktemp("matrix")), surface, place)
        return known[surface, place]

    return get


Recorded = Callable[[str, str], Recording]
everywhere = pytest.mark.parametrize("surface", SURFACES)
in_both_places = pytest.mark.parametrize("place", PLACES)


@everywhere
@in_both_places
def test_what_a_surface_can_reach_fires_in_the_documented_order(recorded: Recorded, surface: str, place: str) -> None:
    recording = recorded(surface, place)
    absent = {hook for hook, reasons in NOT_HERE.items() if surface in reasons}
    assert {line["hook"] for line in recording.lines} == HOOKS - absent
    fired = [line["hook"] for line in recording.of_driven() if line["hook"] not in ANY_TIME]
    assert fired == ORDER[surface]


@everywhere
@in_both_places
def test_hooks_are_told_of_what_is_stored(recorded: Recorded, surface: str, place: str) -> None:
    recording = recorded(surface, place)
    messages = {message.id: message for _, history in recording.sessions.values() for message in history.messages}
    turns = {message.turn_id for message in messages.values()}
    for line in recording.lines:
        assert session_of(line) in {"", *recording.sessions}, line
        for field, value in line.items():
            if field in ("turn.id", "call.turn_id", "request.turn_id") or (field == "event.turn_id" and value):
                assert value in turns, line
            elif field in ("turn.message_id", "answer.message_id", "event.message.id"):
                assert value in messages, line
            elif field in ("call.id", "request.call_id", "event.call_id"):
                assert value in ("call_poke", "call_delegate"), line
        if line["hook"].startswith("on_subagent"):
            parent = recording.sessions[recording.driven][0].parent_session
            assert line["subagent.parent_session"] == line["subagent.session.parent_session"] == parent
            assert parent in recording.sessions


@everywhere
@in_both_places
def test_the_kept_counters_agree_with_what_fired(recorded: Recorded, surface: str, place: str) -> None:
    recording = recorded(surface, place)
    expected = Counter(
        (line["hook"], counted_as(recording, line)) for line in recording.lines if line["hook"] not in UNCOUNTED
    )
    counted = {(hook, on): count for hook, found in recording.counters.items() for on, count in found.items()}
    assert {key: count["fired"] for key, count in counted.items()} == dict(expected)
    begun = min(record.created for record, _ in recording.sessions.values())
    for key, count in counted.items():
        assert (count["failed"], count["error"]) == (0, ""), key
        assert 0 < count["seconds"] < surfaces.DEADLINE, key
        assert key[0] == "resolve_provider" or count["last"] > begun - 1, key


def counted_as(recording: Recording, line: dict[str, Any]) -> str:
    """A model is looked up for no surface; a message has one before there is a session."""
    if line["hook"] in ("resolve_provider", "on_message"):
        return str(line.get("message.platform", "toy" if line["hook"] == "on_message" else ""))
    session = session_of(line)
    if not session:
        turn = str(line["request.id"]).partition("-")[0]
        session = next(
            name
            for name, (_, history) in recording.sessions.items()
            if turn in {message.turn_id for message in history.messages}
        )
    return recording.sessions[session][0].surface


@everywhere
def test_both_places_are_told_the_same(recorded: Recorded, surface: str) -> None:
    inside, outside = (settled(recorded(surface, place).lines) for place in PLACES)
    assert outside == inside


def settled(lines: list[dict[str, Any]]) -> list[str]:
    """Without what differs from run to run: ids are numbered as they come, and how a text is cut up is left out."""
    known: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"#{len(known) + 1}")

    said = [json.dumps(line) for line in lines if line.get("type") != "TextDelta"]
    return [re.sub(r"\b(\d{8}_\d{6}_[0-9a-f]{6}|[0-9a-f]{12})\b", number, line) for line in said]


@everywhere
@in_both_places
def test_what_the_hooks_answer_is_in_the_session(recorded: Recorded, surface: str, place: str) -> None:
    recording = recorded(surface, place)
    assert recording.sessions[recording.driven][0].surface == SURFACES[surface]
    history = recording.sessions[recording.driven][1]
    assert history.prompt is not None
    assert ("recorder", "All is written down.") in [(block.name, block.text) for block in history.prompt.system]
    assert "poke" in {tool.name for tool in history.prompt.tools}
    told = [(message.role, text_of(message.parts)) for message in history.messages]
    (result,) = [message.parts[0] for message in history.messages if message.role == "tool"]
    assert text_of(result.content) == "<poked the rewritten bear>"
    asked, called, _, first, more, last, failing = told
    assert [role for role, _ in told] == ["user", "assistant", "tool", "assistant", "user", "assistant", "user"]
    assert asked[1].startswith("poke it")
    assert asked[1].endswith("(The recorder is on.)")
    assert (called[1], first[1]) == ("", "All poked.")
    assert (more[1], last[1]) == ("Once more.", "All poked. [recorded]")
    assert failing[1].startswith("fail now")


def test_the_tables_name_hooks_and_surfaces_that_there_are() -> None:
    assert set(NOT_HERE) | ANY_TIME | UNCOUNTED <= HOOKS
    assert all(set(reasons) < set(SURFACES) for reasons in NOT_HERE.values())
    assert set(ORDER) == set(SURFACES) == set(surfaces.DRIVERS)
