"""The list of models: OpenAI's form, which routers add prices to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.provider import ModelInfo


def entries_of(body: bytes, *members: str) -> list[dict[str, Any]] | None:
    """The objects of the list under the first of ``members`` that there is, or of a list alone; None: there is none."""
    try:
        listed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    if isinstance(listed, Mapping):
        listed = next((listed[member] for member in members if member in listed), None)
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else None


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The entries of ``/models``; None if ``body`` is no list of them."""
    entries = entries_of(body, "data")
    return None if entries is None else [model_of(entry) for entry in entries if "id" in entry]


def model_of(entry: Mapping[str, Any]) -> ModelInfo:
    """An entry of ``/models``; beyond the id, only routers say more."""
    top = entry.get("top_provider")
    pricing = entry.get("pricing")
    top, pricing = (top if isinstance(top, dict) else {}), (pricing if isinstance(pricing, dict) else {})
    window = next((entry[key] for key in ("context_length", "context_window", "max_model_len") if entry.get(key)), 0)
    return ModelInfo(
        id=str(entry["id"]),
        context_window=count_of(window),
        max_output=count_of(top.get("max_completion_tokens") or entry.get("max_completion_tokens")),
        input_usd=_price(pricing.get("prompt")),
        output_usd=_price(pricing.get("completion")),
        cache_read_usd=_price(pricing.get("input_cache_read")),
        cache_write_usd=_price(pricing.get("input_cache_write")),
    )


def count_of(value: Any) -> int:
    """A number of tokens; 0: it does not say."""
    return value if isinstance(value, int) else 0


def _price(value: Any) -> float | None:
    """US dollars per million tokens; routers list dollars per token, as text. Negative: it depends."""
    try:
        price = float(value) * 1_000_000
    except (TypeError, ValueError):
        return None
    return price if price >= 0 else None
