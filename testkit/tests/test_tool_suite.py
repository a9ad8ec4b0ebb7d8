"""The suite finds what it is there to find: plugins that break one behaviour fail that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.tool_suite import Example, ToolSuite

GOOD = '''
from hermes import ToolError, tool

@tool(risk="read", effects="none")
def halve(number: int) -> int:
    """Halves an even number."""
    if number % 2:
        raise ToolError("the number is odd")
    return number // 2
'''


class Halve(ToolSuite):
    plugin = "halve"
    examples = (Example("halve", {"number": 8}, says="4"),)
    mistakes = (Example("halve", {"number": 7}, says="odd"),)
    source = GOOD

    def prepare(self, workspace: Path) -> None:
        folder = workspace.parent / "home" / "plugins"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "halve.py").write_text(self.source)

    def test_the_package_is_light_to_import(self, tmp_path: Path) -> None:
        """Not for a single file in a home: there is no package to import."""


class TestHalve(Halve):
    """A plugin as it should be passes."""


def broken(change: str, into: str, **members: Any) -> Halve:
    assert change in GOOD or not change
    return type("Broken", (Halve,), {"source": GOOD.replace(change, into), **members})()


@pytest.mark.parametrize(
    ("suite", "behaviour"),
    [
        (broken('"""Halves an even number."""', "pass"), "test_descriptions_are_there_and_short"),
        (broken('risk="read", effects="none"', 'risk="read"'), "test_options_name_what_is_there"),
        (broken('effects="none"', 'effects="none", paths=("file",)'), "test_options_name_what_is_there"),
        (broken("number // 2", "number // 3"), "test_examples_succeed"),
        (broken("ToolError(", "ValueError("), "test_mistakes_are_explained"),
        (broken("", "", mistakes=(Example("halve", {"number": 2}),)), "test_mistakes_are_explained"),
        (broken("", "", examples=()), "test_every_tool_has_an_example"),
    ],
)
def test_a_broken_plugin_fails_the_behaviour_it_breaks(suite: Halve, behaviour: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        getattr(suite, behaviour)(tmp_path)
