"""What is known of models: kept lists, joined prices, and files that cannot be read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hermes import CatalogEntry, CatalogQuery, ModelInfo, ProviderSpec, Provision, hookimpl
from hermes.models.catalog import ENTRY_AGE, LIST_AGE, Catalog, KnownModel, LiveList
from hermes.plugins.manifest import Manifest
from hermes_testkit.scripted import ScriptedModel, SetClock, make_app

HERE = "https://one.example/v1"
FULL = ModelInfo(id="full", context_window=1000, input_usd=1.0, output_usd=2.0, cache_read_usd=0.1)
BARE = ProviderSpec()
DAMAGED = b'{"at":1,"base_url":"","models":[{}]}'


class Source:
    """Answers from ``entries`` and notes what was asked. None as ``entries``: nobody can be asked."""

    def __init__(self, entries: Mapping[str, CatalogEntry] | None) -> None:
        self.entries = entries
        self.asked: list[str] = []

    async def __call__(self, query: CatalogQuery) -> CatalogEntry | None:
        self.asked.append(f"{query.provider}:{query.model}")
        return None if self.entries is None else self.entries.get(query.model, CatalogEntry())


PRICED = CatalogEntry(info=ModelInfo(id="m", input_usd=5.0, output_usd=6.0), source="somebody", date="2026-11-01")


class Shelf:
    """A catalog in a folder; `again` makes another over the same files, as the next run of the program does."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.folder = folder
        self.clock = clock
        self.source = Source({"m": PRICED})
        self.catalog = self.again()

    def again(self) -> Catalog:
        return Catalog(lambda: self.folder, self.source, self.clock)

    def model(self, name: str, spec: ProviderSpec = BARE, catalog: Catalog | None = None) -> KnownModel:
        return asyncio.run((catalog or self.catalog).model("one", spec, name))


@pytest.fixture
def shelf(tmp_path: Path, clock: SetClock) -> Shelf:
    return Shelf(tmp_path / "cache", clock)


class TestLists:
    def test_a_list_is_kept_across_runs(self, shelf: Shelf) -> None:
        assert shelf.catalog.live("one") is None
        kept = shelf.catalog.keep("one", HERE, (FULL,))
        assert kept == LiveList(at=shelf.clock.now(), base_url=HERE, models=(FULL,))
        assert shelf.again().live("one") == kept
        assert shelf.again().fresh("one", HERE) == kept
        assert shelf.again().live("two") is None

    def test_after_a_day_it_is_old_and_still_better_than_nothing(self, shelf: Shelf) -> None:
        shelf.catalog.keep("one", HERE, (FULL,))
        shelf.clock.advance(LIST_AGE - 1)
        assert shelf.catalog.fresh("one", HERE) is not None
        shelf.clock.advance(1)
        assert shelf.catalog.fresh("one", HERE) is None
        assert shelf.catalog.live("one") is not None

    def test_another_address_has_another_list(self, shelf: Shelf) -> None:
        shelf.catalog.keep("one", HERE, (FULL,))
        assert shelf.catalog.fresh("one", "https://two.example/v1") is None

    @pytest.mark.parametrize("name", ["../../etc/x", "A/B", "with space", "ü"])
    def test_no_name_of_a_provider_leads_out_of_the_folder(self, shelf: Shelf, name: str) -> None:
        shelf.catalog.keep(name, HERE, (FULL,))
        assert [path.parent for path in shelf.folder.iterdir()] == [shelf.folder]
        assert shelf.again().fresh(name, HERE) is not None

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", DAMAGED])
    def test_a_damaged_file_counts_as_none(self, shelf: Shelf, damage: bytes) -> None:
        shelf.catalog.keep("one", HERE, (FULL,))
        (file,) = shelf.folder.iterdir()
        file.write_bytes(damage)
        assert shelf.again().live("one") is None
        assert shelf.again().keep("one", HERE, (FULL,)) == shelf.again().live("one")

    def test_where_nothing_can_be_kept_it_works_for_this_run(self, shelf: Shelf) -> None:
        shelf.folder.write_text("in the way")
        shelf.catalog.keep("one", HERE, (FULL,))
        assert shelf.catalog.fresh("one", HERE) is not None
        assert shelf.model("m").info.input_usd == 5.0
        assert shelf.folder.read_text() == "in the way"

    def test_no_half_written_file_is_left(self, shelf: Shelf) -> None:
        shelf.catalog.keep("one", HERE, (FULL,))
        shelf.model("m")
        assert sorted(os.listdir(shelf.folder)) == ["catalog.json", "models-one.json"]


class TestWindow:
    def test_the_manifest_comes_before_the_list(self, shelf: Shelf) -> None:
        shelf.catalog.keep("one", HERE, (ModelInfo(id="a", context_window=7), ModelInfo(id="b", context_window=8)))
        spec = ProviderSpec(models=[ModelInfo(id="a", context_window=5), "b", "c"])
        assert [shelf.catalog.window("one", spec, name) for name in ("a", "b", "c", "d")] == [5, 8, 0, 0]
        assert shelf.catalog.window("two", spec, "b") == 0


