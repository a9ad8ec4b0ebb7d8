"""``hermes sessions``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from hermes import (
    App,
    ConfigError,
    Done,
    HistoryQuery,
    Prune,
    SearchQuery,
    SessionChange,
    SessionIds,
    SessionQuery,
    SessionRecord,
    SessionRef,
)

from .export import as_jsonl, as_markdown, day, hidden

Answer = TypeVar("Answer")
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(help="List, show, search, rename, export, delete, prune stored sessions.")
def sessions() -> None:
    pass


def _with_app(work: Callable[[App], Awaitable[Answer]]) -> Answer:
    profile = click.get_current_context().find_root().params.get("profile") or ""

    async def run() -> Answer:
        async with App(profile=profile) as app:
            return await work(app)

    return asyncio.run(run())


def _print_json(value: Any) -> None:
    click.echo(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def _as_dict(record: SessionRecord) -> dict[str, Any]:
    """Every field, also those that hold their default."""
    fields: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__}
    fields["usage"] = {name: getattr(record.usage, name) for name in record.usage.__struct_fields__}
    fields["principal"] = record.principal.id
    return fields


@sessions.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.option("--surface", default="", metavar="NAME", help="Only those begun there: cli, library, …")
@json_option
def list_(limit: int, surface: str, as_json: bool) -> None:
    """List sessions, the newest first."""
    query = SessionQuery(limit=limit, surface=surface)

    async def work(app: App) -> Sequence[SessionRecord]:
        return (await app.store.find(query)).sessions

    found = _with_app(work)
    if as_json:
        _print_json([_as_dict(record) for record in found])
        return
    for record in found:
        about = record.title or record.preview
        click.echo(f"{record.id}  {day(record.updated)}  {record.message_count:4}  {record.outcome:11}  {about[:70]}")
    if not found:
        click.echo("There are no sessions yet.", err=True)


@sessions.command()
@click.argument("session_id")
@json_option
def show(session_id: str, as_json: bool) -> None:
    """Show a session, by its id or the beginning of it."""
    record, history, redact = _with_app(lambda app: _read(app, session_id))
    if as_json:
        messages = [msgspec.to_builtins(message) for message in history]
        _print_json(hidden({**_as_dict(record), "messages": messages}, redact))
        return
    click.echo("\n".join(as_markdown(record, history, redact)))


async def _read(app: App, session_id: str) -> tuple[SessionRecord, Any, Callable[[str], str]]:
    record = await app.find_session(session_id)
    history = await app.store.history(HistoryQuery(session_id=record.id))
    return record, history.messages, app.redact


@sessions.command()
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@json_option
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Search what was said: words, "a phrase", prefix*."""
    query = SearchQuery(text=" ".join(words), limit=limit)

    async def work(app: App) -> tuple[Any, Callable[[str], str]]:
        return await app.store.search(query), app.redact

    result, redact = _with_app(work)
    if as_json:
        _print_json(hidden(msgspec.to_builtins(result.hits), redact))
        return
    for hit in result.hits:
        more = f" (+{hit.hits - 1})" if hit.hits > 1 else ""
        click.echo(redact(f"{hit.session_id}  {day(hit.created)}  {hit.role}: {hit.snippet}{more}"))
    if not result.hits:
        click.echo("Nothing found.", err=True)


@sessions.command()
@click.argument("session_id")
@click.argument("title")
@json_option
def rename(session_id: str, title: str, as_json: bool) -> None:
    """Give a session a title."""

    async def work(app: App) -> SessionRecord:
        record = await app.find_session(session_id)
        return await app.store.change(SessionChange(session_id=record.id, title=title))

    record = _with_app(work)
    if as_json:
        _print_json(_as_dict(record))
    else:
        click.echo(f"{record.id}: {record.title}")


