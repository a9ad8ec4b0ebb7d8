"""What the libraries that carry bytes raise, as our errors."""

from __future__ import annotations

from collections.abc import Iterable

import httpx2

from hermes.contracts.errors import BadRequest, ConnectionFailed, ProviderError, StreamBroken
from hermes.contracts.provider import Endpoint

from .errors import CUT_HINT, address_of, without_key

RAISED = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict)
"""Everything that the HTTP library raises of its own."""

Failures = Iterable[tuple[type[Exception], type[ProviderError], str]]
"""What a library raises, the most special first; ours; and the sentence that says it in our words."""

FAILURES: Failures = (
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
    (OverflowError, BadRequest, "the port of the address or of the proxy is out of range"),
)


def failure_of(error: Exception, endpoint: Endpoint, *, answering: bool = False) -> ProviderError:
    """The error for an exception of the HTTP library. Before the answer begins, a broken connection is none at all."""
    kind, sentence = _known(error, FAILURES)
    if kind is StreamBroken and not answering and not isinstance(error, httpx2.TimeoutException):
        kind = ConnectionFailed
    return _named(kind, sentence, error, endpoint, _hint(kind, error, endpoint))


def client_failure(error: Exception, endpoint: Endpoint, failures: Failures) -> ProviderError:
    """The error for an exception of a vendor's client; where the HTTP library's is its cause, that one says more."""
    cause = alone(error.__cause__) if isinstance(error.__cause__, Exception) else None
    if isinstance(cause, (*RAISED, OverflowError)):
        return failure_of(cause, endpoint)
    kind, sentence = _known(error, failures)
    hint = f"Try again, or without the vendor's client: set providers.{endpoint.provider}.carrier to http."
    return _named(kind, sentence, cause or error, endpoint, hint, code=type(error).__name__)


def alone(error: Exception) -> Exception:
    """Out of the group that the network library puts what a connection raises into: a port out of range is one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _known(error: Exception, failures: Failures) -> tuple[type[ProviderError], str]:
    return next((kind, sentence) for known, kind, sentence in failures if isinstance(error, known))


def _named(
    kind: type[ProviderError], sentence: str, error: Exception, endpoint: Endpoint, hint: str, code: str = ""
) -> ProviderError:
    name = endpoint.provider
    words = without_key(str(error), endpoint) or type(error).__name__
    return kind(
        f"{name}: {sentence} ({address_of(endpoint)}): {words}",
        provider=name,
        code=code or type(error).__name__,
        hint=hint,
    )


def _hint(kind: type[ProviderError], error: Exception, endpoint: Endpoint) -> str:
    if isinstance(error, OverflowError):
        return f"Check the port in providers.{endpoint.provider}.base_url, or that of the proxy."
    if kind is BadRequest:
        return f"Check providers.{endpoint.provider}.base_url and its headers."
    if kind is StreamBroken:
        slow = isinstance(error, httpx2.TimeoutException)
        return "Try again; for a slow model, raise its timeout." if slow else CUT_HINT
    if "certificate" in str(error).lower():
        return "The server's certificate is not trusted; SSL_CERT_FILE can name the authority that signed it."
    return f"Check the network, the proxy settings, and the address providers.{endpoint.provider}.base_url."
