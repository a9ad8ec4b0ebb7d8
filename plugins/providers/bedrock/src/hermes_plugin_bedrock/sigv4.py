"""The carrier for requests that are signed: botocore finds the credentials and signs, our HTTP library sends."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.credentials import (  # type: ignore[import-untyped]
    AssumeRoleCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import RefreshWithMFAUnsupportedError  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from hermes.contracts.errors import AuthenticationFailed, ConfigError
from hermes.contracts.provider import Endpoint
from hermes_carrier.http import HttpCarrier, Incoming, Outgoing

from .aws_failures import RAISED, failure_of
from .regions import region_of

SERVICE = "bedrock"
ROLE_SESSION = "hermes"
WEB_IDENTITY = "assume-role-with-web-identity"
_OPTIONS = ("access_key", "secret_key", "session_token", "profile", "role", "sts_endpoint")
_STS = Config(connect_timeout=10, read_timeout=20, retries={"total_max_attempts": 2})
_NO_PROFILE = {"profile": (None, None, None, None)}
"""Of a botocore session: no profile but the default one, whatever the process's environment says."""


class SigV4Carrier(HttpCarrier):
    """Signs each request with the credentials that the endpoint's options name, else with the machine's own."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Any] = {}
        """Credentials by the hash of what they were asked for with."""
        # What it logs of each signature has the session's token in it.
        logging.getLogger("botocore").setLevel(logging.INFO)

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        async with super().open(endpoint, outgoing) as incoming:
            if incoming.status in (401, 403):
                # Whoever logs in again changes files that botocore reads only once.
                self._known.pop(_cache_key(endpoint), None)
            yield incoming

    async def signed(self, endpoint: Endpoint, outgoing: Outgoing, url: str) -> dict[str, str]:
        """The headers with date and signature. What botocore has to ask for them (SSO, STS, the machine) may wait."""
        region = region_of(endpoint)
        try:
            frozen = await asyncio.to_thread(self._frozen, endpoint, region)
        except RAISED as error:
            # Amazon's own words may hold the credentials' ids; without a cause they are not logged.
            raise failure_of(error, endpoint) from None
        request = AWSRequest(
            method=outgoing.method,
            url=url,
            data=outgoing.body,
            headers={"content-type": outgoing.headers["content-type"]},
        )
        SigV4Auth(frozen, SERVICE, region).add_auth(request)
        return {**outgoing.headers, **{name.lower(): value for name, value in request.headers.items()}}

    def _frozen(self, endpoint: Endpoint, region: str) -> Any:
        """Access key, secret and token as they are now; what expires, botocore renews before it does."""
        key = _cache_key(endpoint)
        credentials = self._known.get(key) or self._known.setdefault(key, _credentials(endpoint, region))
        return credentials.get_frozen_credentials()


def _cache_key(endpoint: Endpoint) -> str:
    told = [region_of(endpoint), *(endpoint.options.get(name, "") for name in _OPTIONS)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _credentials(endpoint: Endpoint, region: str) -> Any:
    """Of botocore's kinds, all with ``get_frozen_credentials``.

    Raises:
        ConfigError: half of a key pair.
        AuthenticationFailed: there are none.
    """
    options = endpoint.options
    session = _session(options.get("profile", ""))
    found = _key_pair(endpoint) or session.get_credentials()
    if found is None:
        raise AuthenticationFailed(
            f"{endpoint.provider}: no AWS credentials are found to sign requests with.",
            provider=endpoint.provider,
            hint="Set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    # In a pod with a role of its own, AWS_ROLE_ARN names the role that these credentials are of.
    if not (role := options.get("role")) or found.method == WEB_IDENTITY:
        return found

    def sts(service: str, **credentials: Any) -> Any:
        address = options.get("sts_endpoint") or None
        return session.create_client(service, region_name=region, endpoint_url=address, config=_STS, **credentials)

    fetcher = AssumeRoleCredentialFetcher(sts, found, role, extra_args={"RoleSessionName": ROLE_SESSION})
    return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")


def _key_pair(endpoint: Endpoint) -> Credentials | None:
    options = endpoint.options
    pair = options.get("access_key", ""), options.get("secret_key", "")
    if not any(pair):
        return None
    if not all(pair):
        lacks = "AWS_SECRET_ACCESS_KEY" if pair[0] else "AWS_ACCESS_KEY_ID"
        raise ConfigError(
            f"{endpoint.provider}: half of an AWS key pair is set; {lacks} is missing.", hint=f"Set {lacks}, too."
        )
    return Credentials(*pair, options.get("session_token") or None, method="explicit")


def _session(profile: str) -> Session:
    """Finds no keys in the process's environment, which may be another user's: those come as options."""
    session = Session(profile=profile) if profile else Session(session_vars=_NO_PROFILE)
    resolver = session.get_component("credential_provider")
    if not profile:
        resolver.remove("env")
    # Nobody sits at the terminal of a server, and where somebody does, it is not botocore's.
    resolver.get_provider("assume-role")._prompter = _no_code
    return session


def _no_code(prompt: str) -> str:
    raise RefreshWithMFAUnsupportedError
