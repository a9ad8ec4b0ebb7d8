"""The default carrier: plain HTTP."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

import httpx2

from hermes.contracts.errors import ConfigError
from hermes.contracts.provider import Endpoint
from hermes.contracts.values import Value

from .failures import RAISED, alone, failure_of

CONNECT_TIMEOUT = 20.0
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=60.0)


class Outgoing(Value, kw_only=True):
    """A request as it leaves. ``path`` comes behind the endpoint's address; ``timeout``: seconds without a byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    timeout: float


class Incoming(Protocol):
    """An answer whose body has not been read."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""

    def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises a `ProviderError` where it breaks."""


class Carrier(Protocol):
    """Moves bytes to an endpoint and back. Leaving the context closes what is open."""

    def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AbstractAsyncContextManager[Incoming]: ...

    async def close(self) -> None: ...


class HttpCarrier:
    """One client, with its pool of connections, an address and event loop."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx2.AsyncClient]]
        self._clients = WeakKeyDictionary()

    async def signed(self, endpoint: Endpoint, outgoing: Outgoing, url: str) -> dict[str, str]:
        """The headers to send. For carriers whose authentication depends on the whole request."""
        return outgoing.headers

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        try:
            with mapped(endpoint):
                response = await self.sent(endpoint, outgoing)
        except (OverflowError, ExceptionGroup) as error:
            if not isinstance(cause := alone(error), OverflowError):
                raise
            raise failure_of(cause, endpoint) from None
        with mapped(endpoint):
            try:
                yield Received(response, endpoint)
            finally:
                await response.aclose()

    async def sent(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        """The answer to ``outgoing``, its body not read; for carriers that send through a client of the vendor's."""
        url = f"{endpoint.base_url.rstrip('/')}{outgoing.path}"
        headers = await self.signed(endpoint, outgoing, url)
        client = self._client(endpoint)
        request = client.build_request(
            outgoing.method, url, content=outgoing.body or None, headers=headers, timeout=timeout_of(outgoing)
        )
        return await client.send(request, stream=True)

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    def _client(self, endpoint: Endpoint) -> httpx2.AsyncClient:
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        client = clients.get(endpoint.base_url)
        if client is None:
            secure = not endpoint.base_url.lower().startswith("http://")
            try:
                client = httpx2.AsyncClient(verify=_trust() if secure else _no_trust(), limits=LIMITS)
            except (ImportError, ValueError) as error:
                raise ConfigError(
                    f"The proxy that the environment names cannot be used: {error}",
                    hint='Check HTTPS_PROXY and ALL_PROXY; for a SOCKS proxy: pip install "httpx2[socks]"',
                ) from None
            clients[endpoint.base_url] = client
        return client


class Received:
    """An answer of the HTTP library's."""

    def __init__(self, response: httpx2.Response, endpoint: Endpoint) -> None:
        self._response = response
        self._endpoint = endpoint
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncGenerator[bytes]:
        response = self._response
        # What is not compressed needs none of the response's own layers, which cost as much as all that is done here.
        encoded = response.headers.get("content-encoding", "identity") != "identity"
        source = response.aiter_bytes() if encoded or response.is_stream_consumed else response.stream
        with mapped(self._endpoint, answering=response.is_success):
            async for piece in source:  # type: ignore[union-attr]
                yield piece


def timeout_of(outgoing: Outgoing) -> httpx2.Timeout:
    return httpx2.Timeout(outgoing.timeout, connect=min(CONNECT_TIMEOUT, outgoing.timeout))


@contextmanager
def mapped(endpoint: Endpoint, *, answering: bool = False) -> Iterator[None]:
    """Turns what the HTTP library raises into one of our errors. ``answering``: the answer has begun."""
    try:
        yield
    except RAISED as error:
        # The library's own words may hold a header with the key in it; without a cause they are not logged.
        raise failure_of(error, endpoint, answering=answering) from None


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities this machine trusts. Loading them takes more than 20 ms, so it happens once, for https only."""
    return httpx2.create_ssl_context()


def _no_trust() -> ssl.SSLContext:
    """For addresses without TLS: should a connection use it all the same, it trusts nobody and fails."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
