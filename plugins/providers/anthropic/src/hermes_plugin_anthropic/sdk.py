"""The carrier that sends through Anthropic's own client: the same bytes, and none of what the environment says."""

from __future__ import annotations

from typing import ClassVar

import anthropic
import httpx2

from hermes.contracts.errors import AuthenticationFailed, BadRequest, ConnectionFailed, Overloaded, StreamBroken
from hermes.contracts.provider import Endpoint
from hermes_carrier.failures import Failures
from hermes_carrier.http import Outgoing, timeout_of
from hermes_carrier.sdk import ClientCarrier

NO_KEY = "none"
"""A key that is given keeps the client from looking for one; the one that is sent is in the codec's headers."""
_OWN = ("accept", "content-type", "user-agent", "authorization", "anthropic-version")
"""What the client sends of itself, beside ``x-stainless-…``. All else would be the environment's."""


class SdkCarrier(ClientCarrier):
    failures: ClassVar[Failures] = (
        (anthropic.APITimeoutError, ConnectionFailed, "no answer in time"),
        (anthropic.APIConnectionError, ConnectionFailed, "no connection"),
        (anthropic.APIResponseValidationError, StreamBroken, "the answer has another form than it should have"),
        (anthropic.APIWebhookValidationError, BadRequest, "the webhook is not valid"),
        (anthropic.RetryableError, Overloaded, "the client wants to try again"),
        (anthropic.CredentialsError, AuthenticationFailed, "the client finds no credentials"),
        (anthropic.AnthropicError, BadRequest, "the client refuses the request"),
    )

    async def through(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        client = anthropic.AsyncAnthropic(
            api_key=NO_KEY, base_url=endpoint.base_url, http_client=self._client(endpoint), max_retries=0
        )
        given = {name: anthropic.Omit() for name in client.default_headers if not _own(name)}
        if "authorization" not in outgoing.headers:
            given["Authorization"] = anthropic.Omit()
        options = anthropic.RequestOptions(headers={**given, **outgoing.headers}, timeout=timeout_of(outgoing))
        try:
            if outgoing.method == "GET":
                return await client.get(outgoing.path, cast_to=httpx2.Response, options=options)
            return await client.post(
                outgoing.path, content=outgoing.body, cast_to=httpx2.Response, options=options, stream=True
            )
        except anthropic.APIStatusError as error:
            return error.response


def _own(name: str) -> bool:
    return name.lower() in _OWN or name.lower().startswith("x-stainless-")
