"""What went wrong at an endpoint, as one of our errors: one table for the words of all vendors.

It serves a refused request (an HTTP status and a body) and an error in mid-stream, where the
status is only what the vendor put into the error, or 0.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec

from hermes.contracts.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    ModelNotFound,
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
)
from hermes.contracts.provider import Endpoint

SENTENCE_LIMIT = 600
MINUTE = 60
"""In seconds."""
SHORTEST_KEY = 6
"""Of fewer characters a key is a placeholder, and may be part of any word."""
CUT_HINT = "Try again; where it happens often, something between here and the provider cuts connections."

_MONEY = frozenset(
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "insufficient_credits",
        "payment_required",
        "billing_error",
    ]
)
_KEY = frozenset(
    [
        "invalid_api_key",
        "invalid_authentication",
        "authentication_error",
        "expired_api_key",
        "unauthenticated",
        "expiredtokenexception",
        "unrecognizedclientexception",
        "invalidsignatureexception",
        "missingauthenticationtokenexception",
        "incompletesignatureexception",
    ]
)
_PERMISSION = frozenset(["permission_error", "permission_denied", "accessdeniedexception", "usage_not_included"])
_MODEL = frozenset(["model_not_found", "model_not_available", "unknown_model", "resourcenotfoundexception"])
_NOT_FOUND = frozenset(["not_found_error", "not_found"])
_OVERFLOW = frozenset(["context_length_exceeded", "string_above_max_length", "request_too_large"])
_REFUSED = frozenset(
    ["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"]
)
_RATE = frozenset(
    [
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limited",
        "slow_down",
        "too_many_requests",
        "requests",
        "tokens",
        "resource_exhausted",
        "throttlingexception",
        "modelnotreadyexception",
        "servicequotaexceededexception",
    ]
)
_INVALID = frozenset(
    [
        "invalid_request_error",
        "invalid_request",
        "bad_request",
        "invalid_argument",
        "failed_precondition",
        "validationexception",
        "invalid_prompt",
    ]
)

_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@")

_OVERFLOW_TEXT = re.compile(
    r"maximum context|context (?:length|window|size)|prompt is too long|too many (?:input )?tokens|"
    r"reduce the length|exceeds? .{0,40}(?:token|context) limit|maximum number of tokens",
    re.IGNORECASE,
)
_KEY_TEXT = re.compile(
    r"api[ _-]key (?:is |was |has )?(?:not valid|invalid|expired|incorrect|not found)|"
    r"(?:invalid|incorrect|expired) api[ _-]key|token (?:is |has )?(?:been )?(?:expired|revoked)",
    re.IGNORECASE,
)
_PATH_TEXT = re.compile(
    r"unknown (?:request )?(?:url|path|operation)|invalid url|page not found|no (?:such )?(?:route|path|endpoint)|"
    r"url .{0,200}not found|cannot (?:post|get)\b|^(?:resource )?not found\.?$",
    re.IGNORECASE | re.DOTALL,
)
"""What servers say where nothing is, and not of a model that is none of theirs."""
_REFUSED_TEXT = re.compile(r"moderation|flagged|content (?:management |filtering )?policy|guardrail", re.IGNORECASE)


class Complaint(NamedTuple):
    """What a vendor says of an error. ``code`` and ``type`` are in their own words."""

    message: str
    code: str = ""
    type: str = ""
    retry_soon: bool = False
    """It says that the limit is about requests in flight, not about money."""
    retry_after: float | None = None
    """Seconds, where they are in the body."""
    out_of_money: bool = False
    """The vendor's words say so, whatever its code."""
    is_page: bool = False
    """The body is no JSON: a web server's or a proxy's, and not the vendor's."""


Read = Callable[[Any, Mapping[str, str]], Complaint]
"""A body, decoded, and the headers to what a vendor complains of."""


