"""The list of models: OpenAI's form, which routers add prices to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.provider import ModelInfo


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The entries of ``/models``; None if ``body`` is no list of them."""
    try:
        listed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    entries = listed.get("data") if isinstance(listed, Mapping) else listed
    if not isinstance(entries, list):
        return None
    return [_model(entry) for entry in entries if isinstance(entry, dict) and "id" in entry]


def _model(entry: dict[str, Any]) -> ModelInfo:
    """An entry of ``/models``; beyond the id, only routers say more."""
    top = entry.get("top_provider")
    pricing = entry.get("pricing")
    top, pricing = (top if isinstance(top, dict) else {}), (pricing if isinstance(pricing, dict) else {})
    window = next((entry[key] for key in ("context_length", "context_window", "max_model_len") if entry.get(key)), 0)
    return ModelInfo(
        id=str(entry["id"]),
        context_window=_count(window),
        max_output=_count(top.get("max_completion_tokens") or entry.get("max_completion_tokens")),
        input_usd=_price(pricing.get("prompt")),
        output_usd=_price(pricing.get("completion")),
        cache_read_usd=_price(pricing.get("input_cache_read")),
        cache_write_usd=_price(pricing.get("input_cache_write")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _price(value: Any) -> float | None:
    """US dollars per million tokens; routers list dollars per token, as text. Negative: it depends."""
    try:
        price = float(value) * 1_000_000
    except (TypeError, ValueError):
        return None
    return price if price >= 0 else None
