"""Looks into a plugin's module in a child process: which tools and hooks it has."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import msgspec

from hermes.config.home import child_environment
from hermes.contracts.errors import PluginError
from hermes.contracts.tool import ToolEntry
from hermes.logs.plain import plain

from .indexed import IndexedPlugin
from .manifest import Permissions

SECONDS = 10.0
LIMIT = 4 * 1024 * 1024


class Captured(msgspec.Struct, frozen=True):
    """What the child found."""

    tools: dict[str, ToolEntry] = {}
    hooks: list[str] = []
    error: str = ""


def capture(plugin: IndexedPlugin, module: str, location: str) -> Captured:
    """``location``: the module's file or folder; blank: it is found by its name.

    Raises:
        PluginError: the import failed, hung, or ended the process.
    """
    arguments = [plugin.name, module, location]
    if plugin.isolation == "isolated":
        from .sandbox import Sandbox

        sandbox = Sandbox(Permissions(), code=[plugin.place], path=plugin.import_path)
        command, environment = sandbox.command("hermes.tools.capture", *arguments), sandbox.environment()
    else:
        # -P: what lies in the working directory is not imported.
        command, environment = [sys.executable, "-P", "-m", "hermes.tools.capture", *arguments], child_environment()
    said, code = _run(command, environment, plugin, module)
    try:
        captured = msgspec.json.decode(said, type=Captured)
    except msgspec.DecodeError:
        raise PluginError(f"importing {module} ended the process with code {code}.", plugin=plugin.name) from None
    if captured.error:
        raise PluginError(f"{module} cannot be imported: {plain(captured.error)}", plugin=plugin.name)
    for name, entry in captured.tools.items():
        if entry.plugin != plugin.name or entry.name != name:
            raise PluginError(f"{module} says that its tools are another plugin's.", plugin=plugin.name)
    return captured


def _run(command: list[str], environment: dict[str, str], plugin: IndexedPlugin, module: str) -> tuple[bytes, int]:
    """What the child says, up to a limit, and its exit code."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    said, ends = b"", time.monotonic() + SECONDS
    try:
        os.set_blocking(process.stdout.fileno(), False)
        while len(said) < LIMIT:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, ends - time.monotonic()))
            if not ready:
                raise PluginError(f"{module} was still importing after {SECONDS:.0f} s.", plugin=plugin.name)
            piece = process.stdout.read(LIMIT - len(said))
            if not piece:
                break
            said += piece
        else:
            raise PluginError(f"{module} writes without end when it is imported.", plugin=plugin.name)
        try:
            return said, process.wait(max(0.1, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise PluginError(f"{module} did not end after {SECONDS:.0f} s.", plugin=plugin.name) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