def complaint_of(error: Any, headers: Mapping[str, str] | None = None) -> Complaint:
    """Reads the forms in use: OpenAI's object, a sentence, FastAPI's ``detail``, OpenRouter's ``metadata``."""
    if isinstance(error, str):
        return Complaint(error.strip())
    if not isinstance(error, Mapping):
        return Complaint("")
    inner = error.get("error")
    if isinstance(inner, Mapping | str) and inner:
        return complaint_of(inner)
    message = error.get("message") or error.get("detail") or error.get("error_description") or ""
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    if raw := metadata.get("raw"):
        upstream = raw if isinstance(raw, str) else msgspec.json.encode(raw).decode()
        message = f"{message} ({metadata.get('provider_name', 'upstream')}: {upstream})"
    if reasons := metadata.get("reasons"):
        message = f"{message} ({', '.join(map(str, reasons))})" if isinstance(reasons, list) else message
    return Complaint(
        message.strip(),
        code=str(error.get("code") or ""),
        type=str(error.get("type") or ""),
        retry_soon=metadata.get("limit_source") == "openrouter_in_flight_budget",
    )


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    endpoint: Endpoint,
    model: str = "",
    *,
    read: Read = complaint_of,
) -> ProviderError:
    """A refused request. ``headers``: names in lower case, or a mapping that does not mind."""
    try:
        complaint = read(msgspec.json.decode(body), headers)
    except msgspec.DecodeError:
        complaint = Complaint(_plain(body.decode("utf-8", "replace")), is_page=bool(body.strip()))
    if not complaint.message and (location := headers.get("location")):
        complaint = Complaint(f"moved to {location}")
    return provider_error(
        status,
        complaint,
        endpoint,
        model,
        retry_after=complaint.retry_after if complaint.retry_after is not None else retry_after(headers),
        request_id=request_id_of(headers),
    )


def stream_error(error: Any, endpoint: Endpoint, model: str = "", request_id: str = "") -> ProviderError:
    """An error that came in mid-stream, after the status 200."""
    complaint = complaint_of(error)
    status = int(complaint.code) if re.fullmatch(r"[45]\d\d", complaint.code) else 0
    return provider_error(status, complaint, endpoint, model, request_id=request_id)


def provider_error(
    status: int,
    complaint: Complaint,
    endpoint: Endpoint,
    model: str = "",
    *,
    retry_after: float | None = None,
    request_id: str = "",
) -> ProviderError:
    """The error of its class; its message names provider, status, code and the vendor's sentence, never the key."""
    kind = classify(status, complaint, retryable=retry_after is not None)
    code = complaint.code if not complaint.code.isdigit() else ""
    code = code or complaint.type
    words = " ".join(filter(None, [str(status or ""), code])) or "error in mid-answer"
    sentence = without_key(complaint.message, endpoint)[:SENTENCE_LIMIT]
    return kind(
        f"{endpoint.provider}: {words}: {sentence}" if sentence else f"{endpoint.provider}: {words}",
        provider=endpoint.provider,
        status=status,
        code=code,
        request_id=request_id,
        retry_after=retry_after,
        hint=_hint(kind, status, endpoint, model, complaint, retry_after),
    )


def classify(status: int, complaint: Complaint, *, retryable: bool = False) -> type[ProviderError]:
    """By the vendor's code first, then by the status, then by the sentence where a status says too little."""
    message = complaint.message
    words = {complaint.code.lower(), complaint.type.lower()}
    if complaint.out_of_money or (words & _MONEY and not complaint.retry_soon):
        return NotEntitled
    if status == 402:
        return RateLimited if complaint.retry_soon and retryable else NotEntitled
    if words & _MODEL:
        return ModelNotFound
    if status == 404 or words & _NOT_FOUND:
        return BadRequest if is_nowhere(status, complaint) else ModelNotFound
    if status == 401 or words & _KEY:
        return AuthenticationFailed
    if words & _OVERFLOW or status == 413:
        return ContextOverflow
    if words & _REFUSED:
        return ContentRefused
    if status == 403 or words & _PERMISSION:
        if _KEY_TEXT.search(message):
            return AuthenticationFailed
        return ContentRefused if _REFUSED_TEXT.search(message) else NotEntitled
    if status == 429 or words & _RATE:
        return RateLimited
    if status in (408, 409, 424, 425, 499) or status >= 500:
        return Overloaded
    if status >= 400 or words & _INVALID:
        return _bad_request(message)
    return Overloaded if status == 0 else BadRequest


def is_nowhere(status: int, complaint: Complaint) -> bool:
    """Whether nothing is served at that address, as opposed to a model that is not there."""
    return status == 404 and (complaint.is_page or _PATH_TEXT.search(complaint.message) is not None)


