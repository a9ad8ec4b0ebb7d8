"""Every hook. This file is the plugin contract: what a plugin may implement, when it is called, what it may answer.

Every hook fires on every surface. Implementations are marked with `hookimpl`, take any of the arguments
named here and, if they want it, ``ctx``: the `PluginContext` of their plugin. They may be plain functions or
coroutines. A failing implementation is logged with its plugin's name and counted; what happens then is said
with each hook.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

import pluggy

from .errors import ErrorInfo
from .events import Event, InputRequest
from .messages import Part, SystemBlock, ToolCallPart, Usage
from .platform import InMessage
from .provider import ProviderQuery, ProviderSpec
from .scope import LOCAL, Origin, Principal, Scope
from .service import Provision
from .tool import ToolCall, ToolOutcome, ToolRegistry
from .values import Value
from .verdict import Continue, MessageVerdict, ModelVeto, ToolRewrite, Verdict

PROJECT = "hermes"
_Answer = TypeVar("_Answer")
MaybeAwaitable: TypeAlias = _Answer | Awaitable[_Answer]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_spec = pluggy.HookspecMarker(PROJECT)
_impl = pluggy.HookimplMarker(PROJECT)
HOOK_OPTIONS_ATTRIBUTE = "__hermes_hook__"


class HookOptions(Value, kw_only=True):
    """``deadline``: seconds; None: the hook's own. ``tools``: only calls of these, empty: of all.

    ``events``: only events of these types, such as ``turn_finished``; empty: all.
    ``arguments``: those that the function takes; None: as its signature says.
    """

    deadline: float | None = None
    tools: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    arguments: tuple[str, ...] | None = None


@overload
def hookimpl(function: _Function, /) -> _Function: ...
@overload
def hookimpl(
    *,
    tryfirst: bool = False,
    trylast: bool = False,
    specname: str | None = None,
    deadline: float | None = None,
    tools: Sequence[str] = (),
    events: Sequence[str] = (),
) -> Callable[[_Function], _Function]: ...
def hookimpl(
    function: _Function | None = None,
    *,
    tryfirst: bool = False,
    trylast: bool = False,
    specname: str | None = None,
    deadline: float | None = None,
    tools: Sequence[str] = (),
    events: Sequence[str] = (),
) -> Any:
    """Marks a function as the implementation of the hook of its name, or of ``specname``.

    ``deadline``, ``tools``, ``events``: see `HookOptions`. An observer of events should name those that it wants: a
    long answer is thousands of deltas.
    """

    def mark(function: _Function) -> _Function:
        setattr(
            function, HOOK_OPTIONS_ATTRIBUTE, HookOptions(deadline=deadline, tools=tuple(tools), events=tuple(events))
        )
        return _impl(function, tryfirst=tryfirst, trylast=trylast, specname=specname)

    return mark(function) if function is not None else mark


class SessionInfo(Value, kw_only=True):
    """A session as hooks see it. ``workspace``: the directory it works in."""

    id: str
    scope: Scope
    surface: str
    principal: Principal = LOCAL
    origin: Origin | None = None
    workspace: str = ""
    provider: str = ""
    model: str = ""
    parent_session: str = ""


class TurnInfo(Value, kw_only=True):
    """A turn as hooks see it. History is not in it: ``ctx.sessions`` reads what is wanted."""

    id: str
    session: SessionInfo
    message_id: int
    text: str = ""
    model_calls: int = 0
    tool_calls: int = 0


class TurnAnswer(Value, kw_only=True):
    message_id: int
    text: str
    outcome: str
    usage: Usage = Usage()


class ModelCall(Value, kw_only=True):
    """A model call as hooks see it. ``messages`` and ``tools``: how many are sent; ``attempt`` counts from 1."""

    id: str
    session_id: str
    turn_id: str
    provider: str
    model: str
    base_url: str
    messages: int
    tools: int
    attempt: int = 1
    last: tuple[Part, ...] = ()
    """The parts of the newest message."""


class ModelAnswer(Value, kw_only=True):
    """What a model call brought, whole."""

    parts: tuple[Part, ...]
    finish: str
    usage: Usage
    seconds: float
    first_token_seconds: float | None = None
    request_id: str = ""
    model: str = ""

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))


class ApprovalDecision(Value, kw_only=True):
    """``answer``: ``once``, ``session``, ``always`` or ``deny``."""

    answer: str
    by: Principal
    session_id: str
    turn_id: str = ""


class SubagentInfo(Value, kw_only=True):
    session: SessionInfo
    parent_session: str
    task: str


@_spec(firstresult=True)
def resolve_provider(query: ProviderQuery) -> MaybeAwaitable[ProviderSpec | None]:
    """A model has to be reached at a provider that neither configuration nor a manifest names.

    Answer its `ProviderSpec`, or None. The first answer is taken. Failure: the turn fails.
    """
    return None


@_spec
def register_tools(registry: ToolRegistry) -> MaybeAwaitable[None]:
    """On activation: register tools that the manifest cannot name. Failure: the plugin is disabled, reported."""


@_spec
def provide() -> MaybeAwaitable[Iterable[Provision]]:
    """On activation: what the plugin provides for other contracts. Failure: the plugin is disabled, reported."""
    raise NotImplementedError  # a specification is not called


@_spec
def system_blocks(session: SessionInfo) -> MaybeAwaitable[Iterable[SystemBlock] | None]:
    """Once a session, before its first request: named blocks for its system text. Failure: skipped, reported."""


@_spec
def on_session_start(session: SessionInfo) -> MaybeAwaitable[None]:
    """A session begins, or is resumed in this process. Failure: go on."""


@_spec
def on_session_end(session: SessionInfo, outcome: str) -> MaybeAwaitable[None]:
    """A conversation is closed; once. ``outcome`` is that of its last turn. Failure: go on."""


@_spec
def on_session_reset(session: SessionInfo) -> MaybeAwaitable[None]:
    """The user starts over: ``session`` is the one that is left. Failure: go on."""


@_spec
def pre_llm_call(turn: TurnInfo) -> MaybeAwaitable[str | None]:
    """Once a turn, before its first model call: context, added to the user's message and kept as sent.

    Failure: go on without.
    """


@_spec
def post_llm_call(turn: TurnInfo, answer: TurnAnswer) -> MaybeAwaitable[str | None]:
    """Once a turn, after its last model call: a text to store and show in place of the answer's. Failure: go on."""


