"""A plugin whose hooks behave passes the suite, here and in a plugin host; a wrong one fails what it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.hook_suite import HookSuite

REFERENCE = Path(__file__).parent / "reference" / "watcher"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}


class Watcher(HookSuite):
    plugin = "watcher"
    files = SOURCES


class TestWatcher(Watcher):
    pass


INJECT = (
    "from hermes import LOCAL, InboxMessage\n"
    "    note = InboxMessage(session_id=call.session_id, text='By the way', principal=LOCAL, steer=True)\n"
    "    await ctx.sessions.inject(note)\n"
)
EVERYTHING = ", ".join(behaviours(HookSuite))
"""Hermes does not use a plugin whose manifest is not true."""
WRONG = {
    "declares too much": (
        [("plugin.yaml", "  - on_message\n", "  - on_message\n  - on_turn_end\n")],
        EVERYTHING,
    ),
    "declares too little": ([("plugin.yaml", "  - on_approval\n", "")], EVERYTHING),
    "fails on approvals": ([("__init__.py", "decision.answer", "decision.answers")], "HOOK-TURN-1"),
    "fails on subagents": ([("__init__.py", "assert subagent.parent_session", "sys.exit()")], "HOOK-TURN-1"),
    "expects text": (
        [("__init__.py", 'in str(call.arguments.get("command", ""))', 'in call.arguments.get("command", "")')],
        "HOOK-GUARD-1",
    ),
    "wrong verdict": (
        [("__init__.py", 'return Verdict(decision="deny", reason="It would delete everything.")', "return False")],
        "HOOK-GUARD-1",
    ),
    "expects parts": ([("__init__.py", "text_of(message.parts)", "message.parts[0].text")], "HOOK-GUARD-2"),
    "talks along": (
        [
            ("__init__.py", 'await count(ctx, f"calls of {call.name}")', INJECT),
            ("plugin.yaml", "hooks:\n", "permissions:\n  calls: [inject]\nhooks:\n"),
        ],
        "HOOK-OBSERVER-1",
    ),
    "denies what is harmless": ([("__init__.py", 'if "rm -rf" in', 'if "echo hello" in')], "HOOK-OBSERVER-1"),
    "cannot read its state": (
        [
            (
                "__init__.py",
                'await count(ctx, "sessions")',
                'await ctx.state.set("sessions", [1 + await ctx.state.get("sessions", 0)])',
            )
        ],
        "HOOK-STATE-1",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    changes, expected = WRONG[wrong]
    files = dict(SOURCES)
    for file, piece, replacement in changes:
        assert files[file].count(piece) == 1
        files[file] = files[file].replace(piece, replacement)
    suite = type("Wrong", (Watcher,), {"files": files})
    failed = failures(suite, tmp_path)
    assert set(failed) == set(expected.split(", ")), failed


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    single = {expected for _, expected in WRONG.values() if expected != EVERYTHING}
    assert single | {"HOOK-MANIFEST-1"} == set(behaviours(HookSuite))
