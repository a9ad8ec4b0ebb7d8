"""Runs tool calls: checks their arguments, bounds and contains them, and makes their results fit to be sent."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os.path
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hermes.contracts.errors import ErrorInfo, HermesError, ToolError, nearest
from hermes.contracts.host import Clock, PluginContext
from hermes.contracts.messages import ImagePart, TextPart, ToolCallPart, sendable
from hermes.contracts.tool import ToolCall, ToolEntry, ToolOutcome
from hermes.logs.plain import log_failure
from hermes.plugins.hooks import Hooks
from hermes.plugins.threads import on_daemon_thread

from .content import content_of
from .registry import BoundTool, ToolRegistry
from .schema import check_arguments

HEAD_SHARE = 0.4


class PreparedCall:
    """A call on its way: either there is an ``outcome`` already, or it has passed its checks and may be judged."""

    def __init__(self, part: ToolCallPart, call: ToolCall) -> None:
        self.part = part
        self.call = call
        self.bound: BoundTool | None = None
        self.arguments: dict[str, Any] = {}
        """As the function takes them."""
        self.outcome: ToolOutcome | None = None
        self.ran = False
        self.refused_by = ""
        self.guard = ""

    def refuse(self, text: str, *, by: str = "mistake", guard: str = "") -> None:
        """The call is not run. ``by``: see `ToolRefused`; ``guard``: the plugin whose verdict it was."""
        self.refused_by, self.guard = by, guard
        self.outcome = ToolOutcome(content=(TextPart(text),), is_error=True)


class ToolRunner:
    """``context_of`` gives a plugin's context; whole results that were cut are kept under ``results``."""

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        context_of: Callable[[str], PluginContext],
        redact: Callable[[str], str],
        results: Path,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._registry = registry
        self._context_of = context_of
        self._redact = redact
        self._results = results
        self._clock = clock
        self._log = log
        self.serving: set[tuple[str, str, str]] = set()
        """Plugin, session and id of each call that is running."""

    async def prepare(
        self, part: ToolCallPart, template: ToolCall, offered: Sequence[str], hooks: Hooks
    ) -> PreparedCall:
        """Parses, rewrites and checks a call. ``template`` carries what all calls of the turn have in common."""
        prepared = PreparedCall(part, msgspec.structs.replace(template, id=part.id, name=part.name))
        entry = self._registry.get(part.name) if part.name in offered else None
        if entry is None:
            prepared.refuse(_no_tool(part.name, offered))
            return prepared
        try:
            arguments = msgspec.json.decode(part.arguments or "{}", type=dict[str, Any])
        except msgspec.DecodeError as error:
            prepared.refuse(f"The arguments are not a JSON object ({error}). Call the tool again with valid JSON.")
            return prepared
        await self._check(prepared, entry, arguments, hooks)
        return prepared

    async def _check(self, prepared: PreparedCall, entry: ToolEntry, arguments: dict[str, Any], hooks: Hooks) -> None:
        call = msgspec.structs.replace(prepared.call, arguments=arguments, plugin=entry.plugin, options=entry.options)
        rewrite = await hooks.rewrite_tool_call(call)
        if rewrite.result is not None:
            prepared.call = call
            prepared.outcome = ToolOutcome(content=rewrite.result)
            return
        try:
            if entry.options.executor == "client":
                prepared.arguments = rewrite.arguments or arguments
            else:
                prepared.bound = await self._registry.bind(entry)
                prepared.arguments = check_arguments(prepared.bound.arguments, rewrite.arguments or arguments)
        except HermesError as error:
            prepared.refuse(f"{error} {error.hint}".rstrip())
        given = rewrite.arguments or arguments
        shown = {name: value for name, value in prepared.arguments.items() if name in given}
        prepared.call = msgspec.structs.replace(call, arguments=msgspec.to_builtins(shown) or given)

    async def run(self, prepared: PreparedCall, hooks: Hooks) -> ToolOutcome:
        """Runs a call that may run, and lets the plugins see and change its result."""
        assert prepared.bound is not None
        prepared.ran = True
        started = self._clock.monotonic()
        try:
            answer = await self._call(prepared, prepared.bound)
            outcome = answer if isinstance(answer, ToolOutcome) else ToolOutcome(content=content_of(answer))
        except asyncio.CancelledError:
            raise
        except ToolError as error:
            outcome = _failed(f"{error} {error.hint}".rstrip())
        except BaseException as error:  # noqa: BLE001 (the boundary: a tool may raise anything)
            log_failure(self._log, f"the tool {prepared.call.name} failed", error)
            info = ErrorInfo.of(error)
            outcome = _failed(f"The tool failed: {info.kind}: {info.message}")
        outcome = msgspec.structs.replace(outcome, seconds=self._clock.monotonic() - started)
        await hooks.post_tool_call(prepared.call, outcome)
        outcome = await hooks.transform_tool_result(prepared.call, outcome)
        return msgspec.structs.replace(outcome, content=self._fit(prepared.call, outcome.content))

    async def _call(self, prepared: PreparedCall, bound: BoundTool) -> Any:
        arguments = dict(prepared.arguments)
        if bound.wants_context:
            arguments["ctx"] = self._context_of(bound.entry.plugin).for_call(prepared.call)
        timeout = bound.entry.options.timeout
        serving = (bound.entry.plugin, prepared.call.session_id, prepared.call.id)
        self.serving.add(serving)
        try:
            async with asyncio.timeout(timeout):
                if inspect.iscoroutinefunction(bound.function):
                    return await bound.function(**arguments)
                answer = await on_daemon_thread(bound.function, arguments)
                return await answer if inspect.isawaitable(answer) else answer
        except TimeoutError:
            raise ToolError(f"{bound.entry.name} did not end within {timeout} s and was given up.") from None
        finally:
            self.serving.discard(serving)

    def _fit(self, call: ToolCall, content: tuple[TextPart | ImagePart, ...]) -> tuple[TextPart | ImagePart, ...]:
        """Without secrets, and no longer than the tool declares; the whole of what is cut is kept in a file."""
        return tuple(
            TextPart(self._cut(call, self._redact(sendable(part.text)))) if isinstance(part, TextPart) else part
            for part in content
        )

    def _cut(self, call: ToolCall, text: str) -> str:
        limit = call.options.max_chars
        if len(text) <= limit:
            return text
        file = self._results / call.session_id / f"{call.turn_id}-{_file_name(call.id)}.txt"
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            kept = f"the whole is in {file}"
        except OSError as error:
            self._log.error("a result could not be kept in %s: %s", file, error)
            kept = f"the whole could not be kept: {error.strerror}"
        head, tail = int(limit * HEAD_SHARE), limit - int(limit * HEAD_SHARE)
        return f"{text[:head]}\n[… {len(text) - limit} characters left out; {kept} …]\n{text[-tail:]}"


