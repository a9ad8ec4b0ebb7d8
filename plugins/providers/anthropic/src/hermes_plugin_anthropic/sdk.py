"""The carrier ``sdk``: the codec's bytes, sent by Anthropic's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import anthropic
import httpx2

from hermes.contracts.errors import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    Overloaded,
    ProviderError,
    StreamBroken,
)
from hermes.contracts.provider import Endpoint
from hermes_carrier.errors import without_key
from hermes_carrier.failures import RAISED, failure_of
from hermes_carrier.http import CONNECT_TIMEOUT, LIMITS, Incoming, Outgoing, Received

FAILURES: tuple[tuple[type[Exception], type[ProviderError], str], ...] = (
    (anthropic.APITimeoutError, ConnectionFailed, "no answer in time"),
    (anthropic.APIConnectionError, ConnectionFailed, "no connection"),
    (anthropic.APIResponseValidationError, StreamBroken, "the answer has another form than it should have"),
    (anthropic.APIWebhookValidationError, BadRequest, "the webhook is not valid"),
    (anthropic.RetryableError, Overloaded, "the client wants to try again"),
    (anthropic.CredentialsError, AuthenticationFailed, "the client finds no credentials"),
    (anthropic.AnthropicError, BadRequest, "the client refuses the request"),
)
"""What the client raises without an answer, the most special first. An `APIStatusError` is an answer."""
_OWN = ("accept", "content-type", "user-agent", "authorization", "anthropic-version")
"""What the client sends of itself, beside ``x-stainless-…``. All else would be the environment's."""


class _Whole:
    """An answer that the client has read: a list, or a refusal."""

    def __init__(self, response: httpx2.Response) -> None:
        self._body = response.content
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncGenerator[bytes]:
        yield self._body


class SdkCarrier:
    """One client an address, key and event loop. It does not try again by itself."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], anthropic.AsyncAnthropic]]
        self._clients = WeakKeyDictionary()

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        response = await self._send(endpoint, outgoing)
        try:
            yield _Whole(response) if response.is_closed else Received(response, endpoint)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.close()

    async def _send(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        client = self._client(endpoint)
        given = {name: anthropic.Omit() for name in client.default_headers if not _own(name)}
        if "authorization" not in outgoing.headers:
            given["Authorization"] = anthropic.Omit()
        timeout = httpx2.Timeout(outgoing.timeout, connect=min(CONNECT_TIMEOUT, outgoing.timeout))
        try:
            if outgoing.method == "GET":
                options = anthropic.RequestOptions(headers={**given, **outgoing.headers}, timeout=timeout)
                return await client.get(outgoing.path, cast_to=httpx2.Response, options=options)
            return await client.post(
                outgoing.path,
                content=outgoing.body,
                cast_to=httpx2.Response,
                options={"headers": {**given, **outgoing.headers}, "timeout": timeout},
                stream=True,
            )
        except anthropic.APIStatusError as error:
            return error.response
        except anthropic.AnthropicError as error:
            raise sdk_failure(error, endpoint) from None

    def _client(self, endpoint: Endpoint) -> anthropic.AsyncAnthropic:
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        client = clients.get((endpoint.base_url, endpoint.key))
        if client is None:
            # A key that is given keeps the client from looking for one; what is sent of it is in the codec's headers.
            client = clients[endpoint.base_url, endpoint.key] = anthropic.AsyncAnthropic(
                api_key=endpoint.key or "none",
                base_url=endpoint.base_url,
                max_retries=0,
                http_client=anthropic.DefaultAsyncHttpxClient(limits=LIMITS, follow_redirects=False),
            )
        return client


def _own(name: str) -> bool:
    return name.lower() in _OWN or name.lower().startswith("x-stainless-")


def sdk_failure(error: anthropic.AnthropicError, endpoint: Endpoint) -> ProviderError:
    """The error for an exception of the client's; where the HTTP library's is behind it, that says more."""
    if isinstance(error.__cause__, RAISED):
        return failure_of(error.__cause__, endpoint)
    kind, sentence = next((kind, words) for known, kind, words in FAILURES if isinstance(error, known))
    words = without_key(str(error.__cause__ or error), endpoint)
    return kind(
        f"{endpoint.provider}: {sentence} ({endpoint.base_url}): {words or type(error).__name__}",
        provider=endpoint.provider,
        code=type(error).__name__,
        hint="If it stays so, set the provider's carrier to http.",
    )