def _bad_request(message: str) -> type[ProviderError]:
    if _OVERFLOW_TEXT.search(message):
        return ContextOverflow
    if _KEY_TEXT.search(message):
        return AuthenticationFailed
    return ContentRefused if _REFUSED_TEXT.search(message) else BadRequest


def _hint(
    kind: type[ProviderError],
    status: int,
    endpoint: Endpoint,
    model: str,
    complaint: Complaint,
    seconds: float | None,
) -> str:
    name, address = endpoint.provider, address_of(endpoint)
    key = f"the key in {endpoint.key_source}" if endpoint.key_source else "the key"
    if kind is AuthenticationFailed:
        return _key_hint(endpoint, key, address)
    if kind is NotEntitled:
        account = f" at {endpoint.billing_url}" if endpoint.billing_url else ""
        return (
            f"Check the credit, limits and permissions of the account that {key} belongs to{account}, "
            "or use another model."
        )
    if kind is ModelNotFound:
        return f'Check the name of the model "{model}" and the address {address} (providers.{name}.base_url).'
    if kind is RateLimited:
        return f"Wait {how_long(seconds)}, or set fallback_providers so that another model takes over."
    if kind is Overloaded:
        later = f"in {how_long(seconds)}" if seconds and seconds >= MINUTE else "later"
        return f"The provider has trouble; try again {later}, or set fallback_providers."
    if kind is ContextOverflow:
        return (
            "The conversation is longer than the model can read: start a new one, or use a model with a larger window."
        )
    if kind is ContentRefused:
        return "The provider's policy refuses this content; say it differently, or use another provider."
    if "/v1/responses" in complaint.message:
        return "The model takes tools here only without reasoning: hermes config set model.reasoning_effort none"
    if is_nowhere(status, complaint):
        return f"There is nothing at this path of {address}: check providers.{name}.base_url. It often ends in /v1."
    if 300 <= status < 400 or status == 405:
        return f"The address {address} answers elsewhere: set providers.{name}.base_url."
    return f"The request is refused as it is; if an option caused it, see providers.{name}.quirks."


def _key_hint(endpoint: Endpoint, key: str, address: str) -> str:
    if not endpoint.key:
        return f"No key was sent. Set providers.{endpoint.provider}.key_env to the variable that holds it."
    if endpoint.token:
        return f"The login is not accepted any more. Log in again: hermes auth login {endpoint.provider}"
    renew = f" Make a new one: {endpoint.key_url}" if endpoint.key_url else ""
    return f"Check {key}: it is not accepted by {address}.{renew}"


def how_long(seconds: float | None) -> str:
    """In words: ``a little`` under a minute, or where it is not known; else minutes, and from two hours on hours."""
    if seconds is None or seconds < MINUTE:
        return "a little"
    minutes = math.ceil(seconds / MINUTE)
    number, unit = (minutes, "minute") if minutes < 120 and minutes != 60 else (math.ceil(minutes / 60), "hour")
    return f"{number} {unit}s" if number > 1 else f"{number} {unit}"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date. None: it does not say."""
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * factor
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        moment = parsedate_to_datetime(headers.get("retry-after") or "")
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - (time.time() if now is None else now))


def request_id_of(headers: Mapping[str, str]) -> str:
    """Of the vendor's answer; names in lower case, or a mapping that does not mind."""
    named = ("x-request-id", "request-id", "x-amzn-requestid", "x-generation-id")
    return next((value for name in named if (value := headers.get(name))), "")


def address_of(endpoint: Endpoint) -> str:
    """The endpoint's address as it may be shown: ``http://***@host/v1`` where a name and a password are in it."""
    return _USERINFO.sub(r"\1***@", endpoint.base_url)


def without_key(text: str, endpoint: Endpoint) -> str:
    """``text`` without the key, which some vendors repeat in what they say of it, and the password of the address."""
    if len(endpoint.key) >= SHORTEST_KEY:
        text = text.replace(endpoint.key, "[key]")
    if found := _USERINFO.match(endpoint.base_url):
        text = text.replace(found[2], "***")
        password = found[2].partition(":")[2]
        text = text.replace(password, "***") if len(password) >= SHORTEST_KEY else text
    return text


def _plain(text: str) -> str:
    """The words of a body that is no JSON: a proxy's page, a load balancer's line."""
    text = re.sub(r"(?is)<(script|style|head).*?</\1>|<[^>]+>", " ", text)
    return " ".join(text.split())
