"""What every command of the group needs: an app of the profile that was asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hermes.cli.output import complain

if TYPE_CHECKING:
    from hermes import App

Answer = TypeVar("Answer")


def with_app(work: Callable[[App], Awaitable[Answer]], overrides: Mapping[str, Any] | None = None) -> Answer:
    from hermes import App

    profile = click.get_current_context().find_root().params.get("profile") or ""

    async def run() -> Answer:
        async with App(profile=profile, overrides=overrides, notify=_notify) as app:
            return await work(app)

    return asyncio.run(run())


def _notify(text: str) -> None:
    complain(f"hermes: {text}")


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
