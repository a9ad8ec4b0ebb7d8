"""What Bedrock says of a request that it refuses, as one of our errors, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hermes.contracts.errors import AuthenticationFailed, ModelNotFound, NotEntitled, ProviderError, RateLimited
from hermes.contracts.provider import Endpoint
from hermes_carrier import errors
from hermes_carrier.errors import Complaint, how_long, provider_error

from .regions import is_bare, profile_ids, region_of

ON_DEMAND = re.compile(r"on-demand throughput", re.IGNORECASE)
"""The model can be called by an inference profile only. The apostrophe in the sentence is a curly one."""
_MARKS = (
    (r"on-demand throughput|model identifier is invalid|model not found", "model_not_found"),
    (r"api key is valid|security token|bearer token|token.{0,60}expired|signature we calculated", "invalid_api_key"),
    (r"content filter|blocked by.{0,40}(?:policy|guardrail)", "content_filter"),
    (r"input is too long|exceeds? the (?:model's )?maximum", "context_length_exceeded"),
)
"""Its codes are few; the sentence says which error it is, in words that our table knows."""
_SECRETS = ("secret_key", "session_token")
_MONEY = re.compile(r"payment[ _]instrument|billing", re.IGNORECASE)
_PER_DAY = re.compile(r"per day", re.IGNORECASE)
_USE_CASE = re.compile(r"use case details", re.IGNORECASE)
_EXPIRED = re.compile(r"expired", re.IGNORECASE)


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
) -> ProviderError:
    """A refused request."""

    def read(told: Any, named: Mapping[str, str]) -> Complaint:
        return complaint_of(told, named, endpoint)

    return advised(errors.error_of(status, headers, body, endpoint, model, read=read), endpoint, model)


def stream_error(kind: str, message: str, endpoint: Endpoint, model: str, request_id: str) -> ProviderError:
    """An exception in mid-stream, after the status 200. ``kind``: Amazon's name for it."""
    error = provider_error(0, complaint(kind, message, endpoint), endpoint, model, request_id=request_id)
    return advised(error, endpoint, model)


def complaint_of(body: Any, headers: Mapping[str, str], endpoint: Endpoint) -> Complaint:
    found = errors.complaint_of(body)
    told = body if isinstance(body, Mapping) else {}
    message = found.message or str(told.get("Message") or "")
    # ``x-amzn-ErrorType: ValidationException:http://…``, or ``__type: com.amazon.coral#ValidationException``
    kind = headers.get("x-amzn-errortype") or str(told.get("__type") or found.code or found.type)
    return complaint(kind.partition(":")[0].rpartition("#")[2], message, endpoint)


def complaint(kind: str, message: str, endpoint: Endpoint) -> Complaint:
    """Of a signature that it refuses, Amazon says what should have been signed; a session's token is part of that."""
    for name in _SECRETS:
        if secret := endpoint.options.get(name):
            message = message.replace(secret, f"[{name}]")
    mark = next((word for pattern, word in _MARKS if re.search(pattern, message, re.IGNORECASE)), "")
    return Complaint(message, code=kind, type=mark, out_of_money=bool(_PER_DAY.search(message)))


def advised(error: ProviderError, endpoint: Endpoint, model: str) -> ProviderError:
    """The error with what helps at Amazon."""
    error.hint = _hint(error, endpoint, model) or error.hint
    return error


def _hint(error: ProviderError, endpoint: Endpoint, model: str) -> str:
    said, region, name = str(error), region_of(endpoint), endpoint.provider
    console = f"https://{region}.console.aws.amazon.com/bedrock/home?region={region}"
    if isinstance(error, AuthenticationFailed):
        return _credentials(said, endpoint, console)
    if _USE_CASE.search(said):
        return f"Fill in the vendor's use case form once, in the model catalog: {console}#/model-catalog"
    if isinstance(error, ModelNotFound):
        if is_bare(model) and model:
            return f"In {region}, try {' or '.join(profile_ids(model, region))}, or see: hermes model list {name}"
        return f'Is "{model}" offered in {region}? See: hermes model list {name}'
    if isinstance(error, NotEntitled) and (error.status == 402 or _MONEY.search(said)):
        return ""  # the billing page, which is in the hint of every provider
    if isinstance(error, NotEntitled) and not _PER_DAY.search(said):
        return (
            f"Ask for access to the model at {console}#/modelaccess, and check that the account may "
            "bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream."
        )
    if isinstance(error, NotEntitled | RateLimited):
        wait = f"Wait {how_long(error.retry_after)}" if error.retry_after else "Wait"
        return (
            f"{wait}, or ask for a higher quota: https://{region}.console.aws.amazon.com/servicequotas. "
            "Bedrock holds all of max_tokens against it, so a smaller one helps."
        )
    return ""


def _credentials(said: str, endpoint: Endpoint, console: str) -> str:
    expired = "They have expired" if _EXPIRED.search(said) else "They are not accepted"
    if endpoint.key:
        source = endpoint.key_source or "use"
        return f"Check the key in {source}; they last 12 hours or to a set day. Make a new one: {console}#/api-keys"
    if profile := endpoint.options.get("profile"):
        return f"{expired}: the credentials of the profile {profile}. Log in again: aws sso login --profile {profile}"
    if endpoint.options.get("access_key"):
        return f"{expired}: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, of temporary ones, AWS_SESSION_TOKEN."
    return f"No key was sent. Set AWS_BEARER_TOKEN_BEDROCK: {console}#/api-keys"
