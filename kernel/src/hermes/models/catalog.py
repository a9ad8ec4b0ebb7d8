"""What is known of models: windows and prices, from manifests and settings."""

from __future__ import annotations

from hermes.contracts.messages import Usage
from hermes.contracts.provider import ModelInfo, ProviderSpec


def known_models(spec: ProviderSpec) -> list[ModelInfo]:
    return [ModelInfo(id=model) if isinstance(model, str) else model for model in spec.models]


def model_info(spec: ProviderSpec, model: str) -> ModelInfo:
    """Of this model; blank where nothing is known of it."""
    return next((info for info in known_models(spec) if info.id == model), ModelInfo(id=model))


def cost_of(usage: Usage, info: ModelInfo) -> float | None:
    """US dollars: as the provider reported, else by its prices; None where those are not known."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    if info.input_usd is None or info.output_usd is None:
        return None
    cache_read = info.input_usd if info.cache_read_usd is None else info.cache_read_usd
    cache_write = info.input_usd if info.cache_write_usd is None else info.cache_write_usd
    millionths = (
        usage.input_tokens * info.input_usd
        + usage.output_tokens * info.output_usd
        + usage.cache_read_tokens * cache_read
        + usage.cache_write_tokens * cache_write
    )
    return millionths / 1_000_000
