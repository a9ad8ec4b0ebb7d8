"""What settings add to the body of every request: ``ModelRequest.extra``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes.contracts.errors import BadRequest
from hermes.contracts.provider import ModelRequest


def refuse_extra(request: ModelRequest, member: str) -> None:
    """Raises BadRequest if ``member``, which holds the conversation, would be replaced."""
    if member in request.extra:
        raise BadRequest(
            f"`{member}` cannot be sent as an extra member of the request.",
            provider=request.endpoint.provider,
            hint="Remove it from the extra options.",
        )


def merged(ours: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` laid over a body: objects are merged, lists are joined, such as a vendor's own tool beside ours."""
    found = dict(ours)
    for name, value in extra.items():
        known = found.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            found[name] = merged(known, value)
        elif isinstance(known, list | tuple) and isinstance(value, list | tuple):
            found[name] = [*known, *value]
        else:
            found[name] = value
    return found
