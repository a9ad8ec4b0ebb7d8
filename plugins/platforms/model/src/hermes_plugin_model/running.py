"""What every command of the group needs: an app of the profile that was asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from hermes.cli.output import complain

if TYPE_CHECKING:
    from hermes import App

Answer = TypeVar("Answer")


class Running(NamedTuple):
    """An app, and the event loop that it lives in. A person is asked between two calls of ``wait_for``: there Ctrl+C
    is seen at once, while a prompt inside of a coroutine would swallow it.
    """

    app: App
    runner: asyncio.Runner

    def wait_for(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(work)


@contextmanager
def running(overrides: Mapping[str, Any] | None = None) -> Iterator[Running]:
    from hermes import App

    profile = click.get_current_context().find_root().params.get("profile") or ""
    with asyncio.Runner() as runner:
        app = App(profile=profile, overrides=overrides, notify=_notify)
        try:
            yield Running(app, runner)
        finally:
            runner.run(app.close())


def with_app(work: Callable[[App], Awaitable[Answer]], overrides: Mapping[str, Any] | None = None) -> Answer:
    with running(overrides) as here:

        async def run() -> Answer:
            return await work(here.app)

        return here.wait_for(run())


def _notify(text: str) -> None:
    complain(f"hermes: {text}")


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
