"""What a wire has to say for itself, so that one server can speak it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..replies import Cut, Element, Fail, Slow, Tokens
from ..seen import SeenPrompt, SeenRequest

CREATED = 1_750_000_000
"""When every answer and every model was made, in seconds since 1970."""

Entry: TypeAlias = "str | Mapping[str, Any]"
"""A model that is listed: its id, or its members in the vendor's form, ``id`` among them."""


@dataclass(frozen=True)
class Answer:
    """What all pieces of one answer have in common. ``asked``: the request's body."""

    number: int
    model: str
    tokens: Tokens
    asked: Mapping[str, Any]
    route: str


@dataclass(frozen=True)
class Piece:
    """Bytes of a stream. ``counted``: `Cut` counts it. ``last``: nothing follows."""

    data: bytes
    counted: bool = True
    last: bool = False


Streamed: TypeAlias = "Piece | Slow | Cut"


class Form(Protocol):
    """One vendor's API."""

    name: str
    base: str
    """What the vendor's clients want behind the server's root in a base URL."""
    content_type: str
    """Of a stream."""

    def takes(self, request: SeenRequest) -> bool:
        """Whether it is a model call of this wire."""

    def lists(self, request: SeenRequest) -> bool:
        """Whether it asks for this vendor's list of models."""

    def denied(self, request: SeenRequest, key: str) -> Fail | None:
        """What is wrong with its credentials. ``key`` empty: any will do."""

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        """What the vendor has against the request."""

    def model(self, request: SeenRequest, asked: Mapping[str, Any]) -> str: ...

    def streams(self, request: SeenRequest, asked: Mapping[str, Any]) -> bool: ...

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any] | list[Any]:
        """The answer as one body."""

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]: ...

    def failure(self, fail: Fail, number: int) -> tuple[str, Mapping[str, str]]:
        """The vendor's body and headers for an error."""

    def headers(self, number: int) -> Mapping[str, str]:
        """What is sent with every answer."""

    def models(self, entries: Sequence[Entry], request: SeenRequest) -> Mapping[str, Any]: ...

    def read(self, request: SeenRequest) -> SeenPrompt: ...


def sse(data: str, event: str = "") -> bytes:
    """An event of a ``text/event-stream``."""
    return (f"event: {event}\ndata: {data}\n\n" if event else f"data: {data}\n\n").encode()


def body_of(fail: Fail, made: Mapping[str, Any]) -> str:
    """The body of an error: what the reply says, else ``made``."""
    if isinstance(fail.body, str):
        return fail.body
    return json.dumps(made if fail.body is None else fail.body)


def members(entry: Entry) -> dict[str, Any]:
    return {"id": entry} if isinstance(entry, str) else dict(entry)
