"""Prices and windows, from the real data package."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from genai_prices import __version__
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

import hermes_plugin_prices
from hermes import CatalogEntry, CatalogQuery
from hermes.plugins.manifest import read_manifest
from hermes_plugin_prices.data import PROVIDERS, GenaiPrices
from hermes_testkit.scripted import SetClock, make_app

ROOT = Path(__file__).resolve().parents[4]


def looked_up(provider: str, model: str) -> CatalogEntry:
    return asyncio.run(GenaiPrices().lookup(CatalogQuery(provider=provider, model=model)))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-5-5"),
        ("azure-foundry", "gpt-4o"),
        ("bedrock", "us.anthropic.claude-sonnet-4-6"),
        ("gemini", "gemini-2.5-pro"),
        ("groq", "llama-3.3-70b-versatile"),
        ("kimi", "kimi-k3"),
        ("openai", "gpt-5.6-terra"),
        ("openrouter", "anthropic/claude-sonnet-5.5"),
        ("xai", "grok-4"),
    ],
)
def test_known_models_have_prices_with_a_source_and_a_day(provider: str, model: str) -> None:
    entry = looked_up(provider, model)
    assert entry.info is not None
    assert entry.info.id == model
    assert entry.info.input_usd is not None
    assert entry.info.output_usd is not None
    assert 0 < entry.info.input_usd < entry.info.output_usd < 1000
    assert entry.source.startswith(f"genai-prices {__version__}")
    assert date(2026, 1, 1) < date.fromisoformat(entry.date) <= datetime.now(tz=UTC).date()


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "no-such-model"), ("nobody", "gpt-4o"), ("kimi-coding", "kimi-k3"), ("openai", "")],
)
def test_what_is_not_known_is_not_guessed(provider: str, model: str) -> None:
    assert looked_up(provider, model) == CatalogEntry()


def test_every_provider_of_the_table_is_one_of_ours_and_one_of_theirs() -> None:
    manifests = [read_manifest(file) for file in (ROOT / "plugins/providers").glob("*/src/*/plugin.yaml")]
    assert set(PROVIDERS) <= {name for manifest in manifests for name in manifest.providers}
    assert set(PROVIDERS.values()) <= {provider.id for provider in get_snapshot().providers}


class TestMadeUpData:
    """Shapes of prices, one model each."""

    @pytest.fixture(autouse=True)
    def data(self) -> object:
        def model(name: str, prices: ModelPrice | list[ConditionalPrice], window: int | None = None) -> ModelInfo:
            return ModelInfo(id=name, match=ClauseEquals(equals=name), prices=prices, context_window=window)

        tiered = TieredPrices(base=Decimal("1.5"), tiers=[Tier(start=200_000, price=Decimal(3))])
        today = datetime.now(tz=UTC).date()
        days = (date(2026, 3, 1), date(today.year + 5, 1, 1))
        dated = [ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(9), output_mtok=Decimal(9)))]
        dated += [
            ConditionalPrice(
                constraint=StartDateConstraint(start_date=day),
                prices=ModelPrice(input_mtok=Decimal(number), output_mtok=Decimal(number)),
            )
            for number, day in enumerate(days, start=1)
        ]
        hourly = [ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2)))]
        hourly += [
            ConditionalPrice(
                constraint=TimeOfDateConstraint(
                    start_time=time(start, tzinfo=UTC), end_time=time(start + 1, tzinfo=UTC)
                ),
                prices=ModelPrice(input_mtok=Decimal(price), output_mtok=Decimal(price)),
            )
            for start, price in ((3, 4), (5, 7))
        ]
        models = [
            model("tiered", ModelPrice(input_mtok=tiered, output_mtok=Decimal(6))),
            model("dated", dated),
            model("hourly", hourly),
            model("window-only", ModelPrice(), 8192),
            model("half", ModelPrice(input_mtok=Decimal(1))),
            model("free", ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))),
            model(
                "by-request",
                ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), requests_kcount=Decimal(12)),
                8192,
            ),
        ]
        provider = Provider(id="groq", name="x", api_pattern="x", models=models)
        set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
        yield
        set_custom_snapshot(None)

    def test_of_tiers_the_lowest_is_taken_and_said(self) -> None:
        entry = looked_up("groq", "tiered")
        assert entry.info is not None
        assert (entry.info.input_usd, entry.info.output_usd) == (1.5, 6.0)
        assert entry.source == f"genai-prices {__version__}, up to the first tier"

    def test_the_price_of_today_is_taken_and_the_newest_past_day(self) -> None:
        entry = looked_up("groq", "dated")
        assert entry.info is not None
        assert entry.info.input_usd == 1.0
        assert entry.date == "2026-03-01"

    def test_of_prices_by_the_hour_the_highest_is_taken_and_said(self) -> None:
        entry = looked_up("groq", "hourly")
        assert entry.info is not None
        assert (entry.info.input_usd, entry.info.output_usd) == (7.0, 7.0)
        assert entry.source == f"genai-prices {__version__}, at the dearest hour"

    def test_a_window_alone_is_something(self) -> None:
        entry = looked_up("groq", "window-only")
        assert entry.info is not None
        assert (entry.info.context_window, entry.info.input_usd) == (8192, None)

    def test_half_a_price_is_none(self) -> None:
        assert looked_up("groq", "half") == CatalogEntry()

    def test_nothing_to_pay_is_a_price(self) -> None:
        entry = looked_up("groq", "free")
        assert entry.info is not None
        assert (entry.info.input_usd, entry.info.output_usd) == (0.0, 0.0)

    def test_where_each_call_costs_too_tokens_alone_have_no_price(self) -> None:
        entry = looked_up("groq", "by-request")
        assert entry.info is not None
        assert (entry.info.context_window, entry.info.input_usd, entry.info.output_usd) == (8192, None, None)


def test_the_kernel_asks_it_for_models_that_no_manifest_knows(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def work() -> object:
        async with make_app(tmp_path / "home", only=["prices"], clock=clock) as app:
            spec = app.router.specs["scripted"]
            return await app.router.catalog.model("openai", spec, "gpt-4o")

    known = asyncio.run(work())
    assert known.info.input_usd == 2.5
    assert known.source.startswith("genai-prices ")


def test_an_entry_goes_over_the_border() -> None:
    entry = looked_up("anthropic", "claude-opus-5-5")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=CatalogEntry) == entry


def test_the_data_is_imported_with_the_first_question() -> None:
    code = (
        "import sys, hermes_plugin_prices as p; made = p.provide()[0].make()\n"
        "assert not {'genai_prices', 'pydantic', 'httpx2'} & set(sys.modules), sys.modules"
    )
    assert hermes_plugin_prices.provide()[0].name == "genai-prices"
    subprocess.run([sys.executable, "-c", code], check=True)
