"""Looks into a plugin's module in a child process: which tools and hooks it has."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from hermes.config.home import child_environment
from hermes.contracts.errors import PluginError
from hermes.contracts.tool import ToolEntry

from .indexed import IndexedPlugin
from .manifest import Permissions

SECONDS = 20.0
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

        path = [entry for entry in (plugin.root, plugin.environment) if entry]
        sandbox = Sandbox(Permissions(), code=[plugin.place], path=path)
        command, environment = sandbox.command("hermes.tools.capture", *arguments), sandbox.environment()
    else:
        command, environment = [sys.executable, "-m", "hermes.tools.capture", *arguments], child_environment()
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL, env=environment)
    except subprocess.TimeoutExpired:
        raise PluginError(f"{module} was still importing after {SECONDS:.0f} s.", plugin=plugin.name) from None
    try:
        captured = msgspec.json.decode(done.stdout[:LIMIT], type=Captured)
    except msgspec.DecodeError:
        raise PluginError(
            f"importing {module} ended the process with code {done.returncode}.", plugin=plugin.name
        ) from None
    if captured.error:
        raise PluginError(f"{module} cannot be imported: {captured.error}", plugin=plugin.name)
    for name, entry in captured.tools.items():
        if entry.plugin != plugin.name or entry.name != name:
            raise PluginError(f"{module} says that its tools are another plugin's.", plugin=plugin.name)
    return captured
