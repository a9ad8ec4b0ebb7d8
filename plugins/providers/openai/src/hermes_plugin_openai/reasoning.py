"""How the wanted effort of reasoning is said to an endpoint."""

from __future__ import annotations

from typing import Any

from .quirks import Quirks

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def effort_of(wanted: str, quirks: Quirks) -> str:
    """The nearest to the wanted effort among those that the model knows; the lower one of two."""
    known = [effort for effort in EFFORTS if effort in quirks.efforts]
    if not known or wanted not in EFFORTS:
        return wanted
    place = EFFORTS.index(wanted)
    return min(known, key=lambda effort: abs(EFFORTS.index(effort) - place))


def asked(wanted: str, quirks: Quirks) -> dict[str, Any]:
    """Members of a Chat Completions body; none if nothing is wanted, which leaves it to the vendor."""
    if not wanted:
        return {}
    effort = effort_of(wanted, quirks)
    match quirks.reasoning:
        case "effort":
            return {"reasoning_effort": effort}
        case "object":
            return {"reasoning": {"effort": effort}}
        case "enabled":
            return {"reasoning": {"enabled": effort != "none"}}
        case "thinking":
            return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
        case "none":
            return {}
