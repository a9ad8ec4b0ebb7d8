"""Carries Chat Completions over plain HTTP."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import httpx2
import msgspec

from hermes import __version__
from hermes.contracts.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectionFailed,
    ProviderError,
    StreamBroken,
)
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import (
    Endpoint,
    ModelInfo,
    ModelList,
    ModelRequest,
    ModelsQuery,
    ProviderCapabilities,
)

from .codec import Decoder, encode
from .errors import error_of, request_id_of, without_key

CONNECT_TIMEOUT = 20.0
MODELS_TIMEOUT = 30.0
DRAIN_TIMEOUT = 0.25
"""Seconds to wait for the end of a body whose answer is whole, so that its connection can serve again."""
ERROR_BODY_LIMIT = 64 * 1024
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=60.0)

FAILURES: tuple[tuple[type[Exception], type[ProviderError], str], ...] = (
    (httpx2.ConnectTimeout, ConnectionFailed, "no connection in time"),
    (httpx2.PoolTimeout, ConnectionFailed, "no connection was free in time"),
    (httpx2.ConnectError, ConnectionFailed, "no connection"),
    (httpx2.ProxyError, ConnectionFailed, "the proxy refuses"),
    (httpx2.UnsupportedProtocol, BadRequest, "the address is not http or https"),
    (httpx2.LocalProtocolError, BadRequest, "the request cannot be sent as it is"),
    (httpx2.InvalidURL, BadRequest, "the address is no URL"),
    (httpx2.CookieConflict, BadRequest, "the cookies contradict each other"),
    (httpx2.TooManyRedirects, BadRequest, "the address redirects in circles"),
    (httpx2.ReadTimeout, StreamBroken, "nothing came for too long"),
    (httpx2.TimeoutException, StreamBroken, "it took too long"),
    (httpx2.DecodingError, StreamBroken, "the answer is damaged"),
    (httpx2.NetworkError, StreamBroken, "the connection broke"),
    (httpx2.ProtocolError, StreamBroken, "the connection broke"),
    (httpx2.SSEError, StreamBroken, "the stream is damaged"),
    (httpx2.StreamError, StreamBroken, "the stream is closed"),
    (httpx2.HTTPError, StreamBroken, "the exchange failed"),
)
"""What the HTTP library raises, the most special first; the sentence says it in our words."""


class ChatCompletions:
    """The transport ``chat_completions``. One client, with its pool of connections, an address and event loop."""

    capabilities = ProviderCapabilities(
        images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
    )

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx2.AsyncClient]]
        self._clients = WeakKeyDictionary()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        endpoint = request.endpoint
        headers = _headers(endpoint, accept="text/event-stream")
        body = encode(request)
        timeout = httpx2.Timeout(request.timeout, connect=min(CONNECT_TIMEOUT, request.timeout))
        with _mapped(endpoint):
            client, url = self._client(endpoint), f"{endpoint.base_url.rstrip('/')}/chat/completions"
            async with client.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    raise error_of(
                        response.status_code, response.headers, await _beginning(response), endpoint, request.model
                    )
                with _mapped(endpoint, answering=True):
                    async for event in _events(response, request):
                        yield event

    async def models(self, query: ModelsQuery) -> ModelList:
        """What the endpoint lists, in its order."""
        endpoint = query.endpoint
        headers = _headers(endpoint, accept="application/json")
        with _mapped(endpoint):
            client, url = self._client(endpoint), f"{endpoint.base_url.rstrip('/')}/models"
            response = await client.get(url, headers=headers, timeout=MODELS_TIMEOUT)
        if not response.is_success:
            raise error_of(response.status_code, response.headers, response.content, endpoint)
        try:
            listed = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            listed = None
        entries = listed.get("data") if isinstance(listed, Mapping) else listed
        if not isinstance(entries, list):
            raise BadRequest(
                f"{endpoint.provider}: {url} answers with no list of models.",
                provider=endpoint.provider,
                status=response.status_code,
                hint=f"Check the address: providers.{endpoint.provider}.base_url.",
            )
        return ModelList(models=tuple(_model(entry) for entry in entries if isinstance(entry, dict) and "id" in entry))

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


async def _events(response: httpx2.Response, request: ModelRequest) -> AsyncIterator[ModelEvent]:
    kind = response.headers.get("content-type", "").lower()
    if "html" in kind:
        name = request.endpoint.provider
        raise BadRequest(
            f"{name}: {request.endpoint.base_url} answers with a web page, not as an API.",
            provider=name,
            status=response.status_code,
            hint=f"Check the address: providers.{name}.base_url. It often ends in /v1.",
        )
    decoder = Decoder(request, request_id_of(response.headers))
    if "json" in kind and "event-stream" not in kind:
        for event in decoder.whole(await response.aread()):
            yield event
        return
    pieces = response.aiter_bytes()
    async for data in pieces:
        for event in decoder.feed(data):
            yield event
        if decoder.ended:
            await _drain(pieces)
            return
    for event in decoder.finish():
        yield event


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Reads to the end of the body, for the connection's sake: the answer is whole, so a failure does not matter."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in pieces:
                pass
    except (TimeoutError, httpx2.HTTPError):
        return


async def _beginning(response: httpx2.Response) -> bytes:
    """The body of an error as far as it is of use; the status counts more than a body that does not come."""
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) >= ERROR_BODY_LIMIT:
                break
    except httpx2.HTTPError:
        return body
    return body


def _headers(endpoint: Endpoint, *, accept: str) -> dict[str, str]:
    """The headers of a request. The endpoint's own replace ours.

    Raises:
        ConfigError: there is no address, a header cannot be sent, or another carrier is asked for.
        AuthenticationFailed: the key cannot be one.
    """
    name = endpoint.provider
    if endpoint.carrier != "http":
        raise ConfigError(
            f'The carrier "{endpoint.carrier}" is not available for the wire chat_completions.',
            hint=f"Remove providers.{name}.carrier, or set it to http.",
        )
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
    }
    if endpoint.key:
        headers["authorization"] = f"Bearer {endpoint.key}"
    for header, value in endpoint.headers.items():
        if not (header.isascii() and value.isascii() and value.isprintable()):
            raise ConfigError(f'The header "{header}" cannot be sent.', hint=f"Mend providers.{name}.headers.")
        headers[header.lower()] = value
    return headers


@contextmanager
def _mapped(endpoint: Endpoint, *, answering: bool = False) -> Iterator[None]:
    """Turns what the HTTP library raises into one of our errors. ``answering``: the answer has begun."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict) as error:
        # The library's own words may hold a header with the key in it; without a cause they are not logged.
        raise failure_of(error, endpoint, answering=answering) from None


