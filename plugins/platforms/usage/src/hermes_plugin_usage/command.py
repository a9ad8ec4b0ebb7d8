"""``hermes usage``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from typing import Any

import click

from hermes import App

from .books import Books, By, Price, Row, read_books, titled
from .page import page


@click.command(help="Show tokens, calls and cost, by model, session, day or user.")
@click.option(
    "--days", type=click.IntRange(1, 3660), default=30, show_default=True, metavar="N", help="Today included."
)
@click.option(
    "--by",
    type=click.Choice(["model", "provider", "session", "day", "task", "user"]),
    default="model",
    show_default=True,
)
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Not of days."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, all of it.")
def usage(days: int, by: By, limit: int, as_json: bool) -> None:
    profile = click.get_current_context().find_root().params.get("profile") or ""

    async def read() -> tuple[Books, list[Row], list[Row]]:
        async with App(profile=profile) as app:
            books = await read_books(app, by, days)
            most = len(books.rows) if as_json or by == "day" else limit
            shown = books.rows[:most] if as_json else await titled(app, books.rows[:most])
            return books, shown, books.rows[most:]

    books, shown, more = asyncio.run(read())
    if as_json:
        click.echo(json.dumps(_as_dict(books), indent=2, ensure_ascii=False))
    elif not books.total.calls:
        click.echo(f"No model was called since {books.days[0].isoformat()}.", err=True)
    else:
        for line in page(books, shown, more=more, width=_width()):
            click.echo(line)


def _width() -> int | None:
    """Of the terminal; None where the report goes into a file or to a program, unless ``COLUMNS`` says a width."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if known else None


def _as_dict(books: Books) -> dict[str, Any]:
    return {
        "by": books.by,
        "since": books.days[0].isoformat(),
        "until": books.days[-1].isoformat(),
        "rows": [_row_as_dict(row) for row in books.rows],
        "total": _row_as_dict(books.total),
        "today": books.today._asdict(),
        "prices": [_price_as_dict(price) for price in books.prices],
    }


def _row_as_dict(row: Row) -> dict[str, Any]:
    usage = row.usage
    return {
        **row.keys,
        "calls": row.calls,
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": row.cost_usd,
        "reported_usd": usage.cost_usd,
        "unpriced_calls": row.unpriced,
    }


def _price_as_dict(price: Price) -> dict[str, Any]:
    return {
        "provider": price.provider,
        "model": price.model,
        "input_usd": price.input_usd,
        "output_usd": price.output_usd,
        "source": price.source,
        "date": price.day,
        "unpriced_calls": price.unpriced,
    }
