"""What a wire is: pure functions between our values and the vendor's bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from hermes.contracts.errors import ProviderError
from hermes.contracts.events import ModelEvent
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest


class Decoder(Protocol):
    """Reads one answer. ``feed`` takes bytes cut anywhere, ``finish`` the end of them, ``whole`` a JSON body.

    All of them raise a `ProviderError` for an error that is reported in the answer, and `StreamBroken` for what is no
    answer. ``ended`` is set once `ModelFinished` is given.
    """

    ended: bool

    def feed(self, data: bytes) -> Iterator[ModelEvent]: ...

    def finish(self) -> Iterator[ModelEvent]: ...

    def whole(self, body: bytes) -> Iterator[ModelEvent]: ...


class Codec(Protocol):
    name: str
    """Of the transport."""
    models_path: str
    """Behind the base URL; empty: the wire has no list of models."""
    stream_type: str
    """What an answer's content type contains if it is streamed."""

    def path(self, request: ModelRequest) -> str:
        """Behind the base URL, with a leading slash."""

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        """The key, and what the wire wants on every request; names in lower case."""

    def encode(self, request: ModelRequest) -> bytes:
        """The request's body. Raises `BadRequest` for what the wire cannot carry."""

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder: ...

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        """A refused request."""

    def models(self, body: bytes) -> list[ModelInfo] | None:
        """The entries of a list of models; None if ``body`` is none."""
