"""The suite finds what it is there to find: plugins that break one behaviour fail that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.behaviours import failures
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


PACKAGE = {
    "plugin.yaml": "name: halve\nprovides: {tools: [hermes_plugin_halve.tools]}\n",
    "__init__.py": '"""Halves."""\n',
}


class Halve(ToolSuite):
    plugin = "halve"
    examples = (Example("halve", {"number": 8}, says="4"),)
    mistakes = (Example("halve", {"number": 7}, says="odd"),)
    files = {**PACKAGE, "tools.py": GOOD}

    def test_the_package_is_light_to_import(self) -> None:
        """Not for a folder in a home: there is no package to import."""


class TestHalve(Halve):
    """A plugin as it should be passes."""


def broken(change: str = "", into: str = "", **members: Any) -> type[Halve]:
    assert change in GOOD
    return type("Broken", (Halve,), {"files": {**PACKAGE, "tools.py": GOOD.replace(change, into)}, **members})


@pytest.mark.parametrize(
    ("suite", "behaviours"),
    [
        (broken('"""Halves an even number."""', "pass"), {"TOOL-DESCRIPTION-1"}),
        (broken('risk="read", effects="none"', 'risk="read"'), {"TOOL-OPTIONS-1"}),
        (broken('effects="none"', 'effects="none", paths=("file",)'), {"TOOL-OPTIONS-1"}),
        (broken("number // 2", "number // 3"), {"TOOL-CALL-1"}),
        (broken("ToolError(", "ValueError("), {"TOOL-ERROR-1"}),
        (broken(mistakes=(Example("halve", {"number": 2}),)), {"TOOL-ERROR-1"}),
        (broken(examples=()), {"TOOL-CALL-2", "TOOL-SUITE-1"}),
    ],
)
def test_a_broken_plugin_fails_the_behaviour_it_breaks(
    suite: type[Halve], behaviours: set[str], tmp_path: Path
) -> None:
    assert set(failures(suite, tmp_path)) == behaviours
