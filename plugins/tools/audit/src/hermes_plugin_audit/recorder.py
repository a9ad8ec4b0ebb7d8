"""From hooks and events to records."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Literal

import msgspec

from hermes import (
    ApprovalDecision,
    Event,
    ImagePart,
    InputRequest,
    InputRequested,
    MessageStored,
    PluginContext,
    PluginError,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolFinished,
    ToolOutcome,
    ToolRefused,
    ToolResultPart,
    ToolStarted,
    TurnFinished,
    TurnSuspended,
    Verdict,
    text_of,
)

from .log import AuditLog, LockBusyError

LOCK_SECONDS = 3.0
"""For another process that holds the lock; a hook's own deadline is longer."""

Content = tuple[TextPart | ImagePart, ...]
State = Literal["asked", "judged", "started"]
"""How far a call is: the model made it; the guards were asked; it runs."""


class Settings(msgspec.Struct, frozen=True):
    arguments: Literal["hash", "full"] = "hash"
    results: Literal["hash", "full"] = "hash"
    fsync: bool = False
    max_size_mb: float = 100
    required: bool = False


class OpenCall:
    """A call that has no result yet."""

    __slots__ = ("client", "refusal", "state", "tool", "turn")

    def __init__(self, tool: str, turn: str, state: State, *, client: bool = False) -> None:
        self.tool = tool
        self.turn = turn
        self.state = state
        self.client = client
        self.refusal: dict[str, str] = {}


class Recorder:
    """Writes the records of one app."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._open: dict[tuple[str, str], OpenCall] = {}
        """By session and call."""
        self._log: AuditLog | None = None
        self._log_of: tuple[bool, float] | None = None
        self._lost = 0
        self._lost_since = 0.0

    async def called(self, call: ToolCall) -> Verdict | None:
        """Before the call is judged by others: what is on record may run. No opinion, unless the log is required."""
        settings = await self._settings()
        client = call.options.executor == "client"
        self._open[call.session_id, call.id] = OpenCall(call.name, call.turn_id, "judged", client=client)
        try:
            await self._write(settings, _call_record(call, settings))
        except PluginError as error:
            self._ctx.log.error("%s %s", error, error.hint)
            if settings.required:
                return Verdict(
                    decision="deny", reason=f"{error} {error.hint} audit.required wants every call on record"
                )
        return None

    async def ran(self, call: ToolCall, result: ToolOutcome) -> None:
        """A call that a plugin made has no events: its result is known here only."""
        open_call = self._open.get((call.session_id, call.id))
        if open_call is not None and open_call.state == "started":
            return
        self._open.pop((call.session_id, call.id), None)
        outcome = "failed" if result.is_error else "done"
        record = _result_record(call.session_id, call.turn_id, call.id, call.name, outcome, result.seconds)
        await self._write_result(record, result.content)

    async def decided(self, request: InputRequest, decision: ApprovalDecision) -> None:
        record = {
            "kind": "decision",
            "session": decision.session_id,
            "request": request.id,
            "call": request.call_id,
            "tool": request.tool,
            "key": request.key,
            "answer": decision.answer,
            "by": decision.by.id,
            "by_kind": decision.by.kind,
        }
        await self._write(await self._settings(), record)

    def happened(self, event: Event) -> Awaitable[None] | None:
        """What has to be awaited, if anything."""
        match event:
            case ToolStarted():
                open_call = self._open.get((event.session_id, event.call_id))
                if open_call is not None:
                    open_call.state = "started"
            case ToolRefused():
                open_call = self._open.get((event.session_id, event.call_id))
                if open_call is not None:
                    open_call.refusal = {"refused_by": event.by, **({"guard": event.plugin} if event.plugin else {})}
            case ToolFinished():
                return self._finished(event)
            case MessageStored():
                return self._stored(event)
            case InputRequested(request=request) if request.kind == "approval":
                return self._requested(event, request)
            case TurnSuspended():
                return self._suspended(event)
            case TurnFinished():
                self._forget(event.session_id)
        return None

    async def _finished(self, event: ToolFinished) -> None:
        self._open.pop((event.session_id, event.call_id), None)
        outcome = "failed" if event.is_error else "done"
        record = _result_record(event.session_id, event.turn_id, event.call_id, event.name, outcome, event.seconds)
        await self._write_result(record, event.content)

    def _stored(self, event: MessageStored) -> Awaitable[None] | None:
        parts = event.message.parts
        if event.message.role == "assistant":
            for part in parts:
                if isinstance(part, ToolCallPart):
                    self._open[event.session_id, part.id] = OpenCall(part.name, event.turn_id, "asked")
        elif event.message.role == "tool":
            left = [part for part in parts if isinstance(part, ToolResultPart)]
            if any((event.session_id, part.call_id) in self._open for part in left):
                return self._answered(event, left)
        return None

    async def _answered(self, event: MessageStored, parts: list[ToolResultPart]) -> None:
        """Results of calls that did not run, or not to their end."""
        for part in parts:
            open_call = self._open.pop((event.session_id, part.call_id), None)
            if open_call is not None:
                outcome = _outcome(open_call, is_error=part.is_error)
                record = _result_record(event.session_id, open_call.turn, part.call_id, open_call.tool, outcome, None)
                await self._write_result({**record, **open_call.refusal}, part.content)

    async def _requested(self, event: InputRequested, request: InputRequest) -> None:
        settings = await self._settings()
        record = {
            "kind": "request",
            "session": event.session_id,
            "turn": event.turn_id,
            "request": request.id,
            "call": request.call_id,
            "tool": request.tool,
            "key": request.key,
        }
        if settings.arguments == "full":
            record["reason"] = request.reason
        await self._write(settings, record)

    async def _suspended(self, event: TurnSuspended) -> None:
        """Calls that wait are judged again when the turn goes on; of the others nothing more is heard here."""
        waiting = {request.call_id for request in event.requests}
        left = [
            (call, found)
            for (session, call), found in self._open.items()
            if session == event.session_id and call not in waiting
        ]
        self._forget(event.session_id)
        for call, open_call in left:
            outcome = _outcome(open_call, is_error=True)
            record = _result_record(event.session_id, open_call.turn, call, open_call.tool, outcome, None)
            await self._write(await self._settings(), record)

    def _forget(self, session_id: str) -> None:
        for key in [key for key in self._open if key[0] == session_id]:
            del self._open[key]

    async def _settings(self) -> Settings:
        return msgspec.convert(await self._ctx.config(), Settings)

    async def _write_result(self, record: dict[str, Any], content: Content) -> None:
        settings = await self._settings()
        record["result_hash"] = hash_of_content(content)
        if settings.results == "full":
            record["result"] = text_of(content)
        await self._write(settings, record)

    async def _write(self, settings: Settings, record: Mapping[str, Any]) -> None:
        """Raises PluginError: it could not be written. How many were lost is told in the log once it can be."""
        lost = self._lost
        records = [{"kind": "gap", "lost": lost, "since": self._lost_since}, record] if lost else [record]
        try:
            await self._append(settings, records)
        except OSError as error:
            self._lost_since = self._lost_since if self._lost else self._ctx.clock.now()
            self._lost += 1
            raise PluginError(
                f"The audit log cannot be written: {error}.",
                plugin=self._ctx.plugin,
                hint="Make room, or mend the plugin's folder.",
            ) from error
        self._lost -= lost

    async def _append(self, settings: Settings, records: list[Mapping[str, Any]]) -> None:
        try:
            await _append_to(self._opened(settings), records, at_once=not settings.fsync)
        except FileNotFoundError:
            folder = self._ctx.data_dir  # somebody took it away, and asking for it makes it anew
            self._ctx.log.error("the audit log's folder was gone: %s", folder)
            await _append_to(self._opened(settings), records, at_once=not settings.fsync)

    def _opened(self, settings: Settings) -> AuditLog:
        """Raises OSError: the plugin's folder cannot be made."""
        wanted = (settings.fsync, settings.max_size_mb)
        if self._log is None or self._log_of != wanted:
            max_bytes = int(settings.max_size_mb * 1_000_000)
            folder, now = self._ctx.data_dir, self._ctx.clock.now
            self._log, self._log_of = AuditLog(folder, now=now, fsync=settings.fsync, max_bytes=max_bytes), wanted
        return self._log


