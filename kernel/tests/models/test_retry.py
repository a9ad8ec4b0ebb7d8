"""From errors to what is done about them, and how long is waited."""

from __future__ import annotations

import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    ContentRefused,
    ContextOverflow,
    ModelNotFound,
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamBroken,
)
from hermes.models.retry import LONGEST_WAIT, STEPS, class_of, seconds_to_wait


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited("x"), "rate"),
        (Overloaded("x"), "overload"),
        (ConnectionFailed("x"), "network"),
        (StreamBroken("x"), "network"),
        (NotEntitled("x", status=402), "money"),
        (NotEntitled("x", status=429), "money"),
        (NotEntitled("x", status=403), "permission"),
        (AuthenticationFailed("x"), "auth"),
        (ContextOverflow("x"), "overflow"),
        (BadRequest("x"), "request"),
        (ModelNotFound("x"), "model"),
        (ContentRefused("x"), "content"),
        (ProviderError("x"), "request"),
    ],
)
def test_every_error_has_a_class(error: ProviderError, expected: str) -> None:
    assert class_of(error) == expected


def test_every_kind_of_error_is_in_the_table() -> None:
    for kind in ProviderError.__subclasses__():
        assert class_of(kind("x")) in STEPS


def test_a_rate_limit_is_waited_for_only_where_there_is_nowhere_else_to_go() -> None:
    assert STEPS["rate"] == ("rotate", "fall_back", "wait")
    assert STEPS["overload"] == STEPS["network"] == ("wait", "fall_back")


@pytest.mark.parametrize("name", ["permission", "request", "model", "content"])
def test_what_another_try_cannot_mend_is_told_at_once(name: str) -> None:
    assert STEPS[name] == ()  # type: ignore[index]


def test_waits_grow_and_end() -> None:
    waits = [seconds_to_wait(Overloaded("x"), attempt=n, retries=3, jitter=lambda: 1.0) for n in (1, 2, 3, 4)]
    assert waits == [0.5, 1.0, 2.0, None]
    assert seconds_to_wait(Overloaded("x"), attempt=1, retries=3, jitter=lambda: 0.0) == 0.25


def test_what_the_provider_asks_is_the_least_that_is_waited() -> None:
    def asked(seconds: float) -> float | None:
        return seconds_to_wait(RateLimited("x", retry_after=seconds), attempt=1, retries=9, jitter=lambda: 0.0)

    assert asked(7) == 7
    assert asked(0) == 0.25
    assert asked(LONGEST_WAIT + 1) is None
