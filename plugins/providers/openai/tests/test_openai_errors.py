"""Which of our errors a refusal is, what it says, and what it never says."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    Endpoint,
    ModelNotFound,
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
)
from hermes_carrier.errors import error_of, retry_after

KEY = "sk-test-0123456789abcdef"
ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key=KEY, key_source="env:ACME_API_KEY")


def refused(status: int, error: Any = None, headers: dict[str, str] | None = None) -> ProviderError:
    body = json.dumps({"error": error}) if error is not None else ""
    return error_of(status, headers or {}, body.encode(), ENDPOINT, "a-model")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, AuthenticationFailed),
        (403, {"message": "Invalid API key"}, AuthenticationFailed),
        (400, {"message": "API key not valid. Please pass a valid API key.", "code": 400}, AuthenticationFailed),
        (403, {"message": "Country not supported", "code": "unsupported_country_region_territory"}, NotEntitled),
        (403, {"message": "Input was flagged", "metadata": {"reasons": ["violence"]}}, ContentRefused),
        (402, {"message": "Insufficient credits", "code": 402}, NotEntitled),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, NotEntitled),
        (429, {"message": "Out of credit", "type": "insufficient_quota"}, NotEntitled),
        (429, {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}, RateLimited),
        (429, "Slow down", RateLimited),
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, ModelNotFound),
        (403, {"message": "No access to model `x`", "code": "model_not_found"}, ModelNotFound),
        (404, None, ModelNotFound),
        (400, {"message": "This model's maximum context length is 8192 tokens"}, ContextOverflow),
        (400, {"message": "Too long", "code": "context_length_exceeded"}, ContextOverflow),
        (400, {"message": "the request exceeds the available context size"}, ContextOverflow),
        (422, {"message": "prompt is too long: 9 > 8"}, ContextOverflow),
        (413, {"message": "Request too large", "type": "tokens", "code": "rate_limit_exceeded"}, ContextOverflow),
        (400, {"message": "Filtered", "code": "content_filter"}, ContentRefused),
        (400, {"message": "max_tokens is invalid"}, BadRequest),
        (400, {"message": "Unknown parameter", "type": "invalid_request_error"}, BadRequest),
        (418, {"message": "A teapot"}, BadRequest),
        (308, None, BadRequest),
        (408, None, Overloaded),
        (500, {"message": "Oops"}, Overloaded),
        (502, {"message": "Bad upstream", "code": 502}, Overloaded),
        (503, None, Overloaded),
        (529, {"message": "Overloaded", "type": "overloaded_error"}, Overloaded),
    ],
)
def test_the_class_says_what_to_do(status: int, error: Any, kind: type[ProviderError]) -> None:
    failure = refused(status, error)
    assert type(failure) is kind
    assert failure.status == status
    assert failure.provider == "acme"
    assert str(failure).startswith(f"acme: {status}")
    assert failure.hint


def test_a_402_about_requests_in_flight_is_worth_waiting_for() -> None:
    error = {"message": "Busy", "code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}
    assert type(refused(402, error, {"retry-after": "2"})) is RateLimited
    assert type(refused(402, error)) is NotEntitled


def test_the_message_has_provider_status_code_and_the_vendors_sentence() -> None:
    failure = refused(
        429,
        {"message": "Rate limit reached.", "code": "rate_limit_exceeded"},
        {"retry-after": "3", "x-request-id": "req_9"},
    )
    assert str(failure) == "acme: 429 rate_limit_exceeded: Rate limit reached."
    assert (failure.code, failure.request_id, failure.retry_after) == ("rate_limit_exceeded", "req_9", 3.0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"object": "error", "message": "Mistral says no", "type": "invalid_request_error"}', "Mistral says no"),
        (b'{"error": "Ollama says no"}', "Ollama says no"),
        (b'{"detail": [{"loc": ["body"], "msg": "FastAPI says no"}]}', "FastAPI says no"),
        (b"<html><head><title>x</title></head><body><h1>502 Bad\n Gateway</h1></body></html>", "502 Bad Gateway"),
        (b"no healthy upstream", "no healthy upstream"),
        (b"\xff\xfe", "acme: 400"),
        (b"", "acme: 400"),
        (b"[]", "acme: 400"),
        (b'{"error": {"message": {"odd": 1}}}', '{"odd":1}'),
        (
            b'{"error": {"message": "Provider error", "metadata": {"raw": "no GPU", "provider_name": "Host"}}}',
            "(Host: no GPU)",
        ),
    ],
)
def test_all_forms_of_a_body_are_read(body: bytes, words: str) -> None:
    assert words in str(error_of(400, {}, body, ENDPOINT))


def test_a_long_page_is_cut() -> None:
    assert len(str(error_of(500, {}, b"x" * 100_000, ENDPOINT))) < 1000


def test_a_redirect_says_where_to() -> None:
    failure = error_of(301, {"location": "https://new.test/v1"}, b"", ENDPOINT)
    assert "https://new.test/v1" in str(failure)
    assert "providers.acme.base_url" in failure.hint


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500])
def test_the_key_is_never_told_but_where_it_was_found(status: int) -> None:
    failure = refused(status, {"message": f"Wrong key {KEY}!", "code": "any"})
    assert KEY not in str(failure)
    assert KEY not in failure.hint
    assert KEY not in repr(failure)
    assert "[key]" in str(failure)
    if status in (401, 402, 403):
        assert "env:ACME_API_KEY" in failure.hint


def test_a_model_that_wants_another_wire_is_told_apart() -> None:
    words = (
        "Function tools with reasoning_effort are not supported; use /v1/responses or set reasoning_effort to 'none'."
    )
    failure = refused(400, {"message": words, "type": "invalid_request_error"})
    assert type(failure) is BadRequest
    assert "model.reasoning_effort none" in failure.hint


def test_a_missing_key_is_not_called_a_wrong_one() -> None:
    failure = error_of(401, {}, b"", Endpoint(provider="acme", base_url="http://acme.test/v1"))
    assert "No key was sent" in failure.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "later"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_to_wait_for() -> None:
    now = 1_800_000_000.0
    assert retry_after({"retry-after": formatdate(now + 90, usegmt=True)}, now) == 90.0


@given(st.text(max_size=40))
def test_any_header_is_survived(value: str) -> None:
    seconds = retry_after({"retry-after": value}, time.time())
    assert seconds is None or seconds >= 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "metadata", "raw", "reasons", "detail"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_body_is_survived(body: Any) -> None:
    failure = error_of(400, {}, json.dumps(body).encode(), ENDPOINT)
    assert isinstance(failure, ProviderError)