class TestJoining:
    def test_what_the_manifest_tells_whole_is_not_asked_for(self, shelf: Shelf) -> None:
        known = shelf.model("full", ProviderSpec(models=[FULL]))
        assert known == KnownModel(FULL, "the manifest of one", "")
        assert shelf.source.asked == []

    def test_what_the_list_tells_whole_is_not_asked_for_and_dated(self, shelf: Shelf) -> None:
        shelf.catalog.keep("one", HERE, (FULL,))
        assert shelf.model("full") == KnownModel(FULL, "the list of one", "2027-01-15")
        assert shelf.source.asked == []

    def test_the_rest_is_asked_for(self, shelf: Shelf) -> None:
        spec = ProviderSpec(models=[ModelInfo(id="m", context_window=9)])
        known = shelf.model("m", spec)
        assert (known.info.context_window, known.info.input_usd, known.source, known.date) == (
            9, 5.0, "somebody", "2026-11-01",
        )  # fmt: skip

    def test_prices_come_together_from_one_place(self, shelf: Shelf) -> None:
        half = ModelInfo(id="m", input_usd=99.0, cache_read_usd=98.0)
        info = shelf.model("m", ProviderSpec(models=[half])).info
        assert (info.input_usd, info.output_usd, info.cache_read_usd) == (5.0, 6.0, None)

    def test_the_source_is_that_of_the_prices_and_not_of_the_window(self, shelf: Shelf) -> None:
        shelf.source.entries = {"m": CatalogEntry(info=ModelInfo(id="m", context_window=3), source="s", date="d")}
        priced = ModelInfo(id="m", input_usd=1.0, output_usd=1.0)
        known = shelf.model("m", ProviderSpec(models=[priced]))
        assert (known.info.context_window, known.source, known.date) == (3, "the manifest of one", "")
        assert shelf.model("m").source == ""

    def test_of_each_further_thing_the_first_that_knows_it(self, shelf: Shelf) -> None:
        listed = ModelInfo(id="m", max_output=4, inputs=["image"], retires="2027-01-01", input_usd=1.0, output_usd=2.0)
        shelf.catalog.keep("one", HERE, (listed,))
        info = shelf.model("m", ProviderSpec(models=[ModelInfo(id="m", max_output=3)])).info
        assert (info.max_output, info.inputs, info.retires, info.input_usd) == (3, ["image"], "2027-01-01", 1.0)


class TestAsking:
    def test_an_answer_is_kept_for_a_week(self, shelf: Shelf) -> None:
        shelf.model("m")
        shelf.model("m", catalog=shelf.again())
        shelf.clock.advance(ENTRY_AGE - 1)
        shelf.model("m", catalog=shelf.again())
        assert shelf.source.asked == ["one:m"]
        shelf.clock.advance(1)
        shelf.model("m", catalog=shelf.again())
        assert shelf.source.asked == ["one:m", "one:m"]

    def test_that_nothing_is_known_is_kept_too(self, shelf: Shelf) -> None:
        assert shelf.model("unknown") == KnownModel(ModelInfo(id="unknown"))
        shelf.model("unknown", catalog=shelf.again())
        assert shelf.source.asked == ["one:unknown"]

    def test_that_nobody_could_be_asked_is_not_kept(self, shelf: Shelf) -> None:
        shelf.source.entries = None
        assert shelf.model("m").info.input_usd is None
        shelf.source.entries = {"m": PRICED}
        assert shelf.model("m").info.input_usd == 5.0

    def test_an_old_answer_is_better_than_none(self, shelf: Shelf) -> None:
        shelf.model("m")
        shelf.clock.advance(ENTRY_AGE)
        shelf.source.entries = None
        assert shelf.model("m").info.input_usd == 5.0

    def test_a_damaged_file_is_asked_for_again(self, shelf: Shelf) -> None:
        shelf.model("m")
        (shelf.folder / "catalog.json").write_bytes(b'{"one:m": {"at": 1}}')
        assert shelf.model("m", catalog=shelf.again()).info.input_usd == 5.0
        assert len(shelf.source.asked) == 2

    def test_many_are_kept_at_once(self, shelf: Shelf) -> None:
        names = [f"m-{number}" for number in range(500)]
        known = asyncio.run(shelf.catalog.models("one", BARE, names))
        assert [found.info.id for found in known] == names
        asyncio.run(shelf.again().models("one", BARE, names))
        assert len(shelf.source.asked) == 500


class Prices:
    """A plugin that knows prices, or fails."""

    def __init__(self, name: str, answer: CatalogEntry | BaseException) -> None:
        self.name = name
        self.manifest = Manifest(name=name, provides={"model_catalog": [name]})
        self.answer = answer

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("model_catalog", self.name, lambda: self)]

    async def lookup(self, query: CatalogQuery) -> CatalogEntry:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class TestPlugins:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def known(self, home: Path, *plugins: Any) -> KnownModel:
        async def work() -> KnownModel:
            async with make_app(home, *plugins) as app:
                return await app.router.catalog.model("scripted", app.router.specs["scripted"], "m")

        return asyncio.run(work())

    def test_the_first_that_knows_it_counts(self, tmp_path: Path) -> None:
        found = self.known(tmp_path, Prices("a", CatalogEntry()), Prices("b", PRICED))
        assert found.source == "somebody"

    def test_one_that_fails_is_logged_and_passed_over(self, tmp_path: Path) -> None:
        found = self.known(tmp_path, Prices("a", RuntimeError("no data")), Prices("b", PRICED))
        assert found.source == "somebody"
        log = (tmp_path / "logs" / "errors.log").read_text()
        assert "the model catalog a could not be asked for m" in log
        assert "no data" in log

    def test_without_one_nothing_is_kept_for_when_there_is_one(self, tmp_path: Path) -> None:
        assert self.known(tmp_path).source == ""
        assert self.known(tmp_path, Prices("b", PRICED)).source == "somebody"

    def test_one_that_fails_costs_no_answer(self, tmp_path: Path) -> None:
        async def work() -> str:
            model = ScriptedModel()
            async with make_app(tmp_path, Prices("a", RuntimeError("no data")), model=model) as app:
                conversation = await app.conversation()
                return [event async for event in conversation.send("hello")][-1].outcome  # type: ignore[union-attr]

        assert asyncio.run(work()) == "done"
