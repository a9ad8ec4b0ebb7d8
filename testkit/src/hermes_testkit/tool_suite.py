"""What every plugin with tools has to do, in Hermes's process and in a plugin host; its test names examples.

::

    class TestDice(ToolSuite):
        plugin = "dice"
        examples = (Example("roll", {"sides": 6}),)
        mistakes = (Example("roll", {"sides": 0}),)
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hermes import App, ToolCallPart, ToolEntry, ToolResultPart, text_of

from .contract_suite import PluginSuite
from .scripted import ScriptedModel, say

DESCRIPTION_CHARS = 600
ALLOWED_AT_IMPORT = {"hermes", "msgspec", "pluggy", "typing_extensions"}


@dataclass(frozen=True)
class Example:
    """A call, and a piece of what the model is to read of it."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    says: str = ""


class ToolSuite(PluginSuite):
    """Behaviours have ids, TOOL-…; a subclass may override one only with a reason."""

    examples: ClassVar[Sequence[Example]]
    """Calls that succeed, run in this order in one session; one of each tool at least."""
    mistakes: ClassVar[Sequence[Example]] = ()
    """Calls that fail, and are explained to the model."""

    def prepare(self, workspace: Path) -> None:
        """Puts what the examples need into the working directory."""

    def app(self, *plugins: Any, model: ScriptedModel | None = None, **settings: Any) -> App:
        app = super().app(*plugins, model=model, **settings)
        self.prepare(Path(app.workspace))
        return app

    def entries(self) -> dict[str, ToolEntry]:
        entries = self.app().registry.entries()
        return {name: entry for name, entry in entries.items() if entry.plugin == self.plugin}

    def results(self, examples: Sequence[Example]) -> list[ToolResultPart]:
        """Runs the calls one after the other, in one session, as if a person had allowed each."""
        calls = [
            ToolCallPart(id=f"call_{number}", name=example.tool, arguments=json.dumps(example.arguments))
            for number, example in enumerate(examples)
        ]
        model = ScriptedModel([*(say("", call) for call in calls), say("done")])

        async def run() -> None:
            async with self.app(model=model) as app:
                conversation = await app.conversation(asking="inline")
                async for event in conversation.send("go"):
                    if event.__class__.__name__ == "InputRequested":
                        await conversation.answer(event.request.id, "once")  # type: ignore[union-attr]

        asyncio.run(run())
        parts = [message.parts[0] for message in model.requests[-1].messages if message.role == "tool"]
        return [part for part in parts if isinstance(part, ToolResultPart)]

    def test_schemas_are_strict_objects(self) -> None:
        """TOOL-SCHEMA-1: every parameter has a type, and none but the named ones is taken."""
        entries = self.entries()
        assert entries, f"the plugin {self.plugin} has no tools"
        for name, entry in entries.items():
            schema: Any = entry.parameters
            assert schema["type"] == "object", name
            assert schema.get("additionalProperties") is False, name
            for parameter, kind in schema.get("properties", {}).items():
                assert {"type", "enum", "anyOf"} & set(kind), f"{name}.{parameter} has no type"

    def test_descriptions_are_there_and_short(self) -> None:
        """TOOL-DESCRIPTION-1: the model is told what a tool does, in few words."""
        for name, entry in self.entries().items():
            assert 0 < len(entry.description) <= DESCRIPTION_CHARS, name

    def test_options_name_what_is_there(self) -> None:
        """TOOL-OPTIONS-1: path arguments are parameters; what only reads has no external effect."""
        for name, entry in self.entries().items():
            assert set(entry.options.paths) <= set(entry.parameters.get("properties", {})), name  # type: ignore[call-overload]
            assert not (entry.options.risk == "read" and entry.options.effects == "external"), name

    def test_the_package_is_light_to_import(self) -> None:
        """TOOL-IMPORT-1: the package itself imports nothing from outside but the kernel."""
        module = next(iter(self.entries().values())).target.partition(":")[0].partition(".")[0]
        program = f"import sys; import {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        plain = subprocess.run(
            [sys.executable, "-c", "import sys; print(*{name.partition('.')[0] for name in sys.modules})"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        loaded = set(done.stdout.split()) - set(plain.stdout.split()) - set(sys.stdlib_module_names)
        foreign = {name for name in loaded - ALLOWED_AT_IMPORT - {module} if not name.startswith("_")}
        assert not foreign, f"imported with {module}: {sorted(foreign)}"

    def test_examples_succeed(self) -> None:
        """TOOL-CALL-1: the examples do what they say, through the whole of the agent."""
        for example, result in zip(self.examples, self.results(self.examples), strict=True):
            text = text_of(result.content)
            assert not result.is_error, f"{example}: {text}"
            assert example.says in text, f"{example}: {text}"

    def test_every_tool_has_an_example(self) -> None:
        """TOOL-CALL-2: nothing is left untried."""
        assert {example.tool for example in self.examples} == set(self.entries())

    def test_mistakes_are_explained(self) -> None:
        """TOOL-ERROR-1: what cannot be done is told as an error that the tool means, never as a crash."""
        for example, result in zip(self.mistakes, self.results(self.mistakes), strict=True):
            text = text_of(result.content)
            assert result.is_error, f"{example}: {text}"
            assert not text.startswith("The tool failed:"), f"{example}: {text}"
            assert example.says in text, f"{example}: {text}"

    def test_unknown_arguments_are_refused(self) -> None:
        """TOOL-ERROR-2: an argument that is none does not pass in silence."""
        wrong = [Example(name, {"no_such_argument": 1}) for name in self.entries()]
        for result in self.results(wrong):
            assert result.is_error
            assert "Wrong arguments" in text_of(result.content)

    def test_an_example_is_given(self) -> None:
        """TOOL-SUITE-1: a subclass without examples proves nothing."""
        if not self.examples:
            pytest.fail(f"{type(self).__name__} has no examples")
