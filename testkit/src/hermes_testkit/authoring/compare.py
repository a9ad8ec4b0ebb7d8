"""A plugin's manifest against its code: where they differ, and what the manifest should say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hermes import PluginError, ToolEntry
from hermes.config.home import child_environment
from hermes.plugins.manifest import Manifest

from .look import Answer, Question
from .subject import Subject

LOOK_SECONDS = 60.0
ASKED_ON_ACTIVATION = frozenset({"provide"})
"""Hooks that are found without being listed."""
NOT_PROVISIONS = frozenset({"tools", "commands", "providers"})


class Difference(NamedTuple):
    """``text``: a sentence. ``key``: where in the manifest; ``value``: what belongs there, None where code is wrong."""

    text: str
    key: tuple[str, ...] = ()
    value: Any = None


def look_at(subject: Subject, manifest: Manifest) -> Answer:
    """What a child process finds in the plugin's code.

    Raises:
        PluginError: it cannot be imported.
    """
    if not subject.module:
        return Answer()
    modules = dict.fromkeys([*manifest.tool_modules, *_modules_with_tools(subject)])
    question = Question(
        plugin=manifest.name,
        module=subject.module,
        search=subject.search,
        location=subject.location,
        tool_modules=list(modules),
        targets=[*(command.target for command in manifest.commands.values()), *manifest.contracts.values()],
        settings=manifest.config.defaults(),
    )
    command = [sys.executable, "-m", "hermes_testkit.authoring.look"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(question),
            capture_output=True,
            timeout=LOOK_SECONDS,
            env=child_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},  # a cache may be as old as a change
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"{subject.module} was still importing after {LOOK_SECONDS:.0f} s.") from None
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.DecodeError:
        told = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise PluginError(f"importing {subject.module} ended the process with {done.returncode}. {told}") from None
    if answer.error:
        raise PluginError(f"{subject.module} cannot be imported: {answer.error}", hint="Import it, and mend it.")
    return answer


def _modules_with_tools(subject: Subject) -> list[str]:
    """Modules that have a function decorated with ``tool(…)``, read without importing them."""
    found = []
    for file in subject.code:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        if any(_is_tool(decorator) for function in functions for decorator in function.decorator_list):
            found.append(module_of(subject, file))
    return found


def _is_tool(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else None
    return getattr(called, "id", getattr(called, "attr", "")) == "tool"


def module_of(subject: Subject, file: Path) -> str:
    if subject.kind == "file":
        return subject.module
    inner = file.relative_to(subject.manifest_file.parent).with_suffix("").parts
    return ".".join([subject.module, *(part for part in inner if part != "__init__")])


def compare(subject: Subject, manifest: Manifest, found: Answer, *, schemas: bool = False) -> list[Difference]:
    """Every difference. ``schemas``: the tools' schemas belong into the manifest."""
    if not subject.module:
        return []
    return [
        *_hooks(subject, manifest, found),
        *_tools(subject, manifest, found, schemas),
        *_provisions(manifest, found),
        *_targets(manifest, found),
    ]


def _hooks(subject: Subject, manifest: Manifest, found: Answer) -> list[Difference]:
    wanted = [hook for hook in found.hooks if hook not in ASKED_ON_ACTIVATION]
    if subject.kind == "file" and not manifest.hooks:
        return []  # found when the file is indexed
    gone = [hook for hook in manifest.hooks if hook not in found.hooks]
    missing = [hook for hook in wanted if hook not in manifest.hooks]
    if not gone and not missing:
        return []
    told = [f"{', '.join(missing)} is implemented and not listed"] if missing else []
    told += [f"{', '.join(gone)} is listed and not implemented"] if gone else []
    value = [hook for hook in manifest.hooks if hook in found.hooks] + missing
    return [Difference(f"hooks: {'; '.join(told)}", ("hooks",), value)]


def _tools(subject: Subject, manifest: Manifest, found: Answer, schemas: bool) -> list[Difference]:
    given = manifest.provides.get("tools")
    entries = {name: entry for tools in found.tools.values() for name, entry in tools.items()}
    there = {module_of(subject, file) for file in subject.code}
    broken = [name for name in manifest.tool_modules if name in found.problems and name in there]
    told = [Difference(f"provides.tools: {name}: {found.problems[name]}") for name in broken]
    if told or (subject.kind == "file" and given is None and not schemas):
        return told
    if isinstance(given, dict) or (schemas and entries):
        return _schemas(manifest, given, entries)
    modules = [name for name, tools in found.tools.items() if tools]
    gone = [name for name in manifest.tool_modules if name not in modules]
    missing = [name for name in modules if name not in manifest.tool_modules]
    if not gone and not missing:
        return []
    text = [f"{', '.join(missing)} has tools and is not listed"] if missing else []
    text += [f"{', '.join(gone)} is listed and has no tools"] if gone else []
    value = [name for name in manifest.tool_modules if name in modules] + missing
    return [Difference(f"provides.tools: {'; '.join(text)}", ("provides", "tools"), value)]


def _schemas(manifest: Manifest, given: Any, entries: dict[str, ToolEntry]) -> list[Difference]:
    value = {name: msgspec.to_builtins(entry) for name, entry in entries.items()}
    if not isinstance(given, dict):
        text = f"provides.tools: the schemas of {', '.join(value)} are not in the manifest"
        return [Difference(text, ("provides", "tools"), value)]
    differ = sorted(name for name in manifest.tools.keys() | entries if manifest.tools.get(name) != entries.get(name))
    if not differ:
        return []
    return [Difference(f"provides.tools: {', '.join(differ)} is not as in the code", ("provides", "tools"), value)]


def _provisions(manifest: Manifest, found: Answer) -> list[Difference]:
    if "provide" in found.problems:
        return [Difference(f"provide(): {found.problems['provide']}")]
    given = {key: manifest.names(key) for key in manifest.provides if key not in NOT_PROVISIONS}
    made: dict[str, list[str]] = {}
    for contract, name in found.provisions:
        made.setdefault(contract, []).append(name)
    told = []
    for contract in dict.fromkeys([*given, *made]):
        said, there = given.get(contract, []), made.get(contract, [])
        if sorted(said) != sorted(there):
            text = f"provides.{contract}: the manifest has {said}, provide() gives {there}"
            value = [name for name in said if name in there] + [name for name in there if name not in said]
            told.append(Difference(text, ("provides", contract), value))
    return told


def _targets(manifest: Manifest, found: Answer) -> list[Difference]:
    named = {f"provides.commands.{name}": command.target for name, command in manifest.commands.items()}
    named |= {f"contracts.{name}": target for name, target in manifest.contracts.items()}
    return [
        Difference(f"{key}: {target}: {found.problems[target]}")
        for key, target in named.items()
        if target in found.problems
    ]