def failure_of(error: Exception, endpoint: Endpoint, *, answering: bool = False) -> ProviderError:
    """The error for an exception of the HTTP library. Before the answer begins, a broken connection is none at all."""
    kind, sentence = next((kind, words) for known, kind, words in FAILURES if isinstance(error, known))
    if kind is StreamBroken and not answering and not isinstance(error, httpx2.TimeoutException):
        kind = ConnectionFailed
    name, words = endpoint.provider, without_key(str(error), endpoint)
    return kind(
        f"{name}: {sentence} ({endpoint.base_url}): {words or type(error).__name__}",
        provider=name,
        code=type(error).__name__,
        hint=_hint(kind, words, endpoint),
    )


def _hint(kind: type[ProviderError], words: str, endpoint: Endpoint) -> str:
    if kind is BadRequest:
        return f"Check providers.{endpoint.provider}.base_url and its headers."
    if kind is StreamBroken:
        return "Try again; for a slow model, raise its timeout."
    if "certificate" in words.lower():
        return "The server's certificate is not trusted; SSL_CERT_FILE can name the authority that signed it."
    return f"Check the network, the proxy settings, and the address providers.{endpoint.provider}.base_url."


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities this machine trusts. Loading them takes more than 20 ms, so it happens once, for https only."""
    return httpx2.create_ssl_context()


def _no_trust() -> ssl.SSLContext:
    """For addresses without TLS: should a connection use it all the same, it trusts nobody and fails."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _model(entry: dict[str, Any]) -> ModelInfo:
    """An entry of ``/models``; beyond the id, only routers say more."""
    top = entry.get("top_provider")
    pricing = entry.get("pricing")
    top, pricing = (top if isinstance(top, dict) else {}), (pricing if isinstance(pricing, dict) else {})
    window = next((entry[key] for key in ("context_length", "context_window", "max_model_len") if entry.get(key)), 0)
    return ModelInfo(
        id=str(entry["id"]),
        context_window=_count(window),
        max_output=_count(top.get("max_completion_tokens") or entry.get("max_completion_tokens")),
        input_usd=_price(pricing.get("prompt")),
        output_usd=_price(pricing.get("completion")),
        cache_read_usd=_price(pricing.get("input_cache_read")),
        cache_write_usd=_price(pricing.get("input_cache_write")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _price(value: Any) -> float | None:
    """US dollars per million tokens; routers list dollars per token, as text. Negative: it depends."""
    try:
        price = float(value) * 1_000_000
    except (TypeError, ValueError):
        return None
    return price if price >= 0 else None
