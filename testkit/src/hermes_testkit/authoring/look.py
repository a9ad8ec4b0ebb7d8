"""A child process that imports a plugin and tells, as JSON, what is in its code. Nothing else reaches its output.

``python -m hermes_testkit.authoring.look``; the `Question` comes on standard input.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec

from hermes import (
    Clock,
    ConfigQuery,
    ConfigSection,
    HookOptions,
    Host,
    PluginContext,
    PluginError,
    PluginSecretQuery,
    Provision,
    Scope,
    Secrets,
    ToolEntry,
)
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE
from hermes.plugins.loader import load_module
from hermes.tools.capture import capture
from hermes.tools.schema import entry_of

PROVIDE_SECONDS = 10.0


class Question(msgspec.Struct):
    """``tool_modules``: where tools may be; ``targets``: ``module:attribute`` that have to exist."""

    plugin: str
    module: str
    search: str = ""
    location: str = ""
    tool_modules: list[str] = []
    targets: list[str] = []
    settings: dict[str, Any] = {}


class Answer(msgspec.Struct):
    """``error``: the plugin itself cannot be imported. ``problems``: by module, target or hook, what is wrong there."""

    hooks: dict[str, HookOptions] = {}
    tools: dict[str, dict[str, ToolEntry]] = {}
    """By module, then by name."""
    registered: list[ToolEntry] = []
    """What ``register_tools`` registers."""
    provisions: list[tuple[str, str]] = []
    problems: dict[str, str] = {}
    error: str = ""


class _Offline:
    """The kernel, for `provide` and `register_tools`: it knows the settings' defaults, and nothing else."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    async def config(self, query: ConfigQuery) -> ConfigSection:
        return ConfigSection(values=self._settings)

    async def secrets(self, query: PluginSecretQuery) -> Secrets:
        return Secrets()

    def __getattr__(self, name: str) -> Any:
        raise PluginError(f"it calls {name}, which is not there before the plugin is made")


def _context(question: Question, scratch: Path) -> PluginContext:
    async def resolve(contract: str, name: str) -> Any:
        raise PluginError(f'it asks for the {contract} "{name}" before it is made')

    return PluginContext(
        cast(Host, _Offline(question.settings)),
        question.plugin,
        scope=Scope(home=str(scratch)),
        data_root=str(scratch),
        clock=Clock(),
        log=logging.getLogger("hermes.look"),
        spawn=lambda work, name: work.close(),
        on_unload=lambda function: None,
        resolve=resolve,
    )


class _Registry:
    def __init__(self, plugin: str, entries: list[ToolEntry]) -> None:
        self._plugin = plugin
        self._entries = entries

    def add(self, function: Any, *, name: str = "", description: str = "", **options: Any) -> None:
        entry = entry_of(function, plugin=self._plugin)
        changed = {"name": name or entry.name, "description": description or entry.description}
        self._entries.append(msgspec.structs.replace(entry, **changed))


def look(question: Question) -> Answer:
    if question.search:
        sys.path.insert(0, question.search)
    answer = Answer()
    try:
        module = _load(question)
    except BaseException as error:  # noqa: BLE001 (the boundary: what a plugin raises is the answer)
        return Answer(error=_told(error))
    for name, value in vars(module).items():
        if options := getattr(value, HOOK_OPTIONS_ATTRIBUTE, None):
            answer.hooks[getattr(value, "hermes_impl", {}).get("specname") or name] = options
    for name in question.tool_modules:
        try:
            found = module if name == question.module else importlib.import_module(name)
            answer.tools[name] = capture(question.plugin, found)["tools"]
        except BaseException as error:  # noqa: BLE001 (the same boundary)
            answer.problems[name] = _told(error)
    for target in question.targets:
        try:
            inner, _, attribute = target.partition(":")
            getattr(importlib.import_module(inner), attribute)
        except BaseException as error:  # noqa: BLE001 (the same boundary)
            answer.problems[target] = _told(error)
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(_ask(module, question, answer, Path(scratch)))
    return answer


def _load(question: Question) -> ModuleType:
    if question.location.endswith(".py"):
        return load_module(question.module, question.location)
    if question.location:
        return load_module(question.module, os.path.join(question.location, "__init__.py"))
    return importlib.import_module(question.module)


async def _ask(module: ModuleType, question: Question, answer: Answer, scratch: Path) -> None:
    """Calls `provide` and `register_tools`, as activation does."""
    make = {
        "ctx": lambda: _context(question, scratch),
        "registry": lambda: _Registry(question.plugin, answer.registered),
    }
    for name, function in list(vars(module).items()):
        if not hasattr(function, HOOK_OPTIONS_ATTRIBUTE):
            continue
        hook = getattr(function, "hermes_impl", {}).get("specname") or name
        if hook not in ("provide", "register_tools"):
            continue
        try:
            wanted = inspect.signature(function).parameters
            async with asyncio.timeout(PROVIDE_SECONDS):
                given = function(**{key: making() for key, making in make.items() if key in wanted})
                given = await given if inspect.isawaitable(given) else given
            for provision in given or () if hook == "provide" else ():
                if not isinstance(provision, Provision):
                    raise PluginError(f"it gave {provision!r}, which is no Provision")
                answer.provisions.append((provision.contract, provision.name))
        except BaseException as error:  # noqa: BLE001 (the same boundary)
            answer.problems[hook] = _told(error)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    out.write(msgspec.json.encode(look(question)))
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
