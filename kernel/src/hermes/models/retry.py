"""From the class of an error to what is done about it: one table for all providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hermes.contracts.errors import (
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

LONGEST_WAIT = 60.0
"""Seconds. A provider that asks for more is not waited for."""
FIRST_WAIT = 0.5

Class = Literal["rate", "overload", "network", "money", "permission", "auth", "overflow", "request", "model", "content"]
Step = Literal["refresh", "rotate", "compress", "fall_back", "wait"]

STEPS: dict[Class, tuple[Step, ...]] = {
    "rate": ("rotate", "fall_back", "wait"),
    "overload": ("wait", "fall_back"),
    "network": ("wait", "fall_back"),
    "money": ("rotate", "fall_back"),
    "permission": (),
    "auth": ("refresh", "rotate"),
    "overflow": ("compress",),
    "request": (),
    "model": (),
    "content": (),
}
"""What is tried, in order; the first that can be done is. With nothing left the error is raised.

``refresh``: a token is renewed. ``rotate``: another key of the same provider. ``compress``: the context engine
makes the conversation shorter, once. ``fall_back``: the next of ``fallback_providers``. ``wait``: the same call again,
later.

A rate limit is not waited for where there is somewhere else to go: with a single key, waiting only meets the same
limit again. A wrong key is nobody else's to make good: it is told, not hidden by a fallback.
"""

_CLASSES: tuple[tuple[type[ProviderError], Class], ...] = (
    (RateLimited, "rate"),
    (Overloaded, "overload"),
    (ConnectionFailed, "network"),
    (StreamBroken, "network"),
    (AuthenticationFailed, "auth"),
    (ContextOverflow, "overflow"),
    (ModelNotFound, "model"),
    (ContentRefused, "content"),
    (BadRequest, "request"),
)


def class_of(error: ProviderError) -> Class:
    if isinstance(error, NotEntitled):
        return "permission" if error.status in (401, 403) else "money"
    return next((name for kind, name in _CLASSES if isinstance(error, kind)), "request")


def seconds_to_wait(error: ProviderError, *, attempt: int, retries: int, jitter: Callable[[], float]) -> float | None:
    """Before the next call, after the ``attempt``-th (from 1) failed; None if there is to be none.

    ``jitter`` gives a number from 0 to 1. What the provider asks for is the least that is waited.
    """
    asked = error.retry_after or 0.0
    if attempt > retries or asked > LONGEST_WAIT:
        return None
    back_off = FIRST_WAIT * 2.0 ** (attempt - 1)
    return min(max(back_off / 2 + back_off / 2 * jitter(), asked), LONGEST_WAIT)
