"""How the wanted effort of thinking is said to an endpoint."""

from __future__ import annotations

from typing import Any

from hermes_carrier.efforts import nearest

from .quirks import Quirks


def thinking_of(wanted: str, quirks: Quirks) -> dict[str, Any]:
    """Members of a Chat Completions body; none if nothing is wanted, which leaves it to the vendor."""
    if not wanted:
        return {}
    effort = nearest(wanted, quirks.efforts)
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
