"""What a tool call is about: its command, path or address, and what in it has to be asked for."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hermes.contracts.tool import ToolCall

from .dangers import describe, key_of, text_of
from .hardline import crossed
from .paths import (
    UNKNOWN,
    absolute,
    clean,
    display,
    is_device,
    is_in_workspace,
    is_inside,
    is_secret,
    is_sensitive_to_write,
)
from .reader import read
from .safe import is_safe, is_safe_redirect, may_be_set
from .script import Command, Redirect, quoted

_PATCHED = re.compile(
    r"^(?:\*\*\* (?:Add|Update|Delete) File: |\*\*\* Move to: |\+\+\+ (?:b/)?|--- (?:a/)?)(\S.*)$", re.MULTILINE
)
_STDIN_TEXT = ("text", "data", "input")
_LOOKING_ACTIONS = frozenset({"list", "poll", "log", "wait", "kill", "close"})
_MAX_SHOWN = 3


class Finding(NamedTuple):
    """Something to ask for. ``texts``: how rules may name it. ``known``: it was read, so a rule may allow it."""

    reason: str
    key: str = ""
    texts: tuple[str, ...] = ()
    known: bool = True


class Subject(NamedTuple):
    """``texts``: everything a deny or ask rule may match. ``cwds``: where a persistent shell may be afterwards."""

    kind: str
    texts: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    hard: str = ""
    cwds: tuple[str, ...] = ()


def subject_of(call: ToolCall, directories: tuple[str, ...]) -> Subject:
    """``directories``: where the session's shell may be, besides the workspace."""
    arguments = call.arguments
    command = arguments.get("command")
    if isinstance(command, str) and call.options.risk == "exec":
        return _of_command(command, call, directories)
    if call.name == "process" and isinstance(arguments.get("action", ""), str):
        return _of_process(call, directories)
    if call.options.risk == "read":
        return _of_read(call)
    if call.options.risk == "write":
        return _of_write(call)
    url = arguments.get("url")
    if call.options.risk == "network" and isinstance(url, str):
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
        finding = Finding(f"{call.name} reaches {host or url[:80]}", f"{call.name} {host}" if host else "", (url, host))
        return Subject("url", (url, host), (finding,))
    return _of_unknown(call)


def _homes(call: ToolCall) -> tuple[str, ...]:
    """Of this machine: in the home directory itself a workspace's own files are the home's."""
    return (clean(os.path.expanduser("~")), call.scope.home and clean(call.scope.home))


def _of_command(command: str, call: ToolCall, directories: tuple[str, ...]) -> Subject:
    workspace = clean(call.workspace) if call.workspace else UNKNOWN
    here = call.arguments.get("workdir") or call.arguments.get("cwd")
    starts = (absolute(str(here), workspace),) if here else tuple(dict.fromkeys((workspace, *directories)))
    script = read(command, starts)
    findings = [_of_simple(made, call) for made in dict.fromkeys(script.commands) if not is_safe(made)]
    findings += [
        _of_redirect(redirect, call) for redirect in dict.fromkeys(script.redirects) if not is_safe_redirect(redirect)
    ]
    findings += [
        Finding(f"it sets {name}, which programs obey", "", (f"{name}=",))
        for name in sorted(script.variables)
        if not may_be_set(name)
    ]
    findings += [Finding(problem, known=False) for problem in script.problems]
    texts = [command]
    for made in (*script.commands, *script.guesses):
        texts += _rule_texts(made)
    texts += [f"> {display(path)}" for redirect in script.redirects if redirect.writes for path in redirect.paths()]
    changed = script.cwds if not here and script.cwds != starts else ()
    return Subject(
        "command", tuple(dict.fromkeys(texts)), tuple(dict.fromkeys(findings)), crossed(script, _homes(call)), changed
    )


def _rule_texts(command: Command) -> tuple[str, ...]:
    """As written; without assignments and wrappers; with the program's bare name."""
    words = " ".join(quoted(word) for word in command.words)
    bare = " ".join((command.program, *(quoted(word) for word in command.words[1:])))
    plain = " ".join((command.program, *command.words[1:]))
    return tuple(display(text) for text in (text_of(command), command.prefix + words, words, bare, plain))


def _of_simple(command: Command, call: ToolCall) -> Finding:
    danger = describe(command)
    text = text_of(command)
    key = key_of(command, call.workspace) if danger.keyed else ""
    known = UNKNOWN not in command.words[0] and not any(char in command.words[0] for char in "*?")
    return Finding(f"`{_short(text)}` {danger.sentence}", key, (text,), known)


def _of_redirect(redirect: Redirect, call: ToolCall) -> Finding:
    shown = display(redirect.path)
    if not redirect.writes:
        return Finding(f"it reads {shown}, which may hold secrets", "", (f"< {shown}",))
    keys = {write_key(path, call) for path in redirect.paths()}
    key = keys.pop() if len(keys) == 1 and UNKNOWN not in redirect.path else ""
    return Finding(f"it writes to {shown}", key, tuple(f"> {display(path)}" for path in redirect.paths()))


