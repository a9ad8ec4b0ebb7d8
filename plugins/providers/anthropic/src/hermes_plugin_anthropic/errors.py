"""What Anthropic says of an error, read for `hermes_carrier.errors`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hermes_carrier import errors

_MONEY = re.compile(r"credit balance is too low|specified API usage limits|extra usage", re.IGNORECASE)
"""An empty account is an ``invalid_request_error`` like any other; only the sentence tells."""


def complaint_of(body: Any, headers: Mapping[str, str] | None = None) -> errors.Complaint:
    """``{"type": "error", "error": {"type", "message", "details": {"error_code"}}}``, and what look-alikes send."""
    said = errors.complaint_of(body, headers)
    error = body.get("error") if isinstance(body, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    code = details.get("error_code") if isinstance(details, Mapping) else None
    code = code if isinstance(code, str) else said.code
    spent = bool(_MONEY.search(said.message)) or code.endswith("spend_limit_reached")
    return said._replace(code=code, out_of_money=spent)