@_spec
def pre_api_request(request: ModelCall) -> MaybeAwaitable[ModelVeto | None]:
    """Before every model call, retries included. The first veto stops the turn. Failure: go on."""


@_spec
def post_api_request(request: ModelCall, response: ModelAnswer) -> MaybeAwaitable[None]:
    """After every model call that was answered. Failure: go on."""


@_spec
def on_api_error(request: ModelCall, error: ErrorInfo) -> MaybeAwaitable[None]:
    """After every model call that failed, also where it is tried again. Failure: go on."""


@_spec
def rewrite_tool_call(call: ToolCall) -> MaybeAwaitable[ToolRewrite | None]:
    """Before a call is judged: other arguments, or a finished result. Chained. Failure: go on."""


@_spec
def pre_tool_call(call: ToolCall) -> MaybeAwaitable[Verdict | None]:
    """Judges a call on its final arguments; the strictest verdict wins. None: no opinion.

    Failure, a wrong type or a passed deadline: **deny**.
    """


@_spec
def post_tool_call(call: ToolCall, result: ToolOutcome) -> MaybeAwaitable[None]:
    """After every call that ran. Failure: go on."""


@_spec
def transform_tool_result(call: ToolCall, result: ToolOutcome) -> MaybeAwaitable[ToolOutcome | None]:
    """After `post_tool_call`: a replacement for what the model reads. Chained. Failure: go on."""


@_spec
def on_turn_end(turn: TurnInfo) -> MaybeAwaitable[Continue | None]:
    """The model is done and the turn about to end: `Continue` keeps it going, three times at most. Failure: go on."""


@_spec
def on_message(message: InMessage) -> MaybeAwaitable[MessageVerdict | None]:
    """A platform received a message; before authorization. The strictest of skip, rewrite, allow wins.

    Failure: **skip**.
    """


@_spec
def on_approval(request: InputRequest, decision: ApprovalDecision) -> MaybeAwaitable[None]:
    """Somebody answered a request for approval. Failure: go on."""


@_spec
def on_event(event: Event) -> MaybeAwaitable[None]:
    """Every event of every session, deltas included. Failure: go on."""


@_spec
def on_subagent_start(subagent: SubagentInfo) -> MaybeAwaitable[None]:
    """A session was started by another one. Failure: go on."""


@_spec
def on_subagent_stop(subagent: SubagentInfo, outcome: str) -> MaybeAwaitable[None]:
    """It ended. Failure: go on."""


@_spec
def on_error(session: SessionInfo, error: ErrorInfo) -> MaybeAwaitable[None]:
    """A turn failed. Failure: go on."""
