"""The transport ``bedrock_converse``: the codec, its carriers, and what is tried again another way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from hermes.contracts.errors import BadRequest, ModelNotFound, NotEntitled, ProviderError
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import Endpoint, ModelList, ModelRequest, ModelsQuery, ProviderCapabilities
from hermes_carrier.http import Carrier
from hermes_carrier.provider import HttpProvider

from .codec import ConverseCodec
from .listing import PROFILES_PATH
from .quirks import Quirks
from .regions import control_plane
from .repairs import repair_of

KEY_OPTIONS = ("access_key", "profile", "role")
"""Options that stand for credentials by which requests are signed."""

log = logging.getLogger(__name__)


class BedrockConverse(HttpProvider):
    """The transport ``bedrock_converse``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(
            ConverseCodec(),
            capabilities,
            sdk="hermes_plugin_bedrock.sigv4:SigV4Carrier",
            install="hermes-plugin-bedrock[sdk]",
        )
        self._learnt: dict[tuple[str, str], dict[str, Any]] = {}
        """Quirks of a model at an address that its refusals told."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        place = (request.endpoint.base_url, request.model)
        asked = _changed(request, self._learnt.get(place, {}))
        kept: dict[str, Any] = {}
        first: ProviderError | None = None
        while True:
            try:
                begun = False
                async with aclosing(super().stream(asked)) as events:  # type: ignore[type-var]
                    async for event in events:
                        if not begun:
                            begun = True
                            self._learn(place, kept)
                        yield event
                return
            except ProviderError as error:
                repair = None if begun else repair_of(asked, error)
                if repair is None:
                    # Of a model that no profile serves, the answer to its own id says most.
                    raise (first if first is not None and isinstance(error, ModelNotFound) else error) from None
                log.debug("%s; asking again %s", error, repair.said)
                first = first or (error if "profile" in repair.quirks else None)
                asked = _changed(asked, repair.quirks)
                kept.update(repair.quirks if repair.keep else {})

    async def models(self, query: ModelsQuery) -> ModelList:
        """What can be called by its own id, then what is called by a profile."""
        endpoint = msgspec.structs.replace(query.endpoint, base_url=control_plane(query.endpoint.base_url))
        models = await self.listed(endpoint, self.codec.models_path)
        try:
            models += await self.listed(endpoint, PROFILES_PATH)
        except (NotEntitled, ModelNotFound, BadRequest) as error:
            if isinstance(error, BadRequest) and error.status != 404:
                raise
            log.debug("inference profiles are not listed: %s", error)
        return ModelList(models=tuple(models))

    def _carrier(self, endpoint: Endpoint) -> Carrier:
        """Without a key, requests are signed with the credentials that the options name."""
        if not endpoint.key and any(endpoint.options.get(name) for name in KEY_OPTIONS):
            endpoint = msgspec.structs.replace(endpoint, carrier="sdk")
        return super()._carrier(endpoint)

    def _learn(self, place: tuple[str, str], kept: dict[str, Any]) -> None:
        if kept:
            self._learnt[place] = {**self._learnt.get(place, {}), **kept}


def _changed(request: ModelRequest, quirks: dict[str, Any]) -> ModelRequest:
    if not quirks and Quirks.of(request.endpoint).stream:
        return request
    endpoint = msgspec.structs.replace(request.endpoint, quirks={**request.endpoint.quirks, **quirks})
    if not Quirks.of(endpoint).stream:
        endpoint = msgspec.structs.replace(endpoint, headers={"accept": "application/json", **endpoint.headers})
    return msgspec.structs.replace(request, endpoint=endpoint)
