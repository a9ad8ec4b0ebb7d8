"""Renews tokens (RFC 6749, section 6), or turns a lasting one into the short-lived one that requests carry."""

from __future__ import annotations

import msgspec

from hermes import AuthenticationFailed, Clock, RefreshRequest, StoredCredential

from .ring import opened, sealed
from .tokens import OAuthServer, check_address


class OAuthRefresher:
    """The contract ``token_refresher``. Stateless; every renewal has a connection of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def refresh(self, request: RefreshRequest) -> StoredCredential:
        server = OAuthServer(request.credential.provider)
        try:
            if request.oauth.exchange_url:
                return await self._exchanged(server, request)
            return await self._renewed(server, request)
        finally:
            await server.close()

    async def opened(self, credential: StoredCredential) -> StoredCredential:
        return await opened(credential)

    async def sealed(self, credential: StoredCredential) -> StoredCredential:
        return await sealed(credential)

    async def _renewed(self, server: OAuthServer, request: RefreshRequest) -> StoredCredential:
        credential, oauth = request.credential, request.oauth
        if not credential.refresh:
            raise AuthenticationFailed(
                f"{credential.provider}: the login has ended, and it cannot be renewed.",
                provider=credential.provider,
                hint=_again(credential),
            )
        fields = {"grant_type": "refresh_token", "refresh_token": credential.refresh, "client_id": oauth.client_id}
        answer = await server.post(oauth.token_url, fields, as_json=oauth.json_body)
        tokens = server.tokens(answer, self._clock.now(), "the login cannot be renewed", _again(credential))
        return msgspec.structs.replace(
            credential, secret=tokens.access, refresh=tokens.refresh or credential.refresh, expires=tokens.expires
        )

    async def _exchanged(self, server: OAuthServer, request: RefreshRequest) -> StoredCredential:
        credential, oauth = request.credential, request.oauth
        headers = {**oauth.exchange_headers, "authorization": f"Bearer {credential.refresh}"}
        answer = await server.get(oauth.exchange_url, headers)
        token = answer.text("token") or answer.text("access_token")
        if answer.status != 200 or not token:
            raise server.failure(answer, "there is no token for this account", _again(credential))
        endpoints = answer.body.get("endpoints")
        address = endpoints.get("api") if isinstance(endpoints, dict) else ""
        address = address if isinstance(address, str) else ""
        if address:
            check_address(credential.provider, address)
        ends = answer.number("expires_at") or self._clock.now() + (answer.number("expires_in") or 600.0)
        return msgspec.structs.replace(credential, secret=token, expires=ends, base_url=address)


def _again(credential: StoredCredential) -> str:
    """What helps. One that is in no vault was found in a variable, whose name its id ends with."""
    provider, _, variable = credential.id.partition("/")
    if variable:
        return f"Set {variable} to another token, or log in: hermes auth login {provider}"
    label = f" --label {credential.label}" if credential.label else ""
    user = f" --user {credential.user}" if credential.user else ""
    return f"Log in again: hermes auth login {credential.provider}{label}{user}"
