"""The contract ``model_catalog`` over ``genai-prices``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from hermes import CatalogEntry, CatalogQuery, ModelInfo

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo as PricedModel
    from genai_prices.types import ModelPrice, TieredPrices

PROVIDERS = {
    "anthropic": "anthropic",
    "arcee": "arcee",
    "azure-foundry": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "kimi": "moonshotai",
    "minimax": "minimax",
    "mistral": "mistral",
    "novita": "novita",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
    "vertex": "google",
    "vertex-express": "google",
    "xai": "x-ai",
    "zai": "zai",
}
"""Our providers to theirs. What is paid by the month, in another currency, or at a place that the provider chooses for
each call (github-copilot, kimi-coding, minimax-cn, huggingface, …) is left out: no price is better than a wrong one.
"""


class GenaiPrices:
    """Answers from the data that is installed; nothing is fetched."""

    async def lookup(self, query: CatalogQuery) -> CatalogEntry:
        """What is known of the model. The source says where a price is one of several: with tiers by the length of
        the prompt it is that of the lowest, with prices by the hour the highest.
        """
        provider = PROVIDERS.get(query.provider)
        if provider is None:
            return CatalogEntry()
        return await asyncio.to_thread(_look_up, provider, query.model)  # the data takes 0.3 s to import


def _look_up(provider: str, model: str) -> CatalogEntry:
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    snapshot, now = get_snapshot(), datetime.now(tz=UTC)
    try:
        _, found = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return CatalogEntry()
    prices = _dearest(found, now)
    usd = _dollars(prices)
    info = msgspec.structs.replace(ModelInfo(id=model, context_window=found.context_window or 0), **usd)
    if not usd and not info.context_window:
        return CatalogEntry()
    source = f"genai-prices {__version__}"
    if usd and _has_tiers(prices):
        source += ", up to the first tier"
    if usd and _hours(found):
        source += ", at the dearest hour"
    return CatalogEntry(info=info, source=source, date=_newest(snapshot, now.date()))


def _hours(model: PricedModel) -> list[time]:
    """When prices by the time of day begin."""
    conditional = model.prices if isinstance(model.prices, list) else []
    return [start for price in conditional if (start := getattr(price.constraint, "start_time", None)) is not None]


def _dearest(model: PricedModel, now: datetime) -> ModelPrice:
    """Today's price; of those that differ by the hour the highest, as what is told here is kept for days."""
    moments = [now, *(datetime.combine(now.date(), hour) for hour in _hours(model))]
    return max((model.get_prices(moment) for moment in moments), key=lambda price: _base(price.input_mtok or 0))


def _dollars(prices: ModelPrice) -> dict[str, float]:
    """US dollars per million tokens, by `ModelInfo`'s fields. None of them where a call has a price of its own, too:
    what tokens cost would then be taken for the whole.
    """
    if prices.input_mtok is None or prices.output_mtok is None or prices.requests_kcount:
        return {}
    wanted = {
        "input_usd": prices.input_mtok,
        "output_usd": prices.output_mtok,
        "cache_read_usd": prices.cache_read_mtok,
        "cache_write_usd": prices.cache_write_mtok,
    }
    return {name: _base(price) for name, price in wanted.items() if price is not None}


def _base(price: Decimal | TieredPrices | int) -> float:
    return float(price if isinstance(price, Decimal | int) else price.base)


def _has_tiers(prices: ModelPrice) -> bool:
    return any(hasattr(price, "tiers") for price in (prices.input_mtok, prices.output_mtok))


def _newest(snapshot: DataSnapshot, today: date) -> str:
    """The newest day that the data speaks of: it says nowhere of which day it is, and is at least of this one."""
    days = [day for day in _days(snapshot) if day <= today]
    return max(days).isoformat() if days else ""


def _days(snapshot: DataSnapshot) -> Iterable[date]:
    for provider in snapshot.providers:
        for model in provider.models:
            if isinstance(model.prices, list):
                for price in model.prices:
                    if (day := getattr(price.constraint, "start_date", None)) is not None:
                        yield day
