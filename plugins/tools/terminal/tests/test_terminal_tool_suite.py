"""The terminal tools pass what every plugin with tools has to."""

from __future__ import annotations

from hermes_testkit.tool_suite import Example, ToolSuite


class TestTerminalTools(ToolSuite):
    plugin = "terminal"
    places = ("in_process",)  # it runs the user's commands with the user's rights, which is what isolation takes away
    examples = (
        Example("terminal", {"command": "cd / && X=kept && echo said"}, says="said"),
        Example("terminal", {"command": "pwd; echo $X"}, says="/\nkept"),
        Example("process", {"action": "list"}),
    )
    mistakes = (
        Example("process", {"action": "poll", "id": "proc_nothing"}),
        Example("terminal", {"command": "true", "timeout": 100_000}, says="600"),
    )