@sessions.command()
@click.argument("session_id")
@click.option("--format", "form", type=click.Choice(["jsonl", "markdown"]), default="jsonl", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write there instead of stdout.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
def export(session_id: str, form: str, output: str | None, as_json: bool) -> None:
    """Export a session as JSON lines or Markdown. Secrets are hidden."""
    record, history, redact = _with_app(lambda app: _read(app, session_id))
    lines = as_jsonl if as_json or form == "jsonl" else as_markdown
    text = "\n".join(lines(record, history, redact)) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.", hint="Choose another file.") from None


@sessions.command()
@click.argument("session_ids", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(session_ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete sessions and their transcripts, for good."""
    if not yes:
        _confirm(f"Delete {len(session_ids)} session(s)?")

    async def work(app: App) -> tuple[str, ...]:
        ids = [(await app.store.get(SessionRef(session_id=session_id))).id for session_id in session_ids]
        pruned = await app.store.delete(SessionIds(ids=tuple(ids)))
        _remove_transcripts(app, pruned.session_ids)
        return pruned.session_ids

    _report_removed(_with_app(work), 0, as_json=as_json, dry_run=False)


@sessions.command()
@click.option("--older-than", type=click.IntRange(min=0), metavar="DAYS", help="Default: sessions.retention_days.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def prune(older_than: int | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete sessions not used for long, and messages that were undone."""

    async def work(app: App, *, really: bool) -> Any:
        days = app.settings.sessions.retention_days if older_than is None else older_than
        pruned = await app.store.prune(Prune(before=time.time() - days * 86_400, dry_run=not really))
        if really:
            _remove_transcripts(app, pruned.session_ids)
        return pruned

    planned = _with_app(lambda app: work(app, really=False))
    if not dry_run and (planned.session_ids or planned.messages):
        if not yes:
            text = f"Delete {len(planned.session_ids)} session(s), {planned.messages} message(s) in all?"
            _confirm(text)
        planned = _with_app(lambda app: work(app, really=True))
    _report_removed(planned.session_ids, planned.messages, as_json=as_json, dry_run=dry_run)


def _confirm(question: str) -> None:
    """Ends the command unless the answer is yes."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("Nobody is there to confirm this. Add --yes to do it unasked.") from None
    if not agreed:
        click.echo("Nothing was deleted.", err=True)
        raise click.exceptions.Exit(1)


def _remove_transcripts(app: App, session_ids: Sequence[str]) -> None:
    for session_id in session_ids:
        for name in (f"{session_id}.jsonl", f"session_{session_id}.json"):
            (app.home.sessions / name).unlink(missing_ok=True)


def _report_removed(session_ids: Sequence[str], messages: int, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        _print_json({"session_ids": list(session_ids), "messages": messages, "dry_run": dry_run})
    else:
        verb = "would go" if dry_run else "deleted"
        counted = f", {messages} message(s) in all" if messages else ""
        click.echo(f"{len(session_ids)} session(s){counted} {verb}.")


@sessions.command()
@json_option
def stats(as_json: bool) -> None:
    """Count sessions, messages and bytes."""

    async def work(app: App) -> Any:
        return await app.store.stats(Done())

    found = _with_app(work)
    values = {name: getattr(found, name) for name in found.__struct_fields__}
    if as_json:
        _print_json(values)
    else:
        for name, value in values.items():
            click.echo(f"{name:12} {day(value) if name in ('oldest', 'newest') and value else value}")


@sessions.command()
@json_option
def check(as_json: bool) -> int:
    """Check the store; exit code 1 if something is wrong."""

    async def work(app: App) -> Any:
        return await app.store.check(Done())

    report = _with_app(work)
    if as_json:
        _print_json({"path": report.path, "problems": list(report.problems), "repaired": list(report.repaired)})
    else:
        for repaired in report.repaired:
            click.echo(f"repaired: {repaired}")
        for problem in report.problems:
            click.echo(f"problem: {problem}")
        if not report.problems:
            click.echo(f"{report.path}: sound")
    return int(bool(report.problems))
