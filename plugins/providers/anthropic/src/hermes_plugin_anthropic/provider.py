"""The transport ``anthropic_messages``: the codec, its carriers, and what is tried again another way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from hermes.contracts.errors import BadRequest
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import ModelList, ModelRequest, ModelsQuery, ProviderCapabilities
from hermes_carrier.provider import HttpProvider

from .codec import VERSION_PATH, AnthropicMessagesCodec

_SIGNED = re.compile(r"signature|thinking`? blocks?", re.IGNORECASE)


class AnthropicMessages(HttpProvider):
    """The transport ``anthropic_messages``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(
            AnthropicMessagesCodec(),
            capabilities,
            sdk="hermes_plugin_anthropic.sdk:SdkCarrier",
            install="hermes-plugin-anthropic[sdk]",
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Where the vendor refuses thinking that it signed, as for another account, the request goes without it."""
        try:
            async with aclosing(super().stream(request)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
            return
        except BadRequest as error:
            bare = _without_state(request)
            if error.status != 400 or not _SIGNED.search(str(error)) or bare == request:
                raise
        async with aclosing(super().stream(bare)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def models(self, query: ModelsQuery) -> ModelList:
        """What the endpoint lists, in its order."""
        root = query.endpoint.base_url.removesuffix(VERSION_PATH)
        return await super().models(ModelsQuery(endpoint=msgspec.structs.replace(query.endpoint, base_url=root)))


def _without_state(request: ModelRequest) -> ModelRequest:
    messages = tuple(msgspec.structs.replace(message, provider_state=()) for message in request.messages)
    return msgspec.structs.replace(request, messages=messages)
