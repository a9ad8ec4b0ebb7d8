"""What OpenAI's two wires have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from hermes.contracts.errors import BadRequest, ProviderError, StreamBroken
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest
from hermes_carrier.errors import Complaint, complaint_of, error_of, without_key
from hermes_carrier.listing import models_of

from .quirks import Quirks

SDK = "hermes_plugin_openai.sdk:SdkCarrier"
INSTALL = "hermes-plugin-openai[sdk]"
EXCERPT = 120

T = TypeVar("T")


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
        return error_of(status, headers, body, endpoint, model, read=_complaint)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


def _complaint(error: Any, headers: Mapping[str, str]) -> Complaint:
    """The forms in use, and how long the limit of a ChatGPT account lasts, which is in the body alone."""
    complaint = complaint_of(error, headers)
    inner = error.get("error") if isinstance(error, Mapping) else None
    seconds = inner.get("resets_in_seconds") if isinstance(inner, Mapping) else None
    return complaint._replace(retry_after=float(seconds)) if isinstance(seconds, int | float) else complaint


def refuse_extra(request: ModelRequest, member: str) -> None:
    """Raises BadRequest if the extra members would replace the conversation."""
    if member in request.extra:
        raise BadRequest(
            f"`{member}` cannot be sent as an extra member of the request.",
            provider=request.endpoint.provider,
            hint="Remove it from the extra options.",
        )


def broken(request: ModelRequest, request_id: str, what: str, data: bytes = b"") -> StreamBroken:
    """An answer that is none. ``data``: what came, of which the beginning is quoted."""
    excerpt = without_key(data[:EXCERPT].decode("utf-8", "replace"), request.endpoint)
    provider = request.endpoint.provider
    return StreamBroken(
        f"{provider}: {what}: {excerpt}" if excerpt else f"{provider}: {what}",
        provider=provider,
        request_id=request_id,
        hint="Try again; where it happens often, something between here and the provider cuts connections.",
    )


def decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What a server sent. Half a character, which some send where a piece ends inside one, becomes U+FFFD."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        try:
            text = json.dumps(json.loads(data), ensure_ascii=False)
        except ValueError:
            text = ""
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if whole == text:
            raise
        return decoder.decode(whole.encode())
