"""``hermes usage``, on homes whose books are written by the test."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hermes import LOCAL, ModelInfo, NewSession, SessionIds, SessionWrite, Usage, UsageRow
from hermes.config.home import Home
from hermes.contracts.values import Done
from hermes.models.catalog import Catalog
from hermes.sessions.sqlite import open_store
from hermes_plugin_usage.command import usage
from hermes_plugin_usage.page import cells_of, count, fitted
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Fail, ModelServer
from hermes_testkit.scripted import SetClock

TOKENS = Usage(
    input_tokens=1000, output_tokens=200, cache_read_tokens=3000, cache_write_tokens=100, reasoning_tokens=50
)
NOON = datetime.now().replace(hour=12, minute=0, second=0, microsecond=0)
ACME = """
providers:
  acme:
    transport: chat_completions
    base_url: http://127.0.0.1:9/v1
    prices_of: "2026-02-14"
    models: [{id: big, context_window: 1000, input_usd: 3, output_usd: 15}]
  listed: {transport: chat_completions, base_url: "http://127.0.0.1:9/v1"}
"""
Book = Callable[..., None]


@pytest.fixture
def book(home: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """Writes calls into the books of a session of a home that the command then reads."""
    monkeypatch.setenv("HERMES_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    home.mkdir()
    (home / "config.yaml").write_text(ACME)

    def write(session: str, *rows: UsageRow, title: str = "", deleted: bool = False) -> None:
        asyncio.run(_write(home, session, rows, title=title, deleted=deleted))

    return write


async def _write(home: Path, session: str, rows: Sequence[UsageRow], *, title: str = "", deleted: bool = False) -> None:
    store = open_store(home)
    await store.create(NewSession(id=session, created=time.time(), surface="cli", principal=LOCAL, title=title))
    await store.commit(SessionWrite(session_id=session, holder="test", usage=tuple(rows)))
    if deleted:
        await store.delete(SessionIds(ids=(session,)))
    await store.close(Done())


def row(model: str = "acme:big", days_ago: int = 0, cost: float | None = 0.5, **fields: Any) -> UsageRow:
    provider, _, name = model.partition(":")
    at = (NOON - timedelta(days=days_ago)).timestamp() if days_ago else time.time()
    given = {"usage": TOKENS, "principal": "local", "task": "main", **fields}
    return UsageRow(turn_id="t", at=at, provider=provider, model=name, cost_usd=cost, **given)


def run(*arguments: str, width: int = 80) -> Result:
    result = CliRunner().invoke(usage, arguments, standalone_mode=False, env={"COLUMNS": str(width)})
    if result.exception is not None:
        raise result.exception
    return result


def as_json(*arguments: str) -> Any:
    return json.loads(run("--json", *arguments).stdout)


def test_models_are_summed_the_dearest_first_with_all_kinds_of_tokens(book: Book) -> None:
    book("s1", row(cost=0.5), row(cost=0.25), row("other:x", cost=2.0))
    found = as_json()
    assert [(r["provider"], r["model"], r["calls"], r["cost_usd"]) for r in found["rows"]] == [
        ("other", "x", 1, 2.0),
        ("acme", "big", 2, 0.75),
    ]
    total = found["total"]
    assert total == {
        "calls": 3, "input_tokens": 3000, "cache_read_tokens": 9000, "cache_write_tokens": 300, "output_tokens": 600,
        "reasoning_tokens": 150, "total_tokens": 12900, "cost_usd": 2.75, "reported_usd": None, "unpriced_calls": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("provider", [{"provider": "acme"}, {"provider": "other"}]),
        ("model", [{"provider": "acme", "model": "big"}, {"provider": "other", "model": "x"}]),
        ("session", [{"session_id": "s1"}, {"session_id": "s2"}]),
        ("task", [{"task": "main"}, {"task": "title"}]),
        ("user", [{"user": "local"}, {"user": "telegram:7"}]),
    ],
)
def test_usage_is_told_apart_by_what_is_asked_for(book: Book, by: str, keys: list[dict[str, str]]) -> None:
    book("s1", row(cost=2.0))
    book("s2", row("other:x", cost=1.0, task="title", principal="telegram:7"))
    found = as_json("--by", by)
    assert [{name: r[name] for name in keys[0]} for r in found["rows"]] == keys
    assert [r["cost_usd"] for r in found["rows"]] == [2.0, 1.0]


def test_days_are_local_days_in_order_with_the_empty_ones_between(book: Book) -> None:
    book("s1", row(days_ago=3), row(days_ago=1, cost=1.0), row(days_ago=1, cost=1.0), row(days_ago=40))
    found = as_json("--by", "day", "--days", "10")
    day = [(NOON - timedelta(days=back)).date().isoformat() for back in (3, 2, 1, 0)]
    assert [(r["day"], r["calls"], r["cost_usd"]) for r in found["rows"]] == [
        (day[0], 1, 0.5),
        (day[1], 0, 0.0),
        (day[2], 2, 2.0),
        (day[3], 0, 0.0),
    ]
    assert found["until"] == day[3]
    assert as_json("--by", "day", "--days", "60")["total"]["calls"] == 4


def test_only_the_days_asked_for_count_from_midnight(book: Book) -> None:
    midnight = NOON.replace(hour=0)
    before = UsageRow(
        turn_id="t", at=midnight.timestamp() - 1, provider="p", model="m", principal="local", usage=TOKENS, cost_usd=8.0
    )
    at = UsageRow(
        turn_id="t", at=midnight.timestamp(), provider="p", model="m", principal="local", usage=TOKENS, cost_usd=1.0
    )
    book("s1", before, at)
    assert as_json("--days", "1")["total"]["cost_usd"] == 1.0
    assert as_json("--days", "2")["total"]["cost_usd"] == 9.0


def test_calls_without_a_known_price_are_counted_and_named(book: Book) -> None:
    book("s1", row(cost=1.5), row("house:free", cost=None), row("house:free", cost=None), row("acme:new", cost=None))
    shown = run().stdout
    assert "The cost is without 3 calls of models without known prices: house:free, acme:new." in shown
    total = next(line for line in shown.splitlines() if line.startswith("total"))
    assert total.endswith("$1.50+?")
    assert next(line for line in shown.splitlines() if line.startswith("house:free") and "#" not in line).endswith(" ?")
    assert "tokens  ##" in shown
    assert as_json()["total"]["unpriced_calls"] == 3


def test_a_known_cost_of_nothing_is_no_unknown_cost(book: Book) -> None:
    book("s1", row(cost=0.0))
    shown = run().stdout
    assert "$0.00" in shown
    assert "?" not in shown


def test_bars_are_as_long_as_the_cost_and_fill_the_width(book: Book) -> None:
    book("s1", row(cost=1.0), row("other:x", cost=4.0))
    for width in (64, 80, 200):
        bars = [line for line in run(width=width).stdout.splitlines() if "#" in line]
        assert [line.split()[0] for line in bars] == ["other:x", "acme:big"]
        long, short = (line.count("#") for line in bars)
        assert abs(long / 4 - short) <= 1
        assert width - 4 <= len(bars[0]) <= width


@pytest.mark.parametrize("width", [64, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_none_has_codes(book: Book, width: int) -> None:
    book("s1", row(), title="日本語の長い題名 " * 20)
    book("s2", row("other:a-model-with-quite-a-long-name/by-somebody", cost=123456.0), title="red \x1b[31m\nand more")
    for by in ("model", "session", "day"):
        shown = run("--by", by, width=width).stdout
        lines = shown[: shown.index("A call is priced")].splitlines()
        assert all(cells_of(line) <= width for line in lines)
        assert "\x1b" not in shown


LONG = [f"openrouter:anthropic/claude-with-quite-a-long-name-indeed-and-more-of-it-{number}.5" for number in (4, 5)]


def test_in_a_pipe_no_name_is_cut(hermes: Hermes) -> None:
    """A program reads them."""
    hermes.configure({})
    asyncio.run(_write(hermes.home, "s1", [row(name) for name in LONG]))
    shown = hermes("usage").out
    assert all(shown.count(name) == 2 for name in LONG)


def test_at_a_terminal_names_are_cut_so_that_their_ends_tell_them_apart(book: Book) -> None:
    book("s1", *(row(name) for name in LONG))
    shown = run(width=80).stdout
    assert LONG[0] not in shown
    labels = {line.split()[0] for line in shown.splitlines() if line.startswith("openrouter:")}
    assert {label[-3:] for label in labels} == {"4.5", "5.5"}


def test_a_refused_call_is_no_call_without_a_known_price(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script(Fail(400))
    assert hermes_with_model("-z", "hello").code == 1
    total = json.loads(hermes_with_model("usage", "--json").out)["total"]
    assert (total["calls"], total["unpriced_calls"], total["cost_usd"]) == (1, 0, 0.0)


def test_sessions_are_shown_with_what_they_are_about_and_the_many_together(book: Book) -> None:
    for number in range(5):
        book(f"s{number}", row(cost=5.0 - number), title=f"Title {number}")
    book("gone", row(cost=9.0), deleted=True)
    lines = run("--by", "session", "-n", "2", width=120).stdout.splitlines()
    table = lines[lines.index("") + 1 :]
    assert table[0].startswith("(deleted sessions)")
    assert table[1].startswith("s0 Title 0")
    assert table[2].startswith("(4 more)")
    assert "$10.00" in table[2]
    assert len(as_json("--by", "session")["rows"]) == 6


def test_prices_have_a_source_and_a_day(book: Book, home: Path) -> None:
    clock = SetClock(datetime(2026, 3, 1, 12).timestamp())
    model = ModelInfo(id="m", context_window=9, input_usd=0.1, output_usd=0.4)
    Catalog(lambda: Home(home).cache, None, clock).keep("listed", "http://127.0.0.1:9/v1", (model,))
    reported = Usage(input_tokens=1, cost_usd=0.25)
    book("s1", row(), row("listed:m"), row("router:x", cost=0.25, usage=reported), row("nobody:y", cost=None))
    shown = run(width=120).stdout
    assert "acme:big 3 and 15, your settings of 2026-02-14" in " ".join(shown.split())
    assert "0.1 and 0.4, the list of listed of 2026-03-01" in shown
    assert "reported by router with each call" in shown
    prices = {price["provider"]: price for price in as_json()["prices"]}
    assert prices["acme"]["date"] == "2026-02-14"
    assert (prices["listed"]["date"], prices["listed"]["input_usd"]) == ("2026-03-01", 0.1)
    assert (prices["nobody"]["source"], prices["nobody"]["unpriced_calls"]) == ("", 1)


def test_what_is_left_of_a_days_budget_is_told(book: Book, home: Path) -> None:
    book("s1", row(cost=0.5), row("house:free", cost=None), row(days_ago=1, cost=9.0))
    assert "Today" not in run().stdout
    (home / "config.yaml").write_text(ACME + "budget: {day_usd: 2, day_tokens: 100000}\n")
    shown = run().stdout
    assert "Today: $0.50 of $2.00 (budget.day_usd)." in shown
    assert "Today: 8,600 of 100,000 tokens (budget.day_tokens)." in shown
    assert as_json()["today"] == {"cost_usd": 0.5, "tokens": 8600, "limit_usd": 2, "limit_tokens": 100000}


def test_nothing_used_is_said_and_is_no_error(book: Book) -> None:
    book("s1", row(days_ago=9))
    result = run("--days", "3")
    assert result.stdout == ""
    assert "No model was called since" in result.stderr
    assert as_json("--days", "3")["rows"] == []


def test_the_command_counts_what_a_run_spent(hermes_with_model: Hermes, model_server: Any) -> None:
    assert hermes_with_model("-z", "hello").code == 0
    found = json.loads(hermes_with_model("usage", "--json").out)
    assert found["total"]["calls"] == 1
    assert found["total"]["input_tokens"] > 0
    shown = hermes_with_model("usage")
    assert shown.code == 0
    assert "\x1b" not in shown.out


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (3_500_000, "3.5M"),
        (10**12, "1000G"),
    ],
)
def test_counts_are_short(tokens: int, shown: str) -> None:
    assert count(tokens) == shown


def test_labels_fit_their_column_whatever_is_in_them() -> None:
    for text in ("short", "much too long for it", "日本語の題名です", "e\u0301tude de cas", "\x1b[2J\r\n"):
        assert cells_of(fitted(text, 10)) == 10
