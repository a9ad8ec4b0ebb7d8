"""What OpenAI's two wires have in common: addresses, headers, errors and lists of models."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from hermes.contracts.errors import ProviderError
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest
from hermes_carrier.errors import error_of
from hermes_carrier.listing import models_of

from .errors import complaint_of
from .quirks import Quirks


class OpenAICodec:
    """The parts of a `Codec` that do not depend on the form of a request."""

    models_path = "/models"
    stream_type = "text/event-stream"
    route = ""

    def path(self, request: ModelRequest) -> str:
        query = Quirks.of(request.endpoint).query
        return f"{self.route}?{urlencode(query)}" if query else self.route

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        quirks = Quirks.of(endpoint)
        if not endpoint.key:
            return {}
        if quirks.key_header:
            return {quirks.key_header.lower(): endpoint.key}
        headers = {"authorization": f"Bearer {endpoint.key}"}
        if quirks.account_header:
            from .account import account_of

            headers[quirks.account_header.lower()] = account_of(endpoint)
        return headers

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        return error_of(status, headers, body, endpoint, model, read=complaint_of)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)
