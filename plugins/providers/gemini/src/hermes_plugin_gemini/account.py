"""Tokens of a Google Cloud account, by google-auth: got and renewed in a thread, kept until shortly before they end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from hermes.contracts.errors import AuthenticationFailed, ConfigError, ConnectionFailed, ProviderError
from hermes.contracts.provider import Endpoint

try:
    import google.auth
    from google.auth import exceptions, transport
    from google.oauth2 import credentials, service_account
except ModuleNotFoundError as missing:
    raise ConfigError(
        f"Vertex AI with an account's credentials needs google-auth, which is not installed ({missing.name}).",
        hint='pip install "hermes-plugin-gemini[vertex]"',
    ) from None

Account = Any
"""Credentials of google-auth's, which has no types."""
_service_account: Any = service_account.Credentials
_authorized_user: Any = credentials.Credentials
_unreachable: Any = exceptions.TransportError
_other: Any = google.auth.load_credentials_from_dict
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
APPLICATION_DEFAULT = "adc"
"""In place of a file: whatever account the process runs as."""
TOKEN_TIMEOUT = 30.0

FAILURES: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (exceptions.TransportError, ConnectionFailed),
    (exceptions.TimeoutError, ConnectionFailed),
    (exceptions.ResponseError, ConnectionFailed),
    (exceptions.GoogleAuthError, AuthenticationFailed),
)
"""What google-auth raises, the most special first."""


class Accounts:
    """Those in use, each with its token; they are kept by what names them."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    async def authorization(self, endpoint: Endpoint) -> dict[str, str]:
        """The headers that the account of ``endpoint`` is known by.

        Raises:
            ConfigError: there is no file, or it is no account's.
            AuthenticationFailed: the account gets no token.
            ConnectionFailed: nobody could be asked for one.
        """
        held = self._held.setdefault(endpoint.options["credentials"], _Held())
        return await asyncio.to_thread(held.headers, endpoint)


class _Held:
    """An account, loaded and renewed by one thread at a time."""

    def __init__(self) -> None:
        self._account: Account = None
        self._lock = threading.Lock()

    def headers(self, endpoint: Endpoint) -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            with self._lock:
                self._account = self._account or account_of(endpoint)
                if not self._account.valid:
                    self._account.refresh(Ask())
                self._account.apply(headers)
        except exceptions.GoogleAuthError as error:
            raise account_error(error, endpoint) from None
        return headers


def account_of(endpoint: Endpoint) -> Account:
    """Raises ConfigError if there is none where the endpoint says."""
    named = endpoint.options["credentials"]
    try:
        return _loaded(named)
    except exceptions.TransportError:
        raise
    except (exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise ConfigError(
            f"{endpoint.provider}: the credentials {named} cannot be used: {error}",
            hint="GOOGLE_APPLICATION_CREDENTIALS names the JSON file of a service account, or of the login by "
            "`gcloud auth application-default login`; adc stands for the account that the process runs as.",
        ) from None


def _loaded(named: str) -> Account:
    if named == APPLICATION_DEFAULT:
        return google.auth.default(scopes=SCOPES, request=Ask())[0]
    info = json.loads(Path(named).expanduser().read_text())
    kind = info.get("type") if isinstance(info, dict) else None
    if kind == "service_account":
        return _service_account.from_service_account_info(info, scopes=SCOPES)
    if kind == "authorized_user":
        return _authorized_user.from_authorized_user_info(info, scopes=SCOPES)
    return _other(info, scopes=SCOPES, request=Ask())[0]


def account_error(error: Exception, endpoint: Endpoint) -> ProviderError:
    kind = next(kind for known, kind in FAILURES if isinstance(error, known))
    hint = "Check the network and the proxy settings."
    if kind is AuthenticationFailed:
        hint = f"Check the account in {endpoint.options.get('credentials')}; it may be disabled, or its key deleted."
    return kind(
        f"{endpoint.provider}: no token for the account: {error}",
        provider=endpoint.provider,
        code=type(error).__name__,
        hint=hint,
    )


class _Answer(transport.Response):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.content


class Ask(transport.Request):
    """google-auth's way to the network, by the library that the carriers use."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> _Answer:
        try:
            return _Answer(httpx2.request(method, url, content=body, headers=headers, timeout=timeout or TOKEN_TIMEOUT))
        except httpx2.HTTPError as error:
            raise _unreachable(error) from error
