"""What OpenAI, and who speaks its wires, says of an error, read for `hermes_carrier.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes_carrier import errors


def complaint_of(body: Any, headers: Mapping[str, str]) -> errors.Complaint:
    """The forms in use, and how long the limit of a ChatGPT account lasts, which is in the body alone."""
    said = errors.complaint_of(body, headers)
    inner = body.get("error") if isinstance(body, Mapping) else None
    seconds = inner.get("resets_in_seconds") if isinstance(inner, Mapping) else None
    return said._replace(retry_after=float(seconds)) if isinstance(seconds, int | float) else said
