"""``hermes audit``."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hermes import ConfigError, PluginContext, with_context

from .chain import HASH
from .verify import Report, raw_lines, snapshot, verify

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(help="Verify and read the log of tool calls and approvals.")
def audit() -> None:
    pass


def _folder() -> Path:
    """Where the log is."""

    async def find(ctx: PluginContext) -> Path:
        return ctx.data_dir

    return with_context(find)


def _show(lines: list[str]) -> None:
    """Without secrets: arguments and results may hold some."""

    async def redact(ctx: PluginContext) -> list[str]:
        return [await ctx.redact(line) for line in lines]

    for line in with_context(redact):
        click.echo(line)


def _hash(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value and not HASH.fullmatch(value.lower()):
        raise click.BadParameter("a hash has 64 hexadecimal digits, as hermes audit head prints them")
    return value.lower()


@audit.command("verify")
@click.option("--head", default="", metavar="HASH", callback=_hash, help="A hash from before; it has to be in the log.")
@click.option(
    "--after", default="", metavar="HASH", callback=_hash, help="The last hash of files that were moved away."
)
@json_option
def verify_(head: str, after: str, as_json: bool) -> int:
    """Check that no line was changed, removed, moved or inserted; exit code 1 if one was.

    That the last lines were cut off can only be seen with --head: keep what `hermes audit head` prints elsewhere.
    """
    report = verify(_folder(), head=head, after=after)
    if as_json:
        _print_json({**report._asdict(), "problems": [problem._asdict() for problem in report.problems]})
    else:
        _tell(report)
    return int(bool(report.problems))


def _tell(report: Report) -> None:
    for problem in report.problems:
        where = f"{problem.file}:{problem.line}: " if problem.file else ""
        click.echo(f"{where}{problem.kind}: {problem.text}")
    if report.torn:
        click.echo(f"The last line is torn ({report.torn} bytes): a writer was killed. The next record sets it aside.")
    sound = "not sound" if report.problems else "sound"
    click.echo(f"{report.records} records in {len(report.files)} file(s): {sound}")
    if report.head:
        click.echo(f"head {report.head}")


@audit.command()
@json_option
def head(as_json: bool) -> int:
    """Print the last record's hash, to be kept where the log cannot be reached from."""
    last = next(iter(_last(_folder(), 1)), None)
    if last is None:
        click.echo("The log is empty.", err=True)
        return 1
    if as_json:
        _print_json({"seq": last["seq"], "hash": last["hash"], "at": last["at"]})
    else:
        click.echo(last["hash"])
    return 0


@audit.command()
@click.option("-n", "--lines", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.option("--session", default="", metavar="ID", help="Only of this session, by the beginning of its id.")
@json_option
def tail(lines: int, session: str, as_json: bool) -> None:
    """Show the newest records, one a line."""
    _show([json.dumps(record) if as_json else _line(record) for record in _last(_folder(), lines, session)])


@audit.command()
@click.argument("seq", type=click.IntRange(min=1))
@json_option
def show(seq: int, as_json: bool) -> None:
    """Show a record, by its number."""
    record = next((record for record in _records(_folder()) if record.get("seq") == seq), None)
    if record is None:
        raise ConfigError(f"There is no record {seq}.", hint="See: hermes audit tail")
    if as_json:
        _show([json.dumps(record, indent=2)])
        return
    lines = []
    for name, value in record.items():
        shown = _time(value) if name == "at" else value if isinstance(value, str) else json.dumps(value)
        lines.append(f"{name:15} {shown}")
    _show(lines)


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """Those that can be read; whether they are sound is another question."""
    for path, size in snapshot(folder):
        for raw in raw_lines(path, size):
            try:
                record = json.loads(raw)
            except ValueError:
                continue
            if isinstance(record, dict) and raw.endswith(b"\n"):
                yield record


def _last(folder: Path, count: int, session: str = "") -> deque[dict[str, Any]]:
    return deque((found for found in _records(folder) if found.get("session", "").startswith(session)), count)


def _line(record: dict[str, Any]) -> str:
    said = [str(record.get(name)) for name in ("tool", "outcome", "answer", "by", "file") if record.get(name)]
    said += [str(path) for path in (record.get("paths") or {}).values()]
    at, session = _time(record["at"]), record.get("session", "")
    return f"{record['seq']:6}  {at}  {record['kind']:9}  {session:22}  {' '.join(said)}".rstrip()


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
