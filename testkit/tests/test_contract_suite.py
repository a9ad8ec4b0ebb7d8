"""The base of the suites: places are where they say, folders are empty, drop-ins stay, what fails is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hermes import Done, Scope, SecretQuery, SecretSource
from hermes_testkit.behaviours import behaviours, described, failures
from hermes_testkit.contract_suite import PLACES, ContractSuite, FactorySuite, Place, put_plugin

TELLS_ITS_PROCESS = {
    "plugin.yaml": "name: teller\nprovides: {secret_source: [teller]}\n",
    "__init__.py": """
import os

from hermes import Provision, Secrets, hookimpl


class Teller:
    async def get(self, query):
        return Secrets(values={"PID": str(os.getpid())})


@hookimpl
def provide():
    return [Provision("secret_source", "teller", Teller)]
""",
}


class Teller(ContractSuite):
    contract = "secret_source"
    plugin = "teller"
    name = "teller"
    files = TELLS_ITS_PROCESS

    def process(self) -> int:
        async def body(source: SecretSource) -> int:
            return int((await source.get(SecretQuery(names=("PID",), scope=Scope(home="")))).values["PID"])

        return self.run(body)


def standing(suite: type[Any], place: Place, folder: Path) -> Any:
    subject = suite()
    subject.stand_at(place, folder)
    return subject


def test_places_are_where_they_say(tmp_path: Path) -> None:
    assert standing(Teller, "in_process", tmp_path).process() == os.getpid()
    assert standing(Teller, "in_host", tmp_path).process() != os.getpid()


@pytest.mark.parametrize("place", PLACES)
def test_what_a_factory_makes_is_served(place: Place, tmp_path: Path) -> None:
    class Served(FactorySuite):
        contract = "store"
        factory = "hermes.sessions.sqlite:open_store"

        def arguments(self) -> tuple[Any, ...]:
            return (None,)

    async def body(store: Any) -> str:
        await store.close(Done())
        return type(store).__name__

    kind = standing(Served, place, tmp_path).run(body)
    assert (kind == "SqliteStore") == (place == "in_process")


def test_the_folder_is_emptied_but_for_drop_ins(tmp_path: Path) -> None:
    subject = standing(Teller, "in_process", tmp_path)
    subject.process()
    (tmp_path / "left").mkdir()
    (tmp_path / "home" / "left.txt").write_text("x")
    code = tmp_path / "home" / "plugins" / "teller" / "__init__.py"
    before = code.stat()
    subject.stand_at("in_process", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["plugins"]
    subject.process()
    assert code.stat().st_mtime_ns == before.st_mtime_ns


def test_a_drop_in_is_put_from_a_folder(tmp_path: Path) -> None:
    put_plugin(tmp_path / "one", "teller", TELLS_ITS_PROCESS)
    put_plugin(tmp_path / "two", "teller", tmp_path / "one" / "plugins" / "teller")
    copied = tmp_path / "two" / "plugins" / "teller"
    assert {path.name: path.read_text() for path in copied.iterdir()} == TELLS_ITS_PROCESS


class Mixed(Teller):
    def test_good(self) -> None:
        """MIXED-GOOD-1: passes."""

    def test_skipped(self) -> None:
        """MIXED-SKIPPED-1: is left out."""
        pytest.skip("not declared")

    @pytest.mark.parametrize(("number", "limit"), [(1, 2), (3, 2)])
    def test_bad(self, number: int, limit: int) -> None:
        """MIXED-BAD-1: fails with one of its parameters."""
        assert number < limit


def test_failures_are_told_by_id(tmp_path: Path) -> None:
    failed = failures(Mixed, tmp_path)
    assert list(failed) == ["MIXED-BAD-1"]
    assert isinstance(failed["MIXED-BAD-1"], AssertionError)


def test_an_override_has_the_id_of_what_it_overrides() -> None:
    class Excused(Mixed):
        def test_bad(self, number: int, limit: int) -> None:
            """Not for this one, and why."""

    assert described(Excused, "test_bad") == ("MIXED-BAD-1", "fails with one of its parameters.")
    assert set(behaviours(Excused)) == {"MIXED-GOOD-1", "MIXED-SKIPPED-1", "MIXED-BAD-1"}
