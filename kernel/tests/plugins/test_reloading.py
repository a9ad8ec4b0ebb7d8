"""Plugins that change while the program runs, in its process and in a host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hermes import App, PluginError, ToolFinished
from hermes.plugins.announcements import ask_for_reload
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say

SOURCE = '''
from hermes import hookimpl, tool

@tool(risk="read", effects="none")
def version() -> str:
    """The version."""
    return "version {number}"

@hookimpl
def on_turn_end(turn):
    pass

@hookimpl
async def provide(ctx):
    async def wait():
        import asyncio
        try:
            await asyncio.Event().wait()
        finally:
            (ctx.data_dir / "ended").write_text("{number}")
    ctx.spawn(wait(), "waiting")
    ctx.on_unload(lambda: (ctx.data_dir / "unloaded").write_text("{number}"))
    return []
'''
PLACES = ("host", "isolated")


class Bench:
    """An app with one drop-in, whose tool is called once a turn."""

    def __init__(self, app: App, model: ScriptedModel, told: list[str], file: Path) -> None:
        self.app = app
        self.model = model
        self.told = told
        self.file = file

    def write(self, text: str) -> None:
        before = self.file.stat().st_mtime_ns if self.file.exists() else 0
        self.file.write_text(text)
        os.utime(self.file, ns=(before + 1_000_000, before + 1_000_000))

    async def turn(self) -> str:
        """What the tool says; blank if it was not run."""
        self.model.queue += [say("", call("version")), say("done")]
        events = await collect(self.conversation.send("go"))
        return "".join(event.content[0].text for event in events if isinstance(event, ToolFinished))  # type: ignore[union-attr]

    async def begin(self) -> Bench:
        self.conversation = await self.app.conversation()
        return self


@asynccontextmanager
async def bench(home: Path, place: str) -> AsyncIterator[Bench]:
    file = home / "plugins" / "changing.py"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE.replace("{number}", "1"))
    model, told = ScriptedModel(), []  # type: ignore[var-annotated]
    where = {"plugins": {"entries": {"changing": {"isolation": place}}}}
    async with make_app(home, model=model, only=["changing"], overrides=where, notify=told.append) as app:
        yield await Bench(app, model, told, file).begin()


@pytest.mark.parametrize("place", PLACES)
def test_a_new_version_takes_the_place_of_the_old_one(home: Path, place: str) -> None:
    async def run() -> None:
        async with bench(home, place) as made:
            assert await made.turn() == "version 1"
            made.write(SOURCE.replace("{number}", "2"))
            ask_for_reload(made.app.home.run, ["changing"])
            assert await made.turn() == "version 2"
            (told,) = made.told
            assert told.startswith('The plugin "changing" was loaded again.')
            data = made.app.home.plugin_data / "changing"
            assert ((data / "ended").read_text(), (data / "unloaded").read_text()) == ("1", "1")
            counted = [found for found in made.app.plugins.counted() if found.hook == "on_turn_end"]
            assert [found.stats.fired for found in counted] == [1, 1]
            assert len([host for host in made.app.plugins.hosts() if host.pid]) == (place == "isolated")

    asyncio.run(run())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("import no_such_module_at_all", "No module named"),
        ("def (", "SyntaxError"),
        (SOURCE.replace("return []", "raise ValueError('no')"), "ValueError: no"),
        ("from hermes import hookimpl\n@hookimpl\ndef on_turn_end(nonsense): pass\n", "nonsense"),
    ],
    ids=["import", "syntax", "provide", "argument"],
)
def test_a_broken_edit_keeps_the_last_good_one(home: Path, place: str, broken: str, why: str) -> None:
    async def run() -> None:
        async with bench(home, place) as made:
            assert await made.turn() == "version 1"
            made.write(broken)
            ask_for_reload(made.app.home.run, ["changing"])
            assert await made.turn() == "version 1"
            assert why in made.told[-1]
            assert "The old one goes on" in made.told[-1]
            data = made.app.home.plugin_data / "changing"
            assert not (data / "ended").exists() or (data / "ended").read_text() != "1"
            made.write(SOURCE.replace("{number}", "3"))
            ask_for_reload(made.app.home.run, ["changing"])
            assert await made.turn() == "version 3"

    asyncio.run(run())


@pytest.mark.parametrize("place", PLACES)
def test_a_plugin_that_is_gone_is_gone(home: Path, place: str) -> None:
    async def run() -> None:
        async with bench(home, place) as made:
            assert await made.turn() == "version 1"
            made.file.unlink()
            assert await made.app.reloader.reload("changing") == 'The plugin "changing" is gone.'
            assert await made.turn() == ""
            assert not made.app.plugins.hosts()

    asyncio.run(run())


def test_a_broken_plugin_is_mended_by_loading_it_again(home: Path) -> None:
    async def run() -> None:
        async with bench(home, "isolated") as made:
            made.write("import no_such_module_at_all  # pre_tool_call")
            await made.app.reloader.reload("changing")
            assert made.app.plugins.hooks.has_guard
            made.write(SOURCE.replace("{number}", "2"))
            await made.app.reloader.reload("changing")
            assert not made.app.plugins.hooks.has_guard
            assert await made.turn() == "version 2"

    asyncio.run(run())


def test_what_is_not_there_cannot_be_loaded_again(home: Path) -> None:
    async def run() -> None:
        async with make_app(home) as app:
            with pytest.raises(PluginError, match="There is no plugin"):
                await app.reloader.reload("nothing")

    asyncio.run(run())
