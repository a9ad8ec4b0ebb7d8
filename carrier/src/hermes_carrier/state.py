"""What a provider wants back with an answer of its own, and nobody else may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.messages import Message, ProviderState
from hermes.contracts.provider import ModelRequest


def tagged(request: ModelRequest, data: Mapping[str, Any]) -> ProviderState:
    """State to keep with the answer to ``request``."""
    return ProviderState(
        provider=request.endpoint.provider,
        model=request.model,
        endpoint=request.endpoint.base_url,
        data=msgspec.json.encode(data).decode(),
    )


def state_of(message: Message, request: ModelRequest) -> dict[str, Any]:
    """What the same model at the same place said of itself with this message; nothing of any other."""
    found: dict[str, Any] = {}
    wanted = (request.endpoint.provider, request.model, request.endpoint.base_url)
    for state in message.provider_state:
        if (state.provider, state.model, state.endpoint) == wanted:
            data = msgspec.json.decode(state.data)
            if isinstance(data, Mapping):
                found.update(data)
    return found
