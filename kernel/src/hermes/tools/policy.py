"""What a call needs before it may run: the guards' verdict, and the floor under them."""

from __future__ import annotations

from hermes.contracts.tool import ToolCall
from hermes.contracts.verdict import Verdict
from hermes.plugins.hooks import Hooks

CHOICES = ("once", "session", "always", "deny")


async def judge(call: ToolCall, hooks: Hooks) -> Verdict:
    """The strictest verdict of the guards; where none has an opinion, the kernel's floor: reading is
    allowed, all else has to be asked for.
    """
    verdict = await hooks.pre_tool_call(call)
    if verdict is not None:
        return verdict
    if call.options.risk == "read":
        return Verdict(decision="allow")
    return Verdict(
        decision="ask",
        reason=f"{call.name} may {_may(call)}, and no guard judges it",
        allow_with="Enable a plugin that is a guard, to have rules for it: hermes plugins list",
    )


def _may(call: ToolCall) -> str:
    words = {"write": "write files", "exec": "run programs", "network": "reach the network"}
    return words.get(call.options.risk, call.options.risk)


def denied_by_policy(verdict: Verdict) -> str:
    return f"Not run: {_sentence(verdict.reason or 'policy forbids it')} Do not try to get around this."


def denied_for_want_of_a_person(verdict: Verdict) -> str:
    return (
        f"Not run: {_sentence(verdict.reason or 'it needs approval')} It needs a person's approval, and in this run "
        f"nobody can be asked. {verdict.allow_with}"
    ).rstrip()


def denied_by_person(reason: str) -> str:
    return f"Not run: the user declined. {reason}".rstrip()


def denied_by_silence(seconds: float) -> str:
    return f"Not run: it needs approval, and nobody answered within {seconds:.0f} s."


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
