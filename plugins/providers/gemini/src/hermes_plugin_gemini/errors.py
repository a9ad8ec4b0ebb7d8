"""What Google has against a request, as one of our errors: ``{"error": {code, message, status, details}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hermes.contracts.errors import AuthenticationFailed, ProviderError
from hermes.contracts.provider import Endpoint
from hermes_carrier import errors
from hermes_carrier.errors import Complaint, address_of, provider_error

_NO_MONEY = re.compile(
    r"free tier is not available|location is not supported|credits are depleted|enable billing|limit: 0\b",
    re.IGNORECASE,
)
_NO_KEY = re.compile(r"unregistered callers|reported as leaked|API key (?:not valid|expired)", re.IGNORECASE)
_REFUSED = re.compile(r"content that is prohibited|contains? prohibited|safety polic", re.IGNORECASE)
_SIGNATURE = re.compile(r"thought[ _]signature", re.IGNORECASE)


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
) -> ProviderError:
    """A refused request."""
    return _with_hint(errors.error_of(status, headers, body, endpoint, model, read=complaint_of), endpoint)


def stream_error(error: Any, endpoint: Endpoint, model: str = "", request_id: str = "") -> ProviderError:
    """An error that came after the status 200; it has a status of its own."""
    code = error.get("code") if isinstance(error, Mapping) else None
    said = complaint_of({"error": error}, {})
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    made = provider_error(status, said, endpoint, model, retry_after=said.retry_after, request_id=request_id)
    return _with_hint(made, endpoint)


def complaint_of(body: Any, headers: Mapping[str, str]) -> Complaint:
    """A stream that was not asked for as events has the error in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return errors.complaint_of(body, headers)
    message = str(error.get("message") or "").strip()
    listed = error.get("details")
    details = [detail for detail in listed if isinstance(detail, Mapping)] if isinstance(listed, list) else []
    kind = ""
    if _NO_KEY.search(message):
        kind = "unauthenticated"
    elif _REFUSED.search(message):
        kind = "content_filter"
    return Complaint(
        message,
        code=str(error.get("status") or error.get("code") or ""),
        type=kind,
        retry_after=_delay(details),
        out_of_money=bool(_NO_MONEY.search(message)) or any(_used_up(detail) for detail in details),
    )


def _delay(details: list[Mapping[str, Any]]) -> float | None:
    """``RetryInfo.retryDelay``: seconds as a decimal fraction and the letter s."""
    for detail in details:
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay") or "")):
            return float(match[1])
    return None


def _used_up(detail: Mapping[str, Any]) -> bool:
    """A quota of a day, or one of nothing, is not there again in a minute."""
    violations = detail.get("violations")
    return isinstance(violations, list) and any(
        "PerDay" in str(violation.get("quotaId")) or str(violation.get("quotaValue")) == "0"
        for violation in violations
        if isinstance(violation, Mapping)
    )


def _with_hint(error: ProviderError, endpoint: Endpoint) -> ProviderError:
    account = endpoint.options.get("credentials")
    if error.status == 400 and _SIGNATURE.search(str(error)):
        error.hint = (
            "A call in the history was written by another model or under another key. Start a new session; if the "
            f"signature is missing, set providers.{error.provider}.quirks.signatures to true."
        )
    elif isinstance(error, AuthenticationFailed) and account and not endpoint.key:
        error.hint = f"The token of the account in {account} is not accepted by {address_of(endpoint)}."
    return error
