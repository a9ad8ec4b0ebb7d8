"""``hermes logs``."""

from __future__ import annotations

from collections import deque

import click

from hermes.plugins.index import Index

from .output import complain
from .settings_file import home_of_context


def logs(index: Index) -> click.Command:
    @click.command("logs", help="Show the end of a log: errors by default.")
    @click.option("--all", "all_", is_flag=True, help="agent.log: everything, not only errors.")
    @click.option("-n", "--lines", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
    @click.option("--path", is_flag=True, help="Print where the file is.")
    @click.pass_context
    def command(ctx: click.Context, all_: bool, lines: int, path: bool) -> None:
        file = home_of_context(ctx).logs / ("agent.log" if all_ else "errors.log")
        if path:
            click.echo(str(file))
            return
        try:
            with file.open(encoding="utf-8", errors="replace") as text:
                for line in deque(text, maxlen=lines):
                    click.echo(line.rstrip("\n"))
        except FileNotFoundError:
            complain(f"{file} is not there: nothing was logged yet.")

    return command