async def _append_to(log: AuditLog, records: list[Mapping[str, Any]], *, at_once: bool) -> None:
    """``at_once``: here, where nobody else is writing; what has to wait does so on a thread."""
    if at_once:
        try:
            log.append(records, wait=0)
        except LockBusyError:
            pass
        else:
            return
    await asyncio.to_thread(log.append, records, wait=LOCK_SECONDS)


def _outcome(call: OpenCall, *, is_error: bool) -> str:
    if not is_error:
        return "answered"
    if call.state == "started":
        return "interrupted"
    return "failed" if call.client and call.state == "judged" else "not_run"


def _call_record(call: ToolCall, settings: Settings) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, sort_keys=True, separators=(",", ":"), default=str)
    record: dict[str, Any] = {
        "kind": "call",
        "session": call.session_id,
        "turn": call.turn_id,
        "call": call.id,
        "tool": call.name,
        "plugin": call.plugin,
        "risk": call.options.risk,
        "principal": call.principal.id,
        "surface": call.surface,
        "workspace": call.workspace,
        "paths": {name: call.arguments[name] for name in call.options.paths if name in call.arguments},
        "arguments_hash": hashlib.sha256(arguments.encode()).hexdigest(),
    }
    if call.origin is not None:
        record["origin"] = {"platform": call.origin.platform, "chat": call.origin.chat, "thread": call.origin.thread}
    if settings.arguments == "full":
        record["arguments"] = call.arguments
    return record


def _result_record(
    session: str, turn: str, call: str, tool: str, outcome: str, seconds: float | None
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": "result",
        "session": session,
        "turn": turn,
        "call": call,
        "tool": tool,
        "outcome": outcome,
    }
    if seconds is not None:
        record["seconds"] = round(seconds, 6)
    return record


def hash_of_content(content: Content) -> str:
    """Over the bytes of texts and images, or an image's address, in order."""
    digest = hashlib.sha256()
    for part in content:
        digest.update(part.text.encode(errors="surrogatepass") if isinstance(part, TextPart) else part.data)
        if isinstance(part, ImagePart):
            digest.update(part.url.encode())
    return digest.hexdigest()
