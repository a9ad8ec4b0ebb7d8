"""The transport ``anthropic_messages``: the wire of Claude, which some other vendors' endpoints speak too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .provider import AnthropicMessages


def _anthropic_messages() -> AnthropicMessages:
    from .provider import AnthropicMessages

    return AnthropicMessages()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("transport", "anthropic_messages", _anthropic_messages),)
