"""From the class of an error to what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from hermes.contracts.errors import (
    ConnectionFailed,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamBroken,
)

LONGEST_WAIT = 60.0
"""Seconds. A provider that asks for more is not waited for."""
FIRST_WAIT = 0.5

TRANSIENT = (Overloaded, ConnectionFailed, StreamBroken)


class Step(NamedTuple):
    action: Literal["retry", "fall_back", "stop"]
    seconds: float = 0.0


def next_step(
    error: ProviderError, *, attempt: int, retries: int, has_fallback: bool, jitter: Callable[[], float]
) -> Step:
    """What follows the failure of the ``attempt``-th call (from 1) to one provider.

    ``jitter`` gives a number from 0 to 1. A rate limit is not waited for where there is somewhere else to
    go: with a single key, waiting only meets the same limit again.
    """
    if isinstance(error, RateLimited):
        if has_fallback:
            return Step("fall_back")
    elif not isinstance(error, TRANSIENT):
        return Step("stop")
    if attempt > retries:
        return Step("fall_back" if has_fallback else "stop")
    back_off = FIRST_WAIT * 2 ** (attempt - 1)
    seconds = back_off / 2 + back_off / 2 * jitter()
    if error.retry_after is not None:
        if error.retry_after > LONGEST_WAIT:
            return Step("fall_back" if has_fallback else "stop")
        seconds = max(seconds, error.retry_after)
    return Step("retry", min(seconds, LONGEST_WAIT))
