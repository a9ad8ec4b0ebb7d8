"""The transport ``chat_completions``: OpenAI's wire, which most other endpoints speak too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .codec import ChatCompletions


def _chat_completions() -> ChatCompletions:
    from .codec import ChatCompletions

    return ChatCompletions()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("transport", "chat_completions", _chat_completions),)
