"""Prices and windows of models, from the data package ``genai-prices``; it is imported with the first question."""

from __future__ import annotations

from hermes import Provision, hookimpl


def _make() -> object:
    from .data import GenaiPrices

    return GenaiPrices()


@hookimpl
def provide() -> list[Provision]:
    return [Provision("model_catalog", "genai-prices", _make)]
