"""What was used since a day, as rows: read from the store, and from what is known of prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple

from hermes import App, HermesError, SessionRef, Usage, UsageQuery, UsageSum
from hermes.contracts.store import UsageField

By = Literal["model", "provider", "session", "day", "task", "user"]
FIELDS: dict[By, tuple[UsageField, ...]] = {
    "model": ("provider", "model"),
    "provider": ("provider",),
    "session": ("session_id",),
    "day": (),
    "task": ("task",),
    "user": ("principal",),
}


class Row(NamedTuple):
    """``keys``: what the row is of, by the names that JSON has; ``cost_usd`` is without ``unpriced`` calls."""

    label: str
    keys: dict[str, str]
    calls: int
    unpriced: int
    usage: Usage
    cost_usd: float | None


class Price(NamedTuple):
    """US dollars for a million tokens; None: not known. ``source``: where from; ``day``: of which day, if known."""

    provider: str
    model: str
    input_usd: float | None
    output_usd: float | None
    source: str
    day: str
    unpriced: int


class Today(NamedTuple):
    """Spent since midnight, and the limits that the settings have for a day; None: no limit."""

    cost_usd: float
    tokens: int
    limit_usd: float | None
    limit_tokens: int | None


class Books(NamedTuple):
    by: By
    days: tuple[date, ...]
    rows: list[Row]
    total: Row
    prices: list[Price]
    today: Today


def last_days(count: int, now: float) -> tuple[date, ...]:
    """The last days by the local calendar, today among them."""
    today = datetime.fromtimestamp(now).date()
    return tuple(today - timedelta(days=back) for back in range(count - 1, -1, -1))


async def read_books(app: App, by: By, days: int) -> Books:
    """Rows by cost, the dearest first, then by tokens; days in their order, from the first that has any use."""
    calendar = last_days(days, app.clock.now())
    starts = tuple(datetime.combine(day, time.min).timestamp() for day in calendar)
    query = UsageQuery(by=FIELDS[by], since=starts[0], periods=starts if by == "day" else ())
    sums = (await app.store.usage(query)).sums
    models = sums if by == "model" else (await app.store.usage(UsageQuery(by=FIELDS["model"], since=starts[0]))).sums
    if by == "day":
        rows = _by_day(calendar, dict(zip(starts, calendar, strict=True)), sums)
    else:
        rows = sorted((_row(by, found) for found in sums), key=_weight)
    prices = [await _price(app, found) for found in models]
    return Books(by, calendar, rows, total_of("total", rows), prices, await _today(app, starts[-1]))


async def _today(app: App, midnight: float) -> Today:
    limits = app.settings.budget
    sums = (await app.store.usage(UsageQuery(by=(), since=midnight))).sums
    dollars = sum(found.cost_usd or 0.0 for found in sums)
    return Today(dollars, sum(found.usage.total_tokens for found in sums), limits.day_usd, limits.day_tokens)


def _by_day(calendar: Sequence[date], day_of: dict[float, date], sums: Sequence[UsageSum]) -> list[Row]:
    used = {day_of[found.period]: found for found in sums}
    first = min(used, default=calendar[-1])
    empty = UsageSum(api_calls=0, usage=Usage(), cost_usd=0.0)
    return [
        _made(day.isoformat(), {"day": day.isoformat()}, used.get(day, empty))
        for day in calendar
        if used and day >= first
    ]


def _row(by: By, found: UsageSum) -> Row:
    match by:
        case "model":
            return _made(f"{found.provider}:{found.model}", {"provider": found.provider, "model": found.model}, found)
        case "session":
            return _made(found.session_id or "(deleted sessions)", {"session_id": found.session_id}, found)
        case "user":
            return _made(found.principal, {"user": found.principal}, found)
        case "provider":
            return _made(found.provider, {"provider": found.provider}, found)
        case _:
            return _made(found.task, {"task": found.task}, found)


def _made(label: str, keys: dict[str, str], found: UsageSum) -> Row:
    return Row(label, keys, found.api_calls, found.unpriced_calls, found.usage, found.cost_usd)


def _weight(row: Row) -> tuple[float, int]:
    return -(row.cost_usd or 0.0), -row.usage.total_tokens


def total_of(label: str, rows: Sequence[Row]) -> Row:
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    return Row(
        label,
        {},
        sum(row.calls for row in rows),
        sum(row.unpriced for row in rows),
        sum((row.usage for row in rows), Usage()),
        sum(costs) if costs else None,
    )


async def titled(app: App, rows: Sequence[Row]) -> list[Row]:
    """Rows of sessions, with what each session is about."""
    shown = []
    for row in rows:
        if row.keys.get("session_id"):
            record = await app.store.get(SessionRef(session_id=row.keys["session_id"]))
            row = row._replace(label=app.redact(f"{row.label} {record.title or record.preview}".strip()))
        shown.append(row)
    return shown


async def _price(app: App, found: UsageSum) -> Price:
    """Where what a model cost is known from."""
    price = Price(found.provider, found.model, None, None, "", "", found.unpriced_calls)
    if not found.unpriced_calls and found.cost_usd is not None and found.cost_usd == found.usage.cost_usd:
        return price._replace(source=f"reported by {found.provider} with each call")
    spec = app.router.specs.get(found.provider)
    if spec is None:
        return price
    try:
        info, source, day = await app.router.catalog.model(found.provider, spec, found.model)
    except HermesError as error:
        app.log.warning("the price of %s:%s cannot be looked up: %s", found.provider, found.model, error)
        return price
    if info.input_usd is None or info.output_usd is None:
        return price
    return price._replace(input_usd=info.input_usd, output_usd=info.output_usd, source=source, day=day)