def write_key(path: str, call: ToolCall) -> str:
    """``path`` is absolute, by its text. Inside the workspace one key covers all that is not sensitive."""
    workspace = clean(call.workspace) if call.workspace else ""
    if UNKNOWN in path or is_sensitive_to_write(path, workspace, clean(call.scope.home) if call.scope.home else ""):
        return ""
    return f"write:{workspace}" if is_in_workspace(path, workspace) else f"write:{display(path)}"


def _of_process(call: ToolCall, directories: tuple[str, ...]) -> Subject:
    text = next((call.arguments[name] for name in _STDIN_TEXT if isinstance(call.arguments.get(name), str)), "")
    action = call.arguments.get("action", "")
    if not text and action in (*_LOOKING_ACTIONS, ""):
        return Subject("other", (f"process {action}",))
    if not text:
        return Subject(
            "other", (f"process {action}",), (Finding(f"process {action} is not known", f"process {action}"),)
        )
    judged = _of_command(text, call, (UNKNOWN,))
    findings = tuple(finding._replace(key="") for finding in judged.findings)
    if not text.endswith("\n"):
        findings = (*findings, Finding("it writes part of a line to a program"))
    return judged._replace(findings=findings, cwds=())


def _of_read(call: ToolCall) -> Subject:
    secret = next((path for path in _paths(call) if is_secret(path)), "")
    texts = tuple(_paths(call)) or _strings(call.arguments)
    if not secret:
        return Subject("path", texts)
    return Subject("path", texts, (Finding(f"{call.name} reads {display(secret)}, which may hold secrets", "", texts),))


def _of_write(call: ToolCall) -> Subject:
    paths = _paths(call)
    if not paths:
        return Subject(
            "path", _strings(call.arguments), (Finding(f"{call.name} writes where its arguments do not tell"),)
        )
    findings = []
    for path in paths:
        keys = {write_key(place, call) for place in _places(path, call)}
        findings.append(
            Finding(f"{call.name} {_where(path, call)}", keys.pop() if len(keys) == 1 else "", _path_texts(path, call))
        )
    hard = next((f"it writes to {path}, a raw device" for path in paths if is_device(_absolute(path, call))), "")
    texts = tuple(dict.fromkeys(text for path in paths for text in _path_texts(path, call)))
    return Subject("path", texts, tuple(dict.fromkeys(findings)), hard)


def _where(path: str, call: ToolCall) -> str:
    places = _places(path, call)
    if any(not write_key(place, call) for place in places):
        return f"changes {path}, which is sensitive"
    inside = call.workspace and all(is_inside(place, clean(call.workspace)) for place in places)
    return f"writes {path}" if inside else f"writes {path}, outside the workspace"


def _places(path: str, call: ToolCall) -> tuple[str, ...]:
    """Where a path leads: by its text, and with the links that are on this machine."""
    plain = _absolute(path, call)
    if plain.startswith(UNKNOWN) or "\0" in plain:
        return (UNKNOWN,)
    real = os.path.realpath(plain)
    workspace = os.path.realpath(call.workspace) if call.workspace else ""
    if workspace and is_inside(real, workspace):
        real = clean(call.workspace) + real[len(workspace) :]
    return tuple(dict.fromkeys((plain, real)))


def _absolute(path: str, call: ToolCall) -> str:
    if path == "~" or path.startswith("~/"):
        path = os.path.expanduser(path)
    return absolute(path, clean(call.workspace) if call.workspace else UNKNOWN)


def _path_texts(path: str, call: ToolCall) -> tuple[str, ...]:
    places = _places(path, call)
    workspace = f"{clean(call.workspace)}/" if call.workspace else "\0"
    relative = [place[len(workspace) :] for place in places if place.startswith(workspace)]
    return tuple(dict.fromkeys((path, *map(display, places), *relative)))


def _paths(call: ToolCall) -> list[str]:
    """The arguments that are paths; of a patch without one, the files it names."""
    named = [call.arguments.get(name) for name in call.options.paths or ("path", "file_path", "paths")]
    paths = [path for value in named for path in (value if isinstance(value, (list, tuple)) else [value])]
    found = [path for path in paths if isinstance(path, str) and path]
    texts = [
        value
        for value in call.arguments.values()
        if isinstance(value, str) and value.startswith(("***", "---", "diff "))
    ]
    found += [
        path.strip() for text in texts if not found for path in _PATCHED.findall(text) if path.strip() != "/dev/null"
    ]
    return found


def _of_unknown(call: ToolCall) -> Subject:
    texts = _strings(call.arguments)
    code = any(isinstance(call.arguments.get(name), str) for name in ("code", "script"))
    verb = {"exec": "may run programs", "network": "reaches the network"}[call.options.risk]
    return Subject("other", texts, (Finding(f"{call.name} {verb}", "" if code else call.name, texts),))


def _strings(arguments: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value for value in arguments.values() if isinstance(value, str))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def reason_of(findings: tuple[Finding, ...]) -> str:
    reasons = list(dict.fromkeys(finding.reason for finding in findings))
    more = f"; and {len(reasons) - _MAX_SHOWN} more" if len(reasons) > _MAX_SHOWN else ""
    return "; ".join(reasons[:_MAX_SHOWN]) + more
