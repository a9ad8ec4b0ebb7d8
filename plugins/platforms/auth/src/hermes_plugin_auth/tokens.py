"""What an OAuth server is asked and what it answers: RFC 6749, with the liberties that vendors take."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    Endpoint,
    NotEntitled,
    OAuthSpec,
    Overloaded,
    ProviderError,
    RateLimited,
)
from hermes.models.credentials import shown_address
from hermes_carrier.errors import retry_after
from hermes_carrier.http import HttpCarrier, Outgoing

TIMEOUT = 30.0
LONGEST_ANSWER = 1 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Answer(NamedTuple):
    """``body``: the members of the JSON object that came; none if it was something else."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> str:
        """The server's code, such as ``invalid_grant``; blank where it reports none."""
        said = self.body.get("error")
        if isinstance(said, dict):
            said = said.get("code") or said.get("type")
        return said if isinstance(said, str) else ""

    @property
    def sentence(self) -> str:
        said = self.body.get("error_description") or self.body.get("message")
        if not said and isinstance(inner := self.body.get("error"), dict):
            said = inner.get("message")
        return said[:300] if isinstance(said, str) else ""

    def text(self, name: str) -> str:
        value = self.body.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> float:
        value = self.body.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


class Tokens(NamedTuple):
    """``expires``: seconds since the epoch; 0: it does not say."""

    access: str
    refresh: str
    expires: float


class OAuthServer:
    """The addresses of one provider's login, asked over one connection. Close it."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._carrier = HttpCarrier()

    async def close(self) -> None:
        await self._carrier.close()

    async def post(self, url: str, fields: Mapping[str, str], *, as_json: bool) -> Answer:
        """Raises a `ProviderError` only where there is no answer."""
        body = msgspec.json.encode(fields) if as_json else urlencode(fields).encode()
        form = "application/json" if as_json else "application/x-www-form-urlencoded"
        return await self._ask("POST", url, {"content-type": form}, body)

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._ask("GET", url, headers)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        check_address(self.provider, url)
        sent = {"accept": "application/json", "user-agent": "hermes", **headers}
        outgoing = Outgoing(method=method, path="", headers=sent, body=body, timeout=TIMEOUT)
        async with self._carrier.open(Endpoint(provider=self.provider, base_url=url), outgoing) as incoming:
            data = bytearray()
            async for piece in incoming.pieces():
                data += piece
                if len(data) > LONGEST_ANSWER:
                    raise Overloaded(
                        f"{self.provider}: {shown_address(url)} answers without an end.", provider=self.provider
                    )
        try:
            members = msgspec.json.decode(data)
        except msgspec.DecodeError:
            members = {}
        return Answer(incoming.status, incoming.headers, members if isinstance(members, dict) else {})

    def failure(self, answer: Answer, what: str, hint: str) -> ProviderError:
        """The error that an answer means. ``what`` was wanted; ``hint``: what helps where it was refused for good."""
        kind = _kind(answer)
        words = " ".join(filter(None, [str(answer.status), answer.error]))
        sentence = f": {answer.sentence}" if answer.sentence else ""
        return kind(
            f"{self.provider}: {what}: {words}{sentence}",
            provider=self.provider,
            status=answer.status,
            code=answer.error,
            retry_after=retry_after(answer.headers),
            hint=hint if kind in (AuthenticationFailed, NotEntitled) else "Try again in a while; nothing is lost.",
        )

    def tokens(self, answer: Answer, now: float, what: str, hint: str) -> Tokens:
        """Raises a `ProviderError` if the answer has none."""
        access = answer.text("access_token")
        if answer.status != 200 or answer.error or not access:
            raise self.failure(answer, what, hint)
        lasts = answer.number("expires_in")
        return Tokens(access, answer.text("refresh_token"), now + lasts if lasts else end_of(access))


def _kind(answer: Answer) -> type[ProviderError]:
    if answer.status == 429:
        return RateLimited
    if answer.status >= 500 or (answer.status < 400 and not answer.error):
        return Overloaded
    if answer.error in ("invalid_request", "unsupported_grant_type", "invalid_scope"):
        return BadRequest
    return NotEntitled if answer.status in (403, 404) and not answer.error else AuthenticationFailed


def check_address(provider: str, url: str) -> None:
    """Raises ConfigError: secrets could be read on the way there."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigError(
            f'The login of "{provider}" has an address without TLS: {shown_address(url)!r}.',
            hint=f"It has to begin with https://; see oauth: in the provider's manifest or providers.{provider}.",
        )


def check_addresses(provider: str, oauth: OAuthSpec) -> None:
    """Of the whole login, before the person does anything for it. Raises ConfigError; see `check_address`."""
    for url in (oauth.device_url, oauth.authorize_url, oauth.token_url, oauth.exchange_url):
        if url:
            check_address(provider, url)


def end_of(token: str) -> float:
    """When a token ends, if it is a JWT that says so; else 0. Not verified: the server does that."""
    try:
        _, claims, _ = token.split(".")
        padded = claims + "=" * (-len(claims) % 4)
        ends = msgspec.json.decode(base64.urlsafe_b64decode(padded)).get("exp", 0)
    except (ValueError, AttributeError, msgspec.DecodeError):
        return 0.0
    return float(ends) if isinstance(ends, int | float) else 0.0
