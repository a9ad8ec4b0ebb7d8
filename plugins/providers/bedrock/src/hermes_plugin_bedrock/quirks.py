"""Where a model differs from the others, as data: the ``quirks`` of a provider, by the rules of its manifest."""

from __future__ import annotations

from typing import Literal

from hermes_carrier.quirks import QuirksBase

Place = Literal["system", "tools", "messages"]


class Quirks(QuirksBase, kw_only=True):
    cache: tuple[Place, ...] = ()
    """Where it takes a ``cachePoint``."""
    max_tokens: int = 8192
    """Of an answer, where the request does not say. Bedrock takes the model's maximum, and holds it against the
    quota."""
    thinking: Literal["", "adaptive", "always", "budget", "effort", "reasoning_config"] = ""
    """How thinking is asked for. ``always``: as ``adaptive``, and it cannot be turned off."""
    thinking_display: bool = False
    """Shows what it thinks only if it is asked to."""
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """It knows, the least first."""
    replay_thinking: bool = True
    temperature: bool = True
    tools: bool = True
    """False: it takes none; the calls of earlier turns are sent as text."""
    system: bool = True
    """False: it takes no system blocks; they stand before the first message."""
    schema: Literal["native", "tool", "prompt"] = "native"
    """How an answer of a JSON schema is had: its own way, by one forced tool, or by asking for it."""
    stream: bool = True
    """False: answers only whole."""
    profile: str = ""
    """What is put before the model's id, such as ``eu``."""
    allow_global: bool = False
    """A model that has to be called by a profile may be called by ``global.``, which may leave the geography."""

    @property
    def schema_by(self) -> Literal["native", "tool", "prompt"]:
        """As ``schema``, where it takes tools."""
        return "prompt" if self.schema == "tool" and not self.tools else self.schema
