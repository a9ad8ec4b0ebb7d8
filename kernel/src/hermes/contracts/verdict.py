"""What a guard says of a call, a request or a message."""

from __future__ import annotations

from typing import Literal

from .messages import TextPart
from .values import Value

Decision = Literal["allow", "ask", "deny"]
STRICTNESS: dict[Decision, int] = {"allow": 0, "ask": 1, "deny": 2}


class Verdict(Value, kw_only=True):
    """A guard's judgement of a tool call. Of several, the strictest wins.

    ``reason`` is read by the model and the user. ``key`` names what an answer of "session" or "always"
    covers, e.g. ``git push``; without one such an answer covers this call only. ``allow_with`` tells,
    in one sentence, how to allow the like without being asked.
    """

    decision: Decision
    reason: str = ""
    key: str = ""
    allow_with: str = ""
    plugin: str = ""
    """The guard whose verdict it is; filled in by the kernel."""
    timeout: float = 0.0
    """Seconds to wait for a person who is there; 0: as long as they are."""


class ModelVeto(Value, kw_only=True):
    """Stops a model call before it is made."""

    reason: str


class MessageVerdict(Value, kw_only=True):
    """What becomes of an incoming message; ``text`` replaces it on ``rewrite``."""

    action: Literal["allow", "skip", "rewrite"]
    text: str = ""
    reason: str = ""


class ToolRewrite(Value, kw_only=True):
    """Other arguments for a call, or its finished result, which then is not run at all."""

    arguments: dict[str, object] | None = None
    result: tuple[TextPart, ...] | None = None


class Continue(Value, kw_only=True):
    """Keeps a turn going that was about to end: ``message`` is given to the model as the user's."""

    message: str
