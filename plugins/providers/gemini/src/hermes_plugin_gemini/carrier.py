"""Plain HTTP to Google; on Vertex AI with the token of a Google Cloud account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
import msgspec

from hermes.contracts.provider import Endpoint
from hermes_carrier.http import HttpCarrier, Outgoing

if TYPE_CHECKING:
    from .account import Accounts

VERSION_PATH = "/v1beta"
_HOST = re.compile(r"^https://(global|us|eu)-aiplatform\.googleapis\.com(?=/|$)")
_BARE = re.compile(r"^https?://[^/?#]+$", re.IGNORECASE)
_PLACE = re.compile(r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+(?=/publishers/google$)")


class GoogleCarrier(HttpCarrier):
    """A key goes with the codec's headers; an account's token is got here, where its credentials are named."""

    def __init__(self) -> None:
        super().__init__()
        self._accounts: Accounts | None = None

    async def sent(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        return await super().sent(located(endpoint, outgoing), outgoing)

    async def signed(self, endpoint: Endpoint, outgoing: Outgoing, url: str) -> dict[str, str]:
        if endpoint.key or not endpoint.options.get("credentials"):
            return outgoing.headers
        if self._accounts is None:
            from .account import Accounts  # google-auth is an extra, and slow to import

            self._accounts = Accounts()
        return {**outgoing.headers, **await self._accounts.authorization(endpoint)}


def located(endpoint: Endpoint, outgoing: Outgoing) -> Endpoint:
    """The endpoint where it is: a location that is no region has a host of another name, the list of models belongs
    to no project, and an address without a path is, as Google's own client takes it, that of a host.
    """
    base = _HOST.sub(_host, endpoint.base_url.rstrip("/"))
    if _BARE.match(base):
        base = f"{base}{VERSION_PATH}"
    if outgoing.method == "GET":
        base = _PLACE.sub("/v1beta1", base)
    return endpoint if base == endpoint.base_url else msgspec.structs.replace(endpoint, base_url=base)


def _host(match: re.Match[str]) -> str:
    place = match[1]
    return (
        "https://aiplatform.googleapis.com" if place == "global" else f"https://aiplatform.{place}.rep.googleapis.com"
    )
