"""A `Provider` made of a codec and its carriers."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from hermes import __version__
from hermes.contracts.errors import AuthenticationFailed, BadRequest, ConfigError, ProviderError
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import (
    Endpoint,
    ModelInfo,
    ModelList,
    ModelRequest,
    ModelsQuery,
    ProviderCapabilities,
)

from .codec import Codec
from .errors import address_of, request_id_of
from .http import Carrier, HttpCarrier, Incoming, Outgoing

MODELS_TIMEOUT = 30.0
DRAIN_TIMEOUT = 0.25
"""Seconds to wait for the end of a body whose answer is whole, so that its connection can serve again."""
ERROR_BODY_LIMIT = 64 * 1024


class HttpProvider:
    """``http`` makes the default carrier, ``sdk`` the other one, as ``module:Class``; that is imported when an endpoint
    asks for it. ``install``: what has to be installed for it, e.g. ``hermes-plugin-anthropic[sdk]``.
    """

    def __init__(
        self,
        codec: Codec,
        capabilities: ProviderCapabilities,
        *,
        http: Callable[[], Carrier] = HttpCarrier,
        sdk: str = "",
        install: str = "",
    ) -> None:
        self.codec = codec
        self.capabilities = capabilities
        self._http = http
        self._sdk = sdk
        self._install = install
        self._carriers: dict[str, Carrier] = {}

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        endpoint, codec = request.endpoint, self.codec
        carrier = self._carrier(endpoint)
        outgoing = Outgoing(
            method="POST",
            path=codec.path(request),
            headers=self._headers(endpoint, accept=codec.stream_type),
            body=codec.encode(request),
            timeout=request.timeout,
        )
        async with carrier.open(endpoint, outgoing) as incoming:
            if not 200 <= incoming.status < 300:
                body = await _beginning(incoming)
                raise codec.error_of(incoming.status, incoming.headers, body, endpoint, request.model)
            decoder = codec.decoder(request, request_id_of(incoming.headers))
            if self._is_whole(incoming, endpoint):
                for event in decoder.whole(await _whole(incoming)):
                    yield event
                return
            # Written out here: another generator costs as much for each event as a decoder.
            async with aclosing(incoming.pieces()) as pieces:
                async for data in pieces:
                    for event in decoder.feed(data):
                        yield event
                    if decoder.ended:
                        await _drain(pieces)
                        return
            for event in decoder.finish():
                yield event

    async def models(self, query: ModelsQuery) -> ModelList:
        """What the endpoint lists, in its order."""
        return ModelList(models=tuple(await self.listed(query.endpoint, self.codec.models_path)))

    async def listed(self, endpoint: Endpoint, path: str) -> list[ModelInfo]:
        """What one request for a list of models gives."""
        codec = self.codec
        headers = self._headers(endpoint, accept="application/json")
        outgoing = Outgoing(method="GET", path=path, headers=headers, timeout=MODELS_TIMEOUT)
        async with self._carrier(endpoint).open(endpoint, outgoing) as incoming:
            if not 200 <= incoming.status < 300:
                raise codec.error_of(incoming.status, incoming.headers, await _beginning(incoming), endpoint)
            listed = codec.models(await _whole(incoming))
        if listed is None:
            raise BadRequest(
                f"{endpoint.provider}: {address_of(endpoint)}{path} answers with no list of models.",
                provider=endpoint.provider,
                status=incoming.status,
                hint=f"Check the address: providers.{endpoint.provider}.base_url.",
            )
        return listed

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        for carrier in self._carriers.values():
            await carrier.close()

    def _carrier(self, endpoint: Endpoint) -> Carrier:
        carrier = self._carriers.get(endpoint.carrier)
        if carrier is None:
            carrier = self._carriers[endpoint.carrier] = self._http() if endpoint.carrier == "http" else self._made()
        return carrier

    def _made(self) -> Carrier:
        if not self._sdk:
            raise ConfigError(
                f'The carrier "sdk" is not available for the wire {self.codec.name}.',
                hint="Set the provider's carrier to http.",
            )
        module, _, name = self._sdk.partition(":")
        try:
            made: Carrier = getattr(importlib.import_module(module), name)()
        except ImportError as error:
            raise ConfigError(
                f'The carrier "sdk" of the wire {self.codec.name} needs {error.name}, which is not installed.',
                hint=f'pip install "{self._install}"',
            ) from None
        return made

    def _headers(self, endpoint: Endpoint, *, accept: str) -> dict[str, str]:
        """The headers of a request. The endpoint's own replace ours.

        Raises:
            ConfigError: there is no address, or a header cannot be sent.
            AuthenticationFailed: the key cannot be one.
        """
        name = endpoint.provider
        if not endpoint.base_url:
            raise ConfigError(
                f'The provider "{name}" has no address.',
                hint=f"Set providers.{name}.base_url to something like https://host/v1",
            )
        if not (endpoint.key.isascii() and endpoint.key.isprintable()):
            raise AuthenticationFailed(
                f"{name}: the key in {endpoint.key_source or 'use'} has characters that no key has.",
                provider=name,
                hint="Copy it again, without line breaks, quotes or dots that stand for the rest.",
            )
        headers = {
            "accept": accept,
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"hermes/{__version__}",
            **self.codec.headers(endpoint),
        }
        for header, value in endpoint.headers.items():
            if not (header.isascii() and value.isascii() and value.isprintable()):
                raise ConfigError(f'The header "{header}" cannot be sent.', hint=f"Mend providers.{name}.headers.")
            headers[header.lower()] = value
        return headers

    def _is_whole(self, incoming: Incoming, endpoint: Endpoint) -> bool:
        """Whether the answer is one JSON body. Raises BadRequest for a web page."""
        kind = incoming.headers.get("content-type", "").lower()
        if "html" in kind:
            raise BadRequest(
                f"{endpoint.provider}: {address_of(endpoint)} answers with a web page, not as an API.",
                provider=endpoint.provider,
                status=incoming.status,
                hint=f"Check the address: providers.{endpoint.provider}.base_url. It often ends in /v1.",
            )
        return "json" in kind and self.codec.stream_type not in kind


async def _whole(incoming: Incoming) -> bytes:
    return b"".join([piece async for piece in incoming.pieces()])


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Reads to the end of the body, for the connection's sake: the answer is whole, so a failure does not matter."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in pieces:
                pass
    except (TimeoutError, ProviderError):
        return


async def _beginning(incoming: Incoming) -> bytes:
    """The body of an error as far as it is of use; the status counts more than a body that does not come."""
    body = b""
    try:
        async for piece in incoming.pieces():
            body += piece
            if len(body) >= ERROR_BODY_LIMIT:
                break
    except ProviderError:
        return body
    return body
