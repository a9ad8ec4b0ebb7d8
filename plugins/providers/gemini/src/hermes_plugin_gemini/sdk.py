"""The carrier ``sdk``: the codec's bytes, sent by google-genai.

Its public methods take no bytes, so they go through the method of its private client that sends what the public ones
have made: `_send` alone knows of that.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import google.genai as genai  # "from google import genai" fails otherwise where only other parts of google are
import httpx2
from google.genai import _api_client as private
from google.genai import errors, types

from hermes.contracts.errors import AuthenticationFailed, BadRequest, ConfigError, StreamBroken
from hermes.contracts.provider import Endpoint
from hermes_carrier.failures import Failures
from hermes_carrier.http import Outgoing, timeout_of
from hermes_carrier.sdk import ClientCarrier

from .account import FAILURES as ACCOUNT_FAILURES
from .account import account_error, account_of
from .carrier import located

INSTALL = 'pip install "google-genai>=3.4,<4"'


class SdkCarrier(ClientCarrier):
    """One client of Google's, an address, key and event loop."""

    failures: ClassVar[Failures] = (
        (private.EphemeralTokenAPIKeyError, AuthenticationFailed, "the key is a token for the live API only"),
        (errors.UnknownApiResponseError, StreamBroken, "what came is no answer"),
        (errors.ContinuationInterruptedError, StreamBroken, "the answer was interrupted"),
        (errors.UnknownFunctionCallArgumentError, BadRequest, "an argument of a call does not fit"),
        (errors.UnsupportedFunctionError, BadRequest, "a function cannot be declared"),
        (errors.FunctionInvocationError, BadRequest, "a function cannot be called"),
        (errors.APIError, StreamBroken, "the library reports an error without an answer"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._known: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], genai.Client]]
        self._known = WeakKeyDictionary()

    async def through(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        there = located(endpoint, outgoing)
        client = await self._google(there)
        try:
            return await _send(client, there, outgoing)
        except errors.APIError as error:
            if isinstance(error.response, httpx2.Response):
                return error.response
            raise
        except tuple(kind for kind, _ in ACCOUNT_FAILURES) as error:
            raise account_error(error, endpoint) from None

    async def close(self) -> None:
        for client in self._known.pop(asyncio.get_running_loop(), {}).values():
            client.close()
        await super().close()

    async def _google(self, endpoint: Endpoint) -> genai.Client:
        known = self._known.setdefault(asyncio.get_running_loop(), {})
        credentials = endpoint.options.get("credentials", "")
        identity = (endpoint.base_url, endpoint.key, credentials)
        if identity not in known:
            options = types.HttpOptions(base_url=endpoint.base_url, httpx_async_client=self._client(endpoint))
            known[identity] = await asyncio.to_thread(_client_of, endpoint, options)
        return known[identity]


def _client_of(endpoint: Endpoint, options: types.HttpOptions) -> genai.Client:
    """Google's client with credentials of the endpoint's; without any it would take the environment's."""
    if endpoint.key:
        return genai.Client(vertexai=False, api_key=endpoint.key, http_options=options)
    if not endpoint.options.get("credentials"):
        raise ConfigError(
            f'{endpoint.provider}: the carrier "sdk" needs a key.',
            hint=f"Set the key, or providers.{endpoint.provider}.carrier to http.",
        )
    return genai.Client(
        vertexai=True,
        credentials=account_of(endpoint),
        project=endpoint.options.get("project") or "unnamed",
        location=endpoint.options.get("location") or "global",
        http_options=options,
    )


async def _send(client: genai.Client, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
    timeout: Any = timeout_of(outgoing)
    try:
        send, make = client._api_client._async_request, private.HttpRequest
    except AttributeError as error:
        raise ConfigError(
            f'The carrier "sdk" does not know this version of google-genai ({genai.__version__}): {error}',
            hint=f"{INSTALL}, or set providers.{endpoint.provider}.carrier to http.",
        ) from None
    request = make(
        method=outgoing.method,
        url=f"{endpoint.base_url.rstrip('/')}{outgoing.path}",
        headers=dict(outgoing.headers),
        data=outgoing.body,
        timeout=timeout,
    )
    answered: Any = await send(request, None, True)
    response: httpx2.Response = answered.response_stream
    return response
