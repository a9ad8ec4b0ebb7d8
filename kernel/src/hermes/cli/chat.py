"""``hermes chat``."""

from __future__ import annotations

from typing import Any

import click

from hermes.plugins.index import Index

from .options import chat_options, run_one_shot
from .root import plugin_options


def chat(index: Index) -> click.Command:
    @click.pass_context
    def run(ctx: click.Context, /, query: str | None, words: tuple[str, ...], **options: Any) -> int:
        prompt = query if query is not None else " ".join(words) or None
        return run_one_shot(ctx, index, prompt=prompt, **options)

    return click.Command(
        "chat",
        callback=run,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[PROMPT]..."),
            click.Option(["-q", "--query"], metavar="PROMPT", help="Answer this prompt and end; - reads stdin."),
            click.Option(
                ["-Q", "--quiet"], is_flag=True, help="Only the answer on stdout, the session's id on stderr."
            ),
            *chat_options(plugin_options(index)),
        ],
        help="Chat, or ask one question. The prompt may come on stdin.",
    )
