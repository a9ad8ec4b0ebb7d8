"""The typed face of the hooks: the kernel calls these, never pluggy, and reads the rules in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from hermes.contracts.errors import ErrorInfo
from hermes.contracts.events import Event, InputRequest
from hermes.contracts.hookspecs import (
    ApprovalDecision,
    ModelAnswer,
    ModelCall,
    SessionInfo,
    SubagentInfo,
    TurnAnswer,
    TurnInfo,
)
from hermes.contracts.messages import ImagePart, SystemBlock, TextPart, sendable
from hermes.contracts.platform import InMessage
from hermes.contracts.provider import ProviderQuery, ProviderSpec
from hermes.contracts.tool import ToolCall, ToolOutcome
from hermes.contracts.verdict import STRICTNESS, Continue, MessageVerdict, ModelVeto, ToolRewrite, Verdict

from .answers import WrongType
from .guard import Contained, Implementation

MOST_TEXT = 100_000
"""Characters that one hook may add to what a model reads."""


class GuardDown(NamedTuple):
    """A guard that is enabled and cannot judge: what it would judge is denied."""

    plugin: str
    reason: str
    hooks: tuple[str, ...]


class Hooks:
    """Every hook as a method. One is made for a turn by `for_turn`, so that plugins' context variables last one.

    ``limit`` takes from a provider what the plugin that answers with it may not claim. ``start`` activates the plugins.
    ``trusts``: whether a plugin's "allow" counts.
    """

    def __init__(
        self,
        table: Mapping[str, list[Implementation]],
        contained: Contained,
        down: list[GuardDown],
        limit: Callable[[str, ProviderSpec], ProviderSpec],
        start: Callable[[], Awaitable[None]],
        trusts: Callable[[str], bool],
    ) -> None:
        self._trusts = trusts
        self._limit = limit
        self._start = start
        self._table = table
        self._contained = contained
        self._down = down

    def for_turn(self, surface: str = "") -> Hooks:
        """Also for what happens in a session between turns."""
        return Hooks(self._table, self._contained.for_turn(surface), self._down, self._limit, self._start, self._trusts)

    @property
    def has_guard(self) -> bool:
        return bool(self._table["pre_tool_call"] or any("pre_tool_call" in down.hooks for down in self._down))

    @property
    def watches_events(self) -> bool:
        return bool(self._table["on_event"])

    async def resolve_provider(self, query: ProviderQuery) -> ProviderSpec | None:
        for implementation in self._table["resolve_provider"]:
            spec, _ = await self._contained.call(implementation, {"query": query}, returns=(ProviderSpec,))
            if spec is not None:
                return self._limit(implementation.plugin, spec)
        return None

    async def system_blocks(self, session: SessionInfo) -> list[SystemBlock]:
        blocks: list[SystemBlock] = []
        for implementation in self._table["system_blocks"]:
            found, _ = await self._contained.call(
                implementation, {"session": session}, returns=(Iterable,), most=MOST_TEXT
            )
            blocks += [
                msgspec.structs.replace(block, text=sendable(block.text))
                for block in found or ()
                if isinstance(block, SystemBlock)
            ]
        return blocks

    async def on_session_start(self, session: SessionInfo) -> None:
        await self._observe("on_session_start", session=session)

    async def on_session_end(self, session: SessionInfo, outcome: str) -> None:
        await self._observe("on_session_end", session=session, outcome=outcome)

    async def on_session_reset(self, session: SessionInfo) -> None:
        await self._observe("on_session_reset", session=session)

    async def pre_llm_call(self, turn: TurnInfo) -> list[tuple[str, str]]:
        """Pairs of plugin and context."""
        found = []
        for implementation in self._table["pre_llm_call"]:
            text, _ = await self._contained.call(implementation, {"turn": turn}, returns=(str,), most=MOST_TEXT)
            if text:
                found.append((implementation.plugin, sendable(text)))
        return found

    async def post_llm_call(self, turn: TurnInfo, answer: TurnAnswer) -> tuple[str, str] | None:
        """The plugin and the text that replaces the answer's; each plugin sees what the one before it made."""
        replaced = None
        for implementation in self._table["post_llm_call"]:
            values = {"turn": turn, "answer": answer}
            text, _ = await self._contained.call(implementation, values, returns=(str,), most=MOST_TEXT)
            if text is not None:
                text = sendable(text)
                replaced = (implementation.plugin, text)
                answer = msgspec.structs.replace(answer, text=text)
        return replaced

    async def pre_api_request(self, request: ModelCall) -> tuple[str, ModelVeto] | None:
        for implementation in self._table["pre_api_request"]:
            veto, _ = await self._contained.call(implementation, {"request": request}, returns=(ModelVeto,))
            if veto is not None:
                return implementation.plugin, veto
        return None

    async def post_api_request(self, request: ModelCall, response: ModelAnswer) -> None:
        await self._observe("post_api_request", request=request, response=response)

    async def on_api_error(self, request: ModelCall, error: ErrorInfo) -> None:
        await self._observe("on_api_error", request=request, error=error)

    async def rewrite_tool_call(self, call: ToolCall) -> ToolRewrite:
        """All rewrites as one: the last arguments, or the first finished result."""
        rewrite = ToolRewrite()
        for implementation in self._for_tool("rewrite_tool_call", call):
            answer, _ = await self._contained.call(
                implementation, {"call": call}, returns=(ToolRewrite,), most=MOST_TEXT
            )
            if answer is None:
                continue
            if answer.result is not None:
                return answer  # type: ignore[no-any-return]
            if answer.arguments is not None:
                rewrite = answer
                call = msgspec.structs.replace(call, arguments=answer.arguments)
        return rewrite

    async def pre_tool_call(self, call: ToolCall) -> Verdict | None:
        """The strictest verdict; None when no guard has an opinion. A guard that fails, or is down, denies."""
        for down in self._down:
            if "pre_tool_call" in down.hooks:
                return Verdict(decision="deny", reason=_down_reason(down), plugin=down.plugin)
        strictest: Verdict | None = None
        for implementation in self._for_tool("pre_tool_call", call):
            verdict, succeeded = await self._contained.call(
                implementation, {"call": call}, returns=(Verdict,), threaded=True
            )
            if not succeeded:
                verdict = Verdict(
                    decision="deny",
                    reason=_failed_reason(implementation),
                )
            if verdict is not None and verdict.decision == "allow" and not self._trusts(implementation.plugin):
                continue  # it may forbid; without another guard's opinion the kernel's floor holds
            if verdict is not None and (
                strictest is None or STRICTNESS[verdict.decision] > STRICTNESS[strictest.decision]
            ):
                strictest = msgspec.structs.replace(verdict, plugin=implementation.plugin)
        return strictest

    async def post_tool_call(self, call: ToolCall, result: ToolOutcome) -> None:
        await self._contained.observe(self._for_tool("post_tool_call", call), {"call": call, "result": result})

    async def transform_tool_result(self, call: ToolCall, result: ToolOutcome) -> ToolOutcome:
        for implementation in self._for_tool("transform_tool_result", call):
            values = {"call": call, "result": result}
            answer, _ = await self._contained.call(implementation, values, returns=(ToolOutcome,), check=_check_content)
            result = answer if answer is not None else result
        return result

    async def on_turn_end(self, turn: TurnInfo) -> Continue | None:
        for implementation in self._table["on_turn_end"]:
            answer, _ = await self._contained.call(implementation, {"turn": turn}, returns=(Continue,), most=MOST_TEXT)
            if answer is not None:
                return answer  # type: ignore[no-any-return]
        return None

    async def on_message(self, message: InMessage) -> MessageVerdict:
        """The strictest of skip, rewrite, allow. A guard that fails, or is down, skips.

        It may come before any session has begun: the guards are activated first.
        """
        await self._start()
        for down in self._down:
            if "on_message" in down.hooks:
                return MessageVerdict(action="skip", reason=_down_reason(down))
        result = MessageVerdict(action="allow")
        for implementation in self._table["on_message"]:
            verdict, succeeded = await self._contained.call(
                implementation, {"message": message}, returns=(MessageVerdict,), threaded=True
            )
            if not succeeded:
                return MessageVerdict(action="skip", reason=f'The guard "{implementation.plugin}" failed.')
            if verdict is not None and verdict.action == "skip":
                return verdict  # type: ignore[no-any-return]
            if verdict is not None and verdict.action == "rewrite":
                result = verdict
        return result

    async def on_approval(self, request: InputRequest, decision: ApprovalDecision) -> None:
        await self._observe("on_approval", request=request, decision=decision)

    async def on_event(self, event: Event) -> None:
        if implementations := self._table["on_event"]:
            kind = event.__struct_config__.tag
            wanted = [found for found in implementations if not found.events or kind in found.events]
            await self._contained.observe(wanted, {"event": event})

    async def on_subagent_start(self, subagent: SubagentInfo) -> None:
        await self._observe("on_subagent_start", subagent=subagent)

    async def on_subagent_stop(self, subagent: SubagentInfo, outcome: str) -> None:
        await self._observe("on_subagent_stop", subagent=subagent, outcome=outcome)

    async def on_error(self, session: SessionInfo, error: ErrorInfo) -> None:
        await self._observe("on_error", session=session, error=error)

    async def _observe(self, hook: str, **values: Any) -> None:
        if implementations := self._table[hook]:
            await self._contained.observe(implementations, values)

    def _for_tool(self, hook: str, call: ToolCall) -> Iterable[Implementation]:
        for implementation in self._table[hook]:
            if not implementation.tools or call.name in implementation.tools:
                yield implementation


def _check_content(outcome: ToolOutcome) -> None:
    content: Any = outcome.content
    if not isinstance(content, tuple) or not all(isinstance(part, TextPart | ImagePart) for part in content):
        raise WrongType("it returned a ToolOutcome whose content is no tuple of texts and images")


def _down_reason(down: GuardDown) -> str:
    return (
        f'The guard "{down.plugin}" is enabled but not working ({down.reason}), so nothing it judges may run. '
        f"Mend it, or: hermes plugins disable {down.plugin}"
    )


def _failed_reason(implementation: Implementation) -> str:
    plugin, error = implementation.plugin, implementation.last_error
    return (
        f'The guard "{plugin}" failed ({error}), so nothing it judges may run. '
        f"Mend it, or: hermes plugins disable {plugin}"
    )
