"""``hermes demo``: the main job, with no key and no network."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from hermes import (
    App,
    Conversation,
    HermesError,
    InputRequested,
    SearchQuery,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)

ASKED = "Write a haiku about a small kernel into haiku.md, and check it."
ASKED_LATER = "What was it that you wrote?"


@click.command()
@click.option(
    "--folder", default="hermes-demo", show_default=True, metavar="DIR", help="Where it works; made if need be."
)
@click.option("-p", "--profile", default="", metavar="NAME", help="Use the home of this profile.")
def demo(folder: str, profile: str) -> None:
    """See the agent at work: a recorded model, real tools, a stored session that is resumed."""
    asyncio.run(_demo(Path(folder).absolute(), profile))


async def _demo(folder: Path, profile: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "haiku.md").unlink(missing_ok=True)
    click.secho("The model is recorded (replay:demo); the tools, the files and the session are real.", dim=True)
    async with App(profile=profile, workspace=str(folder)) as app:
        conversation = await app.conversation(surface="cli", asking="inline", provider="replay", model="demo")
        await _ask(conversation, ASKED)
        session_id = conversation.id
    click.secho("\nAnother process would go on here: the session is read back from the store.", dim=True)
    async with App(profile=profile) as app:
        await _ask(await app.conversation(session_id, surface="cli"), ASKED_LATER)
        hits = (await app.store.search(SearchQuery(text="haiku kernel"))).hits
        home = app.home.path
    if not any(hit.session_id == session_id for hit in hits):
        raise HermesError("The demo's session is not found by a search.", hint="hermes doctor")
    click.secho("\nWhat is left of it:", dim=True)
    click.echo(f"  {folder / 'haiku.md'}")
    click.echo(f"  session {session_id} in {home}")
    click.echo("  hermes sessions search haiku")
    click.echo(f"  hermes sessions show {session_id}")


async def _ask(conversation: Conversation, prompt: str) -> None:
    click.secho(f"\n> {prompt}", bold=True)
    async for event in conversation.send(prompt):
        match event:
            case TextDelta():
                click.echo(event.text, nl=False)
                await asyncio.sleep(0.02)
            case InputRequested():
                click.secho(f"\n? {event.request.prompt} {event.request.reason}  [the demo says: once]", fg="yellow")
                await conversation.answer(event.request.id, "once")
            case ToolStarted():
                click.secho(f"\n· {event.name} {json.dumps(event.arguments, ensure_ascii=False)}", fg="cyan")
            case ToolFinished():
                text = "".join(getattr(part, "text", "") for part in event.content)
                click.secho(f"  {event.name}:", dim=True)
                click.secho("\n".join(f"    {line}" for line in text.splitlines()), dim=True)
            case TurnFinished():
                click.echo()
                if event.outcome != "done":
                    problem = event.error.message if event.error else event.outcome
                    raise HermesError(f"The demo did not end well: {problem}", hint="hermes doctor")
