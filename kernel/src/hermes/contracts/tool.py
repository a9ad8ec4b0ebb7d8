"""Tools: what they declare, how they are called, and the decorator that makes one of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

from .messages import ImagePart, TextPart
from .scope import LOCAL, Origin, Principal, Scope
from .values import Value

Risk = Literal["read", "write", "exec", "network"]
Effects = Literal["none", "idempotent", "external"]
Executor = Literal["host", "client"]


class ToolOptions(Value, kw_only=True):
    """What a tool declares of itself beyond its schema."""

    toolset: str = ""
    """Empty: the plugin's name."""
    risk: Risk = "exec"
    """The kernel's floor allows ``read``; without a guard all else has to be asked for."""
    effects: Effects = "external"
    """After a crash a started call is never rerun unless it has none or is idempotent."""
    executor: Executor = "host"
    """``client``: the front end runs it; the turn is suspended until it answers."""
    parallel: bool = True
    interactive: bool = False
    """Needs a person; runs alone."""
    paths: tuple[str, ...] = ()
    """Names of the arguments that are paths; two calls on overlapping ones do not run at once."""
    core: bool = True
    """Sent to the model with every request. Others are to be found through a search tool, and are sent as well
    until there is one.
    """
    timeout: float | None = None
    """Seconds; None: the tool bounds itself."""
    max_chars: int = 50_000
    """Of a result given to the model; the whole is kept in a file."""


class ToolEntry(Value, kw_only=True):
    """A tool in the registry: its schema, its options, whose it is, and where its function is."""

    name: str
    description: str
    parameters: dict[str, object]
    plugin: str = ""
    target: str = ""
    """``module:function``, imported when it is first called."""
    options: ToolOptions = ToolOptions()


class ToolCall(Value, kw_only=True):
    """A call in flight, as guards and observers see it: final arguments, parsed."""

    id: str
    name: str
    arguments: dict[str, Any]
    session_id: str = ""
    turn_id: str = ""
    parent_call: str = ""
    """The call whose tool made this one, through ``ctx.call_tool``."""
    plugin: str = ""
    options: ToolOptions = ToolOptions()
    workspace: str = ""
    """The directory relative paths and commands start from."""
    surface: str = ""
    scope: Scope = Scope(home="")
    principal: Principal = LOCAL
    origin: Origin | None = None


class ToolOutcome(Value, kw_only=True):
    """What a call came to. ``content`` is what the model reads."""

    content: tuple[TextPart | ImagePart, ...]
    is_error: bool = False
    effect_unknown: bool = False
    """It was started and interrupted: nobody knows whether it took effect."""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


class ClientToolResult(Value, kw_only=True):
    """What a front end answers for a tool with ``executor: client``."""

    content: tuple[TextPart | ImagePart, ...]
    is_error: bool = False


class Tool(Protocol):
    """A tool behind the border. Authors write a typed function instead; see `tool`."""

    async def call(self, call: ToolCall) -> ToolOutcome: ...


class ToolRegistry(Protocol):
    """What ``register_tools`` is given: it knows whose tools it registers."""

    def add(self, function: Callable[..., Any], *, name: str = "", description: str = "", **options: Any) -> None:
        """Registers a function. Its schema comes from its signature, its description from its docstring."""


_Function = TypeVar("_Function", bound=Callable[..., Any])
OPTIONS_ATTRIBUTE = "__hermes_tool__"


def tool(name: str = "", **options: Any) -> Callable[[_Function], _Function]:
    """Marks a typed function with a docstring as a tool; ``options`` are the fields of `ToolOptions`.

    The first paragraph of the docstring is what the model reads; ``Annotated[str, "…"]`` describes an
    argument. An argument named ``ctx`` receives the `PluginContext` and is not shown to the model. The
    function returns text, an `ImagePart`, or anything JSON can carry; it may be ``async``.
    """
    if callable(name):
        raise TypeError("use @tool(), with parentheses")
    declared = ToolOptions(**options)

    def mark(function: _Function) -> _Function:
        setattr(function, OPTIONS_ATTRIBUTE, (name or function.__name__, declared))
        return function

    return mark