def _failed(text: str) -> ToolOutcome:
    return ToolOutcome(content=(TextPart(text),), is_error=True)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)[:80]


def waves(calls: Sequence[PreparedCall], workspace: str) -> Iterator[list[PreparedCall]]:
    """Groups of calls that may run at once, in order: none that wants to be alone, no overlapping paths."""
    wave: list[PreparedCall] = []
    taken: list[tuple[str, bool]] = []
    for prepared in calls:
        options = prepared.call.options
        alone = options.interactive or not options.parallel
        writes = options.risk != "read"
        paths = [
            os.path.realpath(os.path.join(workspace, os.path.expanduser(str(prepared.arguments[name]))))
            for name in options.paths
            if prepared.arguments.get(name)
        ]
        clash = any((writes or written) and _overlap(path, other) for path in paths for other, written in taken)
        if wave and (alone or clash):
            yield wave
            wave, taken = [], []
        wave.append(prepared)
        taken += [(path, writes) for path in paths]
        if alone:
            yield wave
            wave, taken = [], []
    if wave:
        yield wave


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + os.sep) or other.startswith(one + os.sep)


def _no_tool(name: str, offered: Sequence[str]) -> str:
    near = nearest(name, offered)
    return f'There is no tool "{name}".' + (
        f' Did you mean "{near}"?' if near else f" There are: {', '.join(offered)}."
    )
