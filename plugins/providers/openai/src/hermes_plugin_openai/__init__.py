"""The transports ``chat_completions`` and ``responses``: OpenAI's wires; most other endpoints speak the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .provider import ChatCompletions, Responses


def _chat_completions() -> ChatCompletions:
    from .provider import ChatCompletions

    return ChatCompletions()


def _responses() -> Responses:
    from .provider import Responses

    return Responses()


@hookimpl
def provide() -> Iterable[Provision]:
    return (
        Provision("transport", "chat_completions", _chat_completions),
        Provision("transport", "responses", _responses),
    )
