"""An engine that behaves passes its suite, here and in a plugin host; one that breaks a behaviour fails that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.context_engine_suite import ContextEngineSuite

REFERENCE = Path(__file__).parent / "reference" / "window_cutter"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}


class WindowCutter(ContextEngineSuite):
    plugin = "window-cutter"
    name = "cutter"
    files = SOURCES


class TestWindowCutter(WindowCutter):
    pass


KEPT = "kept = messages[:head] + messages[tail:]"
NOTE = "msgspec.structs.replace(messages[0], id=0, seq=tail - head)"
WRONG = {
    "cuts without need": (
        "not window or size <= window",
        "not window or 0 < size <= window < 1_000_000",
        "CONTEXT-FIT-1",
    ),
    "cuts a page at a time": (
        KEPT,
        "kept = messages[:head] + messages[max(head + 10, tail - 150) : tail] * (tail > 150) + messages[tail:]",
        "CONTEXT-FIT-2",
    ),
    "says nothing": ("changed=True", "changed=False", "CONTEXT-FIT-3"),
    "knows better": ("not request.force and", "", "CONTEXT-FIT-4"),
    "estimates only": ("max(request.used, tokens(messages))", "tokens(messages)", "CONTEXT-FIT-5"),
    "assumes a window": (
        "request.messages, request.window",
        "request.messages, request.window or 8000",
        "CONTEXT-FIT-6",
    ),
    "adds where it cannot cut": (
        "if tail <= head:\n            return Fitted(messages=messages)",
        "if tail <= head:\n            longer = (*messages, *messages[-1:])\n"
        "            return Fitted(messages=longer if len(messages) == 16 else messages, changed=True)",
        "CONTEXT-FIT-7",
    ),
    "cuts anywhere": ('while tail > head and messages[tail].role == "tool":', "while False:", "CONTEXT-TOOLS-1"),
    "keeps two turns": ("FIRST_TURNS = 3", "FIRST_TURNS = 2", "CONTEXT-KEEP-1"),
    "keeps ten messages": ("LAST_MESSAGES = 20", "LAST_MESSAGES = 10", "CONTEXT-KEEP-2"),
    "drops state": (
        KEPT,
        f"{KEPT}\n        kept = tuple(msgspec.structs.replace(message, provider_state=()) for message in kept)",
        "CONTEXT-KEEP-3",
    ),
    "never done": (
        f"{KEPT}\n",
        f"kept = messages[:head] + ({NOTE},) + messages[tail:]\n",
        "CONTEXT-IDEMPOTENT-1",
    ),
    "back to front": (KEPT, "kept = messages[tail:] + messages[:head]", "CONTEXT-ORDER-1"),
    "one role for all": (
        KEPT,
        f"{KEPT}\n        kept = tuple(\n"
        "            msgspec.structs.replace(m, role='user') if m.role == 'assistant' else m for m in kept\n        )",
        "CONTEXT-ROLE-1",
    ),
    "believes what it was told": (
        "async def model_changed(self, change):",
        "told = 0\n\n    async def model_changed(self, change):\n        self.told = change.window",
        "CONTEXT-MODEL-1",
    ),
    "expects a message": (
        "head, tail = ends(messages)",
        "messages[0]\n        head, tail = ends(messages)",
        "CONTEXT-EMPTY-1",
    ),
    "loses a single one": (
        "head, tail = ends(messages)",
        "if len(messages) == 1:\n            messages = ()\n        head, tail = ends(messages)",
        "CONTEXT-EMPTY-2",
    ),
}
MORE = {
    "never done": ("size <= window", "size <= window // 4"),
    "believes what it was told": ("request.messages, request.window", "request.messages, self.told or request.window"),
}
"""A second piece, where one is not enough."""


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    piece, replacement, expected = WRONG[wrong]
    source = SOURCES["__init__.py"]
    for old, new in filter(None, [(piece, replacement), MORE.get(wrong)]):
        assert source.count(old) == 1
        source = source.replace(old, new)
    suite = type("Wrong", (WindowCutter,), {"files": {**SOURCES, "__init__.py": source}})
    assert set(failures(suite, tmp_path)) == {expected}


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    assert {expected for _, _, expected in WRONG.values()} == set(behaviours(ContextEngineSuite))
