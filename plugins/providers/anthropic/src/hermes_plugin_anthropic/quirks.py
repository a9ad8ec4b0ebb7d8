"""Where an endpoint or a model differs from the others, as data: the ``quirks`` of a provider and of its rules."""

from __future__ import annotations

from typing import Literal

from hermes.contracts.provider import Endpoint
from hermes_carrier.quirks import QuirksBase

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Quirks(QuirksBase, kw_only=True):
    version: str = "2023-06-01"
    """The header ``anthropic-version``."""
    key_header: Literal["x-api-key", "authorization"] = "x-api-key"
    token_prefix: str = ""
    """A key that begins with it is the token of a person's login, wherever it was found."""
    identity: str = ""
    """The first system block of requests with such a token; the vendor refuses those without."""
    betas: tuple[str, ...] = ()
    """Of the header ``anthropic-beta``."""
    stream: bool = True
    """False: answers only whole."""
    max_tokens: int = 8192
    """Where the request names no limit; the wire demands one."""
    temperature: bool = True
    """False: refuses it."""
    thinking: Literal["adaptive", "always", "budget", "none"] = "none"
    """How thinking is asked for. ``always``: as ``adaptive``, but it cannot be turned off. ``none``: it cannot be."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
    """Those it takes, from the lowest."""
    structured: Literal["native", "tool"] = "native"
    """``tool``: takes no schema for its answer; a forced tool whose input is the answer has to do."""
    cache: Literal["top", "blocks", "none"] = "top"
    """How the conversation is marked for the prompt cache: by a member of the request, or in its last block."""
    cache_ttl: Literal["5m", "1h"] = "5m"

    def logged_in(self, endpoint: Endpoint) -> bool:
        """Whether the key is the token of a person's login."""
        return endpoint.token or bool(self.token_prefix and endpoint.key.startswith(self.token_prefix))
