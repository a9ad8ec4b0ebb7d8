"""The id of the account that a person logged in to, which Codex wants beside the token."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import msgspec

from hermes.contracts.errors import AuthenticationFailed
from hermes.contracts.provider import Endpoint


class _Auth(msgspec.Struct):
    chatgpt_account_id: str


class _Claims(msgspec.Struct):
    auth: _Auth = msgspec.field(name="https://api.openai.com/auth")


def account_of(endpoint: Endpoint) -> str:
    """Read from the token's claims, which are not verified: the server does that.

    Raises:
        AuthenticationFailed: the key is no such token.
    """
    try:
        claims = endpoint.key.split(".")[1]
        return msgspec.json.decode(
            urlsafe_b64decode(claims + "=" * (-len(claims) % 4)), type=_Claims
        ).auth.chatgpt_account_id
    except (IndexError, ValueError):
        name = endpoint.provider
        raise AuthenticationFailed(
            f"{name}: the key in {endpoint.key_source or 'use'} is no token of a ChatGPT account.",
            provider=name,
            hint=f"Log in: hermes auth login {name}. An API key goes with the provider openai.",
        ) from None
