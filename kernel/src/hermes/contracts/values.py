"""The base of every value that crosses the border."""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable struct. Fields that hold their default are left out when it is encoded."""


class Done(Value):
    """The answer of a contract method that has nothing to say."""


class ContractRef(Value):
    """Names one provision: ``contract`` such as ``terminal``, ``name`` such as a backend's id."""

    contract: str
    name: str = ""
