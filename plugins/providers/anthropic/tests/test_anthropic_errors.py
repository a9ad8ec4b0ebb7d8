"""Which of our errors a refusal is, what it says, and what the user can do."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    Endpoint,
    ModelInfo,
    ModelNotFound,
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
)
from hermes_plugin_anthropic.codec import AnthropicMessagesCodec

KEY = "sk-ant-api03-0123456789abcdef"
ENDPOINT = Endpoint(
    provider="acme",
    base_url="http://acme.test",
    key=KEY,
    key_source="env:ACME_API_KEY",
    billing_url="https://acme.test/billing",
    key_url="https://acme.test/keys",
)


def refused(
    status: int, kind: str = "", message: str = "No.", *, code: str = "", endpoint: Endpoint = ENDPOINT, **headers: str
) -> ProviderError:
    error: dict[str, Any] = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_2"})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return AnthropicMessagesCodec().error_of(status, named, body.encode(), endpoint, "a-model")


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", BadRequest),
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", ContextOverflow),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 9",
            ContextOverflow,
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ContentRefused),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", NotEntitled),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", NotEntitled),
        (401, "authentication_error", "invalid x-api-key", AuthenticationFailed),
        (403, "permission_error", "OAuth token has been revoked. Please obtain a new token.", AuthenticationFailed),
        (402, "billing_error", "There is an issue with your billing.", NotEntitled),
        (403, "permission_error", "Your API key may not do that.", NotEntitled),
        (404, "not_found_error", "model: claude-x", ModelNotFound),
        (409, "conflict_error", "Conflict", Overloaded),
        (413, "request_too_large", "Request exceeds the maximum size", ContextOverflow),
        (429, "rate_limit_error", "This request would exceed your rate limit.", RateLimited),
        (429, "rate_limit_error", "Extra usage is required for long context requests.", NotEntitled),
        (500, "api_error", "Internal server error", Overloaded),
        (504, "timeout_error", "Timed out", Overloaded),
        (529, "overloaded_error", "Overloaded", Overloaded),
    ],
)
def test_the_class_says_what_to_do(status: int, kind: str, message: str, error: type[ProviderError]) -> None:
    failure = refused(status, kind, message, request_id="req_2")
    assert type(failure) is error
    assert str(failure) == f"acme: {status} {kind}: {message}"
    assert (failure.status, failure.code, failure.request_id) == (status, kind, "req_2")
    assert failure.hint
    if error is NotEntitled:
        assert "https://acme.test/billing" in failure.hint


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_limit_of_money_is_not_waited_for(code: str) -> None:
    failure = refused(429, "rate_limit_error", "Spent.", code=code)
    assert type(failure) is NotEntitled
    assert failure.code == code


def test_a_rate_limit_says_how_long_to_wait() -> None:
    assert refused(429, "rate_limit_error", retry_after="7").retry_after == 7.0
    assert refused(429, "rate_limit_error", retry_after_ms="250").retry_after == 0.25
    assert refused(429, "rate_limit_error").retry_after is None


def test_what_to_do_about_a_key_and_about_a_login() -> None:
    assert refused(401, "authentication_error").hint == (
        "Check the key in env:ACME_API_KEY: it is not accepted by http://acme.test. "
        "Make a new one: https://acme.test/keys"
    )
    login = msgspec.structs.replace(ENDPOINT, token=True)
    assert "hermes auth login acme" in refused(401, "authentication_error", endpoint=login).hint


def test_the_key_is_never_repeated() -> None:
    failure = refused(401, "authentication_error", f"{KEY} is not valid")
    assert KEY not in str(failure) + failure.hint


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b'{"error": "words"}', b'{"error": null}'])
def test_bodies_of_another_form(body: bytes) -> None:
    assert type(AnthropicMessagesCodec().error_of(502, {}, body, ENDPOINT)) is Overloaded


def test_models_are_listed_with_what_is_known_of_them() -> None:
    yes, no = {"supported": True}, {"supported": False}
    listed = {
        "data": [
            {"id": "plain", "type": "model", "display_name": "Plain"},
            {
                "id": "known",
                "max_input_tokens": 1_000_000,
                "max_tokens": 128_000,
                "lifecycle": "deprecated",
                "retires_at": "2026-11-30T00:00:00Z",
                "capabilities": {"image_input": yes, "pdf_input": no},
            },
            {"id": "gone", "lifecycle": "retired"},
        ],
        "has_more": False,
    }
    assert AnthropicMessagesCodec().models(json.dumps(listed).encode()) == [
        ModelInfo(id="plain"),
        ModelInfo(id="known", context_window=1_000_000, max_output=128_000, retires="2026-11-30", inputs=["image"]),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"html", b'{"data": 3}'])
def test_a_list_of_models_that_is_none(body: bytes) -> None:
    assert AnthropicMessagesCodec().models(body) is None
