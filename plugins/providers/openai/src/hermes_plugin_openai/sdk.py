"""The carrier that sends through the official client: the same bytes, and none of what the environment says."""

from __future__ import annotations

from typing import Any, ClassVar

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
    StreamBroken,
)
from hermes.contracts.provider import Endpoint
from hermes_carrier.failures import Failures
from hermes_carrier.http import Outgoing, timeout_of
from hermes_carrier.sdk import ClientCarrier

NO_KEY = "none"
"""The client insists on a key; the one that is sent is in the codec's headers."""


class _Client(openai.AsyncOpenAI):
    """Without the headers that the client makes of the environment: organizations, projects, and any other."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {}


class SdkCarrier(ClientCarrier):
    failures: ClassVar[Failures] = (
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

    async def through(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        client = _Client(api_key=NO_KEY, base_url=endpoint.base_url, http_client=self._client(endpoint), max_retries=0)
        options: Any = {
            "headers": {"authorization": openai.Omit(), **outgoing.headers},
            "timeout": timeout_of(outgoing),
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
