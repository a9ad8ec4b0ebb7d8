"""Where an endpoint or a model differs from the others of its wire, as data that the wire names and types."""

from __future__ import annotations

from functools import cache
from typing import Self

import msgspec

from hermes.contracts.errors import ConfigError
from hermes.contracts.provider import Endpoint
from hermes.contracts.values import Value


class QuirksBase(Value, kw_only=True, forbid_unknown_fields=True):
    """A wire's own class has a field for each, all with a default: ``class Quirks(QuirksBase, kw_only=True): …``."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """Those of the provider and of the model's rule. Raises ConfigError for one that is not known."""
        if not endpoint.quirks:
            return _none(cls)  # type: ignore[return-value]
        try:
            return msgspec.convert(endpoint.quirks, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f'The quirks of the provider "{endpoint.provider}": {error}',
                hint=f"This wire knows: {', '.join(cls.__struct_fields__)}",
            ) from None


@cache
def _none(kind: type[QuirksBase]) -> QuirksBase:
    return kind()
