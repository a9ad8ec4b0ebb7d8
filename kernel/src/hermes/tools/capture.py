"""A child process that imports a plugin's module and prints what is in it, as JSON.

``python -m hermes.tools.capture PLUGIN MODULE LOCATION``. Nothing the module prints, at any level, reaches
our output; how it fails is part of the answer.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
from types import ModuleType
from typing import Any

import msgspec

from hermes.contracts import hookspecs
from hermes.contracts.tool import OPTIONS_ATTRIBUTE
from hermes.plugins.loader import load_module

MEMORY = 4 << 30


def capture(plugin: str, module: ModuleType) -> dict[str, Any]:
    from .schema import entry_of

    tools, hooks = {}, []
    for name, value in vars(module).items():
        if hasattr(value, OPTIONS_ATTRIBUTE) and value.__module__ == module.__name__:
            entry = entry_of(value, plugin=plugin, target=f"{module.__name__}:{name}")
            tools[entry.name] = entry
        if hasattr(value, hookspecs.HOOK_OPTIONS_ATTRIBUTE):
            hooks.append(getattr(value, "hermes_impl", {}).get("specname") or name)
    return {"tools": tools, "hooks": hooks}


def main() -> None:
    plugin, name, location = sys.argv[-3:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        if location.endswith(".py"):
            module = load_module(name, location)
        else:
            if location:
                load_module(name.partition(".")[0], os.path.join(location, "__init__.py"))
            module = importlib.import_module(name)
        answer = capture(plugin, module)
    except BaseException as error:  # noqa: BLE001 (the boundary: what a plugin raises is the answer)
        answer = {"error": f"{type(error).__name__}: {error}"}
    out.write(msgspec.json.encode(answer))
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
