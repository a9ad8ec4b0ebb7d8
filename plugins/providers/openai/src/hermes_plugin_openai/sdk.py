"""The carrier that sends through the official client: the same bytes, and none of what the environment says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import openai
from openai._exceptions import SubjectTokenProviderError

from hermes.contracts.errors import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    ContentRefused,
    ContextOverflow,
    Overloaded,
    ProviderError,
    StreamBroken,
)
from hermes.contracts.provider import Endpoint
from hermes_carrier.errors import without_key
from hermes_carrier.failures import RAISED, failure_of
from hermes_carrier.http import CONNECT_TIMEOUT, HttpCarrier, Incoming, Outgoing, Received, mapped

NO_KEY = "none"
"""The client insists on a key; the one that is sent is in the codec's headers."""

FAILURES: tuple[tuple[type[Exception], type[ProviderError], str], ...] = (
    (openai.APITimeoutError, ConnectionFailed, "no answer in time"),
    (openai.APIConnectionError, ConnectionFailed, "no connection"),
    (openai.APIResponseValidationError, StreamBroken, "the answer is damaged"),
    (openai.OAuthError, AuthenticationFailed, "the login is refused"),
    (SubjectTokenProviderError, AuthenticationFailed, "the token cannot be had"),
    (openai.LengthFinishReasonError, ContextOverflow, "the answer is too long"),
    (openai.ContentFilterFinishReasonError, ContentRefused, "the answer is filtered"),
    (openai.InvalidWebhookSignatureError, BadRequest, "the signature is wrong"),
    (openai.WebSocketConnectionClosedError, StreamBroken, "the connection is closed"),
    (openai.WebSocketQueueFullError, Overloaded, "too much waits to be sent"),
    (openai.APIStatusError, StreamBroken, "the answer is an error"),
    (openai.APIError, StreamBroken, "the exchange failed"),
    (openai.OpenAIError, BadRequest, "the client refuses the request"),
)
"""What the client raises, the most special first. Of a status it makes an error too, which is opened again here."""


class _Client(openai.AsyncOpenAI):
    """Without the headers that the client makes of the environment: organizations, projects, and any other."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {}


class SdkCarrier(HttpCarrier):
    @asynccontextmanager
    async def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        with sdk_mapped(endpoint), mapped(endpoint):
            response = await self._sent(endpoint, outgoing)
            try:
                yield Received(response, endpoint)
            finally:
                await response.aclose()

    async def _sent(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        client = _Client(api_key=NO_KEY, base_url=endpoint.base_url, http_client=self._client(endpoint), max_retries=0)
        options: Any = {
            "headers": {"authorization": openai.Omit(), **outgoing.headers},
            "timeout": httpx2.Timeout(outgoing.timeout, connect=min(CONNECT_TIMEOUT, outgoing.timeout)),
        }
        streamed: Any = {"cast_to": httpx2.Response, "stream": True, "stream_cls": openai.AsyncStream[object]}
        try:
            if outgoing.method == "GET":
                response = await client.get(outgoing.path, options=options, **streamed)
            else:
                response = await client.post(outgoing.path, content=outgoing.body, options=options, **streamed)
        except openai.APIStatusError as error:
            return error.response
        sent: httpx2.Response = response
        return sent


@contextmanager
def sdk_mapped(endpoint: Endpoint) -> Iterator[None]:
    """Turns what the client raises into one of our errors."""
    try:
        yield
    except (openai.OpenAIError, openai.InvalidWebhookSignatureError) as error:
        raise sdk_failure(error, endpoint) from None


def sdk_failure(error: Exception, endpoint: Endpoint) -> ProviderError:
    """The error for one of the client's; where the HTTP library's is its cause, that one says more."""
    if isinstance(error.__cause__, RAISED):
        return failure_of(error.__cause__, endpoint)
    kind, sentence = next((kind, words) for known, kind, words in FAILURES if isinstance(error, known))
    name = endpoint.provider
    return kind(
        f"{name}: {sentence} ({endpoint.base_url}): {without_key(str(error), endpoint) or type(error).__name__}",
        provider=name,
        code=type(error).__name__,
        hint=f"Try again, or without the client: set providers.{name}.carrier to http.",
    )
