"""Where an endpoint differs from OpenAI's, as data: the ``quirks`` of a provider."""

from __future__ import annotations

from typing import Literal

import msgspec

from hermes.contracts.errors import ConfigError
from hermes.contracts.provider import Endpoint
from hermes.contracts.values import Value


class Quirks(Value, kw_only=True, forbid_unknown_fields=True):
    single_system: bool = False
    """Takes one system message only: the blocks are joined with blank lines."""
    echo_reasoning: bool = False
    """Wants ``reasoning_content`` back on assistant messages (DeepSeek)."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream: bool = True
    """False: answers only whole."""
    stream_options: bool = True
    """False: does not know ``stream_options``; then usage is what it sends unasked."""
    text_as_string: bool = False
    """Takes no list of text parts as content: they are joined with blank lines."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> Quirks:
        """Raises ConfigError for one that is not known."""
        if not endpoint.quirks:
            return _NONE
        try:
            return msgspec.convert(endpoint.quirks, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f'The quirks of the provider "{endpoint.provider}": {error}',
                hint=f"This wire knows: {', '.join(cls.__struct_fields__)}",
            ) from None


_NONE = Quirks()
