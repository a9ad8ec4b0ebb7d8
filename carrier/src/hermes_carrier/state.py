"""What a provider wants back with an answer of its own, and nobody else may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.messages import Message, ProviderState
from hermes.contracts.provider import ModelRequest

from .errors import address_of


def tagged(request: ModelRequest, data: Mapping[str, Any]) -> ProviderState:
    """State to keep with the answer to ``request``."""
    return ProviderState(
        provider=request.endpoint.provider,
        model=request.model,
        endpoint=address_of(request.endpoint),
        data=msgspec.json.encode(data).decode(),
    )


def state_of(message: Message, request: ModelRequest) -> dict[str, Any]:
    """What the same model at the same place said of itself with this message; nothing of any other."""
    found: dict[str, Any] = {}
    if not message.provider_state:
        return found
    wanted = (request.endpoint.provider, request.model, address_of(request.endpoint))
    for state in message.provider_state:
        if (state.provider, state.model, state.endpoint) == wanted:
            data = msgspec.json.decode(state.data)
            if isinstance(data, Mapping):
                found.update(data)
    return found
