"""Which of our errors Google's refusals are, in its own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
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
from hermes_plugin_gemini.codec import GeminiCodec

KEY = "AIza-0123456789abcdef"
ENDPOINT = Endpoint(
    provider="gemini",
    base_url="http://gemini.test/v1beta",
    key=KEY,
    key_source="env:GEMINI_API_KEY",
    key_url="https://keys.test",
    billing_url="https://billing.test",
)
RPC = "type.googleapis.com/google.rpc."


def refused(status: int, word: str, message: str, *details: Any, as_list: bool = False) -> ProviderError:
    body: Any = {"error": {"code": status, "status": word, "message": message, "details": list(details)}}
    encoded = json.dumps([body] if as_list else body).encode()
    return GeminiCodec().error_of(status, {}, encoded, ENDPOINT, "gemini-x")


@pytest.mark.parametrize(
    ("status", "word", "message", "kind"),
    [
        (400, "INVALID_ARGUMENT", "* contents is not specified", BadRequest),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", AuthenticationFailed),
        (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", AuthenticationFailed),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            ContextOverflow,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The prompt could not be submitted. It contains content that is prohibited.",
            ContentRefused,
        ),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", NotEntitled),
        (400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country.", NotEntitled),
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", AuthenticationFailed),
        (402, "FAILED_PRECONDITION", "Your prepayment credits are depleted.", NotEntitled),
        (403, "PERMISSION_DENIED", "The caller does not have permission", NotEntitled),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another.", AuthenticationFailed),
        (403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers", AuthenticationFailed),
        (404, "NOT_FOUND", "models/gemini-x is not found for API version v1beta", ModelNotFound),
        (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", RateLimited),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota. limit: 0, model: gemini-x", NotEntitled),
        (499, "CANCELLED", "The operation was cancelled.", Overloaded),
        (500, "INTERNAL", "An internal error has occurred.", Overloaded),
        (503, "UNAVAILABLE", "The model is overloaded.", Overloaded),
        (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", Overloaded),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_the_class_says_what_to_do(
    status: int, word: str, message: str, kind: type[ProviderError], as_list: bool
) -> None:
    failure = refused(status, word, message, as_list=as_list)
    assert type(failure) is kind
    assert (failure.status, failure.code) == (status, word)
    assert str(failure) == f"gemini: {status} {word}: {message}"
    assert failure.hint


def quota(quota_id: str, value: str = "10") -> dict[str, Any]:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": quota_id, "quotaValue": value}]}


def test_how_long_to_wait_is_in_the_body() -> None:
    wait = {"@type": f"{RPC}RetryInfo", "retryDelay": "34.07s"}
    minute = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
    failure = refused(429, "RESOURCE_EXHAUSTED", "Slow down", minute, wait)
    assert type(failure) is RateLimited
    assert failure.retry_after == 34.07
    assert refused(429, "RESOURCE_EXHAUSTED", "x", {"retryDelay": "soon"}).retry_after is None


@pytest.mark.parametrize(
    "used_up", [quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), quota("PerMinute", "0")]
)
def test_a_quota_of_a_day_or_of_nothing_is_no_matter_of_waiting(used_up: dict[str, Any]) -> None:
    failure = refused(429, "RESOURCE_EXHAUSTED", "Quota", {"@type": f"{RPC}RetryInfo", "retryDelay": "3s"}, used_up)
    assert type(failure) is NotEntitled
    assert "https://billing.test" in failure.hint


def test_a_wrong_key_says_where_it_was_found_and_where_to_make_another() -> None:
    failure = refused(400, "INVALID_ARGUMENT", f"API key not valid: {KEY}")
    assert "env:GEMINI_API_KEY" in failure.hint
    assert "https://keys.test" in failure.hint
    assert KEY not in f"{failure} {failure.hint}"


def test_a_signature_that_google_does_not_take_says_what_helps() -> None:
    for words in (
        "Function call is missing a thought_signature in functionCall parts.",
        "Corrupted thought signature.",
    ):
        failure = refused(400, "INVALID_ARGUMENT", words)
        assert type(failure) is BadRequest
        assert "new session" in failure.hint


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "code", "status", "message", "details", "violations", "retryDelay"]), inner
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from([400, 403, 429, 500]),
)
@example({"error": {"details": True}}, 400)
def test_a_body_of_any_form_is_an_error_of_ours(body: Any, status: int) -> None:
    failure = GeminiCodec().error_of(status, {}, json.dumps(body).encode(), ENDPOINT, "m")
    assert failure.status == status
    assert failure.hint
