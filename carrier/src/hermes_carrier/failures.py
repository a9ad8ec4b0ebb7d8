"""What the HTTP library raises, as our errors."""

from __future__ import annotations

import httpx2

from hermes.contracts.errors import BadRequest, ConnectionFailed, ProviderError, StreamBroken
from hermes.contracts.provider import Endpoint

from .errors import without_key

RAISED = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict)
"""Everything that the HTTP library raises of its own."""

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
