"""The report for a terminal: a chart, a table, and where its figures are from. Plain characters only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from .books import Books, Price, Row, Today, total_of

LEAST_WIDTH = 64
USUAL_WIDTH = 80
COLUMNS = ("calls", "in", "cache r", "cache w", "out", "reason", "cost")
"""What was read from the provider's cache, and written to it; reasoning is part of what came out."""


def page(books: Books, rows: Sequence[Row], *, more: Sequence[Row], width: int | None) -> Iterator[str]:
    """Lines. ``rows``: those to be shown; ``more``: those that get one line together.

    ``width``: of the terminal, in columns; None: there is none, and no name is cut.
    """
    shown = [*rows, total_of(f"({len(more)} more)", more)] if more else list(rows)
    width = max(width, LEAST_WIDTH) if width is not None else _uncut(shown, books.prices)
    first, last = books.days[0], books.days[-1]
    yield f"Usage by {books.by}, {first.isoformat()} to {last.isoformat()}"
    yield ""
    yield from _chart(shown, books.total, width)
    yield ""
    yield from _table([*shown, books.total], width)
    if notes := [*_unknown(books), *_budget(books.today), *_prices(books.prices, width)]:
        yield ""
        yield from notes


def _uncut(rows: Sequence[Row], prices: Sequence[Price]) -> int:
    """The width in which each name has the third, or half, that it may take."""
    labels = [cells_of(row.label) for row in rows]
    names = [cells_of(f"{price.provider}:{price.model}") for price in prices]
    return max(USUAL_WIDTH, *(3 * size for size in labels), *(2 * size for size in names))


def _chart(rows: Sequence[Row], total: Row, width: int) -> Iterator[str]:
    """A bar a row: of cost, or, where not all of that is known, of tokens."""
    priced = not total.unpriced and bool(total.cost_usd)
    sizes = [(row.cost_usd or 0.0) if priced else float(row.usage.total_tokens) for row in rows]
    values = [money(row) if priced else f"{count(row.usage.total_tokens)} tokens" for row in rows]
    most = max(sizes) or 1.0
    label_width, value_width = _label_width(rows, width // 3), max(map(len, values))
    room = max(width - label_width - value_width - 4, 1)
    for row, size, value in zip(rows, sizes, values, strict=True):
        bar = "#" * max(round(room * size / most), int(size > 0))
        yield f"{fitted(row.label, label_width)}  {value:>{value_width}}  {bar}".rstrip()


def _table(rows: Sequence[Row], width: int) -> Iterator[str]:
    """A line a row; where a label has no room beside the figures, it stands above them."""
    cells = [_cells(row) for row in rows]
    widths = [max(len(name), *(len(line[at]) for line in cells)) for at, name in enumerate(COLUMNS)]
    needed = sum(widths) + 2 * len(widths)
    beside = width - needed >= 16
    label_width = _label_width(rows, width - needed) if beside else 0

    def figures(line: Sequence[str]) -> str:
        return "".join(f"  {cell:>{size}}" for cell, size in zip(line, widths, strict=True))

    yield " " * label_width + figures(COLUMNS)
    for row, line in zip(rows, cells, strict=True):
        if not beside:
            yield fitted(row.label, width).rstrip()
        yield (fitted(row.label, label_width) if beside else "") + figures(line)


def _cells(row: Row) -> tuple[str, ...]:
    usage = row.usage
    tokens = (
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )
    return (str(row.calls), *map(count, tokens), money(row))


def _unknown(books: Books) -> Iterator[str]:
    if not (unpriced := books.total.unpriced):
        return
    models = ", ".join(f"{price.provider}:{price.model}" for price in books.prices if price.unpriced)
    yield printable(
        f"The cost is without {unpriced} call{'s' * (unpriced != 1)} of models without known prices: {models}."
    )


def _budget(today: Today) -> Iterator[str]:
    if today.limit_usd is not None:
        yield f"Today: ${today.cost_usd:,.2f} of ${today.limit_usd:,.2f} (budget.day_usd)."
    if today.limit_tokens is not None:
        yield f"Today: {today.tokens:,} of {today.limit_tokens:,} tokens (budget.day_tokens)."


def _prices(prices: Sequence[Price], width: int) -> Iterator[str]:
    known = [price for price in prices if price.source]
    if not known:
        return
    yield "A call is priced when it is made. Prices now, in US dollars for a million tokens in and out:"
    names = [f"{price.provider}:{price.model}" for price in known]
    room = min(max(map(cells_of, names)), width // 2)
    for name, price in zip(names, known, strict=True):
        told = f"{price.input_usd:g} and {price.output_usd:g}, " if price.input_usd is not None else ""
        yield f"  {fitted(name, room)}  {told}{price.source}{f' of {price.day}' if price.day else ''}"


def count(tokens: int) -> str:
    """At most five characters up to a billion."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}" if tokens < 99.95 * size else f"{tokens / size:.0f}{unit}"
    return str(tokens)


def money(row: Row) -> str:
    """``$1.20``; ``$1.20+?`` where some of it is not known, ``?`` where nothing is."""
    if row.cost_usd is None:
        return "?" if row.unpriced else "$0.00"
    digits = 4 if 0 < row.cost_usd < 0.1 else 2
    return f"${row.cost_usd:,.{digits}f}{'+?' if row.unpriced else ''}"


def printable(text: str) -> str:
    """On one line, with nothing in it that a terminal obeys."""
    return "".join(char if char.isprintable() else " " for char in text)


def cells_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    return sum(_cells_of(char) for char in printable(text))


def _cells_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _label_width(rows: Sequence[Row], most: int) -> int:
    return min(max(cells_of(row.label) for row in rows), most)


def fitted(text: str, width: int) -> str:
    """Exactly so many columns: filled with blanks, or cut in the middle, for names differ at their ends."""
    text = printable(text)
    if cells_of(text) <= width:
        return text + " " * (width - cells_of(text))
    tail = _cut(reversed(text), (width - 1) // 2)[::-1]
    head = _cut(text, width - 1 - cells_of(tail))
    return f"{head}…{tail}" + " " * (width - 1 - cells_of(head) - cells_of(tail))


def _cut(text: Iterable[str], width: int) -> str:
    """As much of its beginning as there is room for."""
    used, kept = 0, ""
    for char in text:
        used += _cells_of(char)
        if used > width:
            break
        kept += char
    return kept
