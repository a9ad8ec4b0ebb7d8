"""Amazon Bedrock: the transport ``bedrock_converse``, for every model of its catalog."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .provider import BedrockConverse


def _bedrock_converse() -> BedrockConverse:
    from .provider import BedrockConverse

    return BedrockConverse()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("transport", "bedrock_converse", _bedrock_converse),)
