"""The carrier that sends through a vendor's own client: the same bytes, over the connections of the HTTP library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import httpx2

from hermes.contracts.provider import Endpoint

from .failures import Failures, client_failure
from .http import HttpCarrier, Outgoing


class ClientCarrier(HttpCarrier, ABC):
    """For clients that take an ``httpx2.AsyncClient``, which `_client` gives, and send bytes that they did not make.

    ``failures``: all that the client raises but an answer's status.
    """

    failures: ClassVar[Failures]

    @abstractmethod
    async def through(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        """The answer by way of the client, also where the client makes an exception of it."""

    async def sent(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        try:
            return await self.through(endpoint, outgoing)
        except tuple(kind for kind, *_ in self.failures) as error:
            raise client_failure(error, endpoint, self.failures) from None
