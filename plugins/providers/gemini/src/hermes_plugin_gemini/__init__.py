"""The transport ``gemini``: Google's ``generateContent``, by its own API and on Vertex AI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .provider import Gemini


def _gemini() -> Gemini:
    from .provider import Gemini

    return Gemini()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("transport", "gemini", _gemini),)
