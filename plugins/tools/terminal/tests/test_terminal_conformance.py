from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes.contracts.terminal import CommandEvent, CommandExited, FileInfo, RunCommand, WriteFile
from hermes_plugin_terminal.local import LocalTerminal
from hermes_testkit.terminal_suite import TerminalSuite


class TestLocal(TerminalSuite):
    factory = "hermes_plugin_terminal.local:LocalTerminal"
    permissions = {"paths": ["/usr:ro", "/etc:ro"]}


class Forgetful(LocalTerminal):
    """Claims a persistent shell and has none."""

    async def run(self, command: RunCommand) -> AsyncIterator[CommandEvent]:  # type: ignore[override]
        async for event in super().run(msgspec.structs.replace(command, fresh=True)):
            yield event


class Careless(LocalTerminal):
    """Overwrites whatever is there, and calls a command that ran out of time a success."""

    async def write(self, request: WriteFile) -> FileInfo:
        return await super().write(msgspec.structs.replace(request, expected=None))

    async def run(self, command: RunCommand) -> AsyncIterator[CommandEvent]:  # type: ignore[override]
        async for event in super().run(command):
            if isinstance(event, CommandExited) and event.reason == "timeout":
                event = CommandExited(code=0, cwd=event.cwd)
            yield event


@pytest.mark.parametrize(
    ("backend", "behaviour", "arguments"),
    [
        (Forgetful, "test_persistence", ()),
        (Forgetful, "test_shell_lost", ("exit 3", 3)),
        (Forgetful, "test_in_turn", ()),
        (Careless, "test_file_expected", ()),
        (Careless, "test_timeout", ("sleep 300", False)),
        (Careless, "test_survives_timeout", ()),
    ],
)
def test_the_suite_finds_wrong_backends(
    tmp_path: Path, backend: type[LocalTerminal], behaviour: str, arguments: tuple[Any, ...]
) -> None:
    class Suite(TerminalSuite):
        async def make_backend(self, tmp_path: Path) -> LocalTerminal:
            return backend()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), behaviour)(tmp_path, *arguments)
