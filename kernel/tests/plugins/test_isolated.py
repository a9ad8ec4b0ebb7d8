"""Plugins in hosts of their own, through the real `App`: loaded, called both ways, lost, started again, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hermes import App, Endpoint, ModelRequest, PluginError, TextDelta, TextPart, ToolCall, ToolOutcome
from hermes.plugins import channel as channels
from hermes.plugins import isolated
from hermes.plugins.sandbox import bubblewrap
from hermes_testkit.scripted import SetClock, make_app

WAIT = 30.0
NAMES = "ModelFinished, ModelInfo, ModelList, ProviderCapabilities, Provision, TextDelta, Verdict, hookimpl, tool"
SELF = """
@tool(risk="read", effects="none")
def whoami() -> int:
    "Says its process."
    return os.getpid()

@tool(risk="read", effects="none")
def die() -> str:
    "Ends its process."
    os._exit(3)

@hookimpl
def on_session_start(session):
    pass
"""

Put = Callable[..., None]


class StillClock(SetClock):
    """A clock that only tests move; notes for how long it was slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def put(home: Path) -> Put:
    """Puts a plugin into the home; ``manifest`` goes into its header."""

    def write(name: str, source: str, **manifest: Any) -> None:
        folder = home / "plugins"
        folder.mkdir(parents=True, exist_ok=True)
        header = "".join(f"# {line}\n" for line in yaml.safe_dump({"name": name, **manifest}).splitlines())
        code = f"# /// hermes\n{header}# ///\nimport asyncio, os, time\nfrom hermes import {NAMES}\n"
        (folder / f"{name.replace('-', '_')}.py").write_text(code + textwrap.dedent(source))

    return write


def app_of(home: Path, *names: str, inside: tuple[str, ...] = (), **options: Any) -> App:
    """These plugins in hosts, and those ``inside`` in this process."""
    places = {**dict.fromkeys(names, "isolated"), **dict.fromkeys(inside, "host")}
    settings = {"plugins": {"entries": {name: {"isolation": place} for name, place in places.items()}}}
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    return make_app(home, only=[*names, *inside], **options)


def running(work: Callable[[App], Awaitable[Any]], home: Path, *names: str, **options: Any) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(WAIT), app_of(home, *names, **options) as app:
            await app.plugins.start()
            app.registry.refresh()
            return await work(app)

    return asyncio.run(run())


async def outcome(app: App, tool: str, **arguments: Any) -> ToolOutcome:
    """What a tool answers, without a model that calls it."""
    entry = app.registry.entries()[tool]
    bound = await app.registry.bind(entry)
    call = ToolCall(id=f"c-{tool}", name=tool, arguments=arguments, scope=app.scope, session_id="s")
    extra = {"ctx": app.context(entry.plugin).for_call(call)} if bound.wants_context else {}
    answer = bound.function(**arguments, **extra)
    found = await answer if asyncio.iscoroutine(answer) else answer
    return found if isinstance(found, ToolOutcome) else ToolOutcome(content=(TextPart(str(found)),))


async def said(app: App, tool: str, **arguments: Any) -> str:
    answer = await outcome(app, tool, **arguments)
    return "".join(part.text for part in answer.content if isinstance(part, TextPart))


async def until(happened: Callable[[], bool]) -> None:
    """Gives the loop to others until something has happened."""
    while not happened():  # noqa: ASYNC110 (a process is no event of the loop)
        await asyncio.sleep(0.001)


def processes(pid: int) -> set[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(name)] = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def gone(pids: set[int]) -> bool:
    """Whether all of them have ended; bubblewrap's own may take a moment."""
    deadline = time.monotonic() + 5
    while any(Path("/proc", str(pid)).exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


# Loading.


def test_plugin_runs_in_another_process(home: Path, put: Put) -> None:
    put("self", SELF)
    put("near", "@tool(risk='read')\ndef near() -> int:\n    'Says its process.'\n    return os.getpid()\n")

    async def work(app: App) -> tuple[str, str, set[int]]:
        (host,) = app.plugins.hosts()
        return await said(app, "whoami"), await said(app, "near"), processes(host.pid)

    far, near, pids = running(work, home, "self", inside=("near",))
    assert near == str(os.getpid())
    assert far != near
    assert os.getpid() not in pids


def test_tools_that_code_registers_are_found(home: Path, put: Put) -> None:
    put(
        "adds",
        """
        def shout(text: str, loud: bool = True) -> str:
            "Says it loudly."
            return text.upper() if loud else text

        @hookimpl
        def register_tools(registry):
            registry.add(shout, name="cry", risk="read", description="Cries.")
        """,
    )

    async def work(app: App) -> Any:
        entry = app.registry.entries()["cry"]
        return (
            entry.description,
            entry.options.risk,
            await said(app, "cry", text="hello"),
            await said(app, "cry", text="hello", loud=False),
        )

    assert running(work, home, "adds") == ("Cries.", "read", "HELLO", "hello")


def test_plugin_has_its_config_state_secrets_and_data(home: Path, put: Put) -> None:
    put(
        "asks",
        """
        @tool(risk="read")
        async def act(ctx) -> str:
            "Acts."
            await ctx.state.set("seen", [1, {"a": None}])
            (ctx.data_dir / "file").write_text("kept")
            return repr([await ctx.state.get("seen"), await ctx.state.keys(), await ctx.config(),
                         dict(await ctx.secrets("MY_KEY")), ctx.plugin])
        """,
        permissions={"secrets": ["MY_KEY"]},
        config={"properties": {"size": {"type": "integer", "default": 3}}},
    )

    async def work(app: App) -> str:
        return await said(app, "act")

    found = running(work, home, "asks", environ={"MY_KEY": "a-secret-value"})
    assert found == repr([[1, {"a": None}], ["seen"], {"size": 3}, {"MY_KEY": "a-secret-value"}, "asks"])
    assert (home / "plugin-data" / "asks" / "file").read_text() == "kept"


def test_plugin_that_fails_to_load_says_why(home: Path, put: Put) -> None:
    put("broken", "@hookimpl\ndef provide():\n    raise ValueError('not today')\n", hooks=["on_session_start"])
    told: list[str] = []

    async def work(app: App) -> str:
        return app.plugins.plugins["broken"].state

    assert running(work, home, "broken", notify=told.append) == "failed"
    assert "not today" in told[0] or "hooks that its code does not have" in told[0]


def test_group_shares_a_process_where_permissions_are_equal(home: Path, put: Put) -> None:
    who = "@tool(risk='read')\ndef {0}_pid() -> int:\n    'Says its process.'\n    return os.getpid()\n"
    hook = "@hookimpl\ndef on_session_start(session):\n    pass\n"
    for name, manifest in {
        "one": {"group": "g"},
        "two": {"group": "g"},
        "three": {"group": "g", "permissions": {"env": ["A"]}},
        "four": {"group": "h"},
        "five": {},
        "six": {},
    }.items():
        put(name, hook + who.format(name), **manifest)

    async def work(app: App) -> list[set[str]]:
        return [set(host.plugins) for host in app.plugins.hosts()]

    hosts = running(work, home, "one", "two", "three", "four", "five", "six")
    assert sorted(hosts, key=sorted) == sorted([{"one", "two"}, {"three"}, {"four"}, {"five"}, {"six"}], key=sorted)


def test_two_plugins_with_tools_alone(home: Path, put: Put) -> None:
    for name in ("one", "two"):
        put(name, f"@tool(risk='read')\ndef {name}() -> str:\n    'Says its name.'\n    return {name!r}\n")

    async def work(app: App) -> list[str]:
        return [await said(app, name) for name in ("one", "two")]

    assert running(work, home, "one", "two") == ["one", "two"]


# Dying, and coming back.


def test_host_that_died_is_started_again(home: Path, put: Put) -> None:
    put("self", SELF)

    async def work(app: App) -> tuple[ToolOutcome, int, int, str]:
        (host,) = app.plugins.hosts()
        await said(app, "whoami")
        before = host.pid
        lost = await outcome(app, "die")
        await said(app, "whoami")
        return lost, before, host.pid, app.plugins.plugins["self"].state

    lost, before, after, state = running(work, home, "self")
    assert lost.is_error
    assert lost.effect_unknown
    assert 'The process of the plugin "self" ended while die ran' in str(lost.content)
    assert before != after
    assert state == "active"
    assert gone({before, after})


def test_hooks_work_after_a_restart(home: Path, put: Put) -> None:
    put(
        "counts",
        SELF
        + """
@hookimpl(tools=["terminal"])
async def pre_tool_call(call, ctx):
    return Verdict(decision="deny", reason=f"no {call.name}")
""",
    )
    call = ToolCall(id="c", name="terminal", arguments={})

    async def work(app: App) -> list[str]:
        found = []
        for _ in range(2):
            verdict = await app.plugins.hooks.pre_tool_call(call)
            assert verdict is not None
            found.append(verdict.reason)
            await outcome(app, "die")
        return found

    assert running(work, home, "counts") == ["no terminal"] * 2


def test_starts_wait_longer_each_time_and_end_with_the_fifth_death(home: Path, put: Put) -> None:
    put("self", SELF)
    clock = StillClock()
    told: list[str] = []

    async def work(app: App) -> tuple[int, str]:
        (host,) = app.plugins.hosts()
        for _ in range(isolated.DEATHS):
            await outcome(app, "die")
        with pytest.raises(PluginError, match="died 5 times within a minute") as caught:
            await outcome(app, "whoami")
        assert "disable" in caught.value.hint
        return host.starts, app.plugins.plugins["self"].state

    assert running(work, home, "self", clock=clock, notify=told.append) == (5, "failed")
    assert [seconds for seconds in clock.slept if seconds] == list(isolated.BACKOFF[1:])
    (text,) = told
    assert text.startswith('The plugin "self" is disabled: it died 5 times within a minute')
    assert "hermes plugins info self" in text


def test_deaths_that_are_far_apart_are_forgiven(home: Path, put: Put) -> None:
    put("self", SELF)
    clock = StillClock()

    async def work(app: App) -> str:
        for _ in range(3 * isolated.DEATHS):
            await outcome(app, "die")
            clock.advance(isolated.WINDOW_SECONDS / (isolated.DEATHS - 1) + 1)
        await said(app, "whoami")
        return app.plugins.plugins["self"].state

    assert running(work, home, "self", clock=clock) == "active"


def test_guard_that_is_given_up_denies_by_its_name(home: Path, put: Put) -> None:
    put("sentry", SELF + "\n@hookimpl\ndef pre_tool_call(call):\n    return None\n")
    call = ToolCall(id="c", name="terminal", arguments={})

    async def work(app: App) -> list[Any]:
        verdicts = [await app.plugins.hooks.pre_tool_call(call)]
        for _ in range(isolated.DEATHS):
            await outcome(app, "die")
        return [*verdicts, await app.plugins.hooks.pre_tool_call(call)]

    before, after = running(work, home, "sentry", clock=StillClock())
    assert before is None
    assert after.decision == "deny"
    assert 'The guard "sentry" is enabled but not working (it died 5 times' in after.reason
    assert "hermes plugins disable sentry" in after.reason


def test_guard_that_dies_while_it_judges_denies(home: Path, put: Put) -> None:
    put("sentry", SELF + "\n@hookimpl\ndef pre_tool_call(call):\n    os._exit(1)\n")

    async def work(app: App) -> Any:
        return await app.plugins.hooks.pre_tool_call(ToolCall(id="c", name="terminal", arguments={}))

    verdict = running(work, home, "sentry")
    assert verdict.decision == "deny"
    assert 'The guard "sentry" failed' in verdict.reason


def test_close_leaves_no_process(home: Path, put: Put) -> None:
    put("self", SELF)
    put(
        "breeds",
        """
        import subprocess, sys
        @tool(risk="read")
        def breed() -> str:
            "Leaves a process."
            program = "import os, time; os.setsid(); time.sleep(600)"
            subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
            return "left"
        """,
    )

    async def work(app: App) -> set[int]:
        await said(app, "whoami")
        with contextlib.suppress(PluginError):
            await said(app, "breed")
        return {pid for host in app.plugins.hosts() for pid in processes(host.pid)}

    pids = running(work, home, "self", "breeds")
    assert len(pids) >= 3
    if not bubblewrap():  # then one that leaves its session is nobody's any more
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert gone(pids)


def test_close_while_a_host_starts_again_is_quick(home: Path, put: Put) -> None:
    put("self", SELF)

    async def run() -> tuple[float, set[int]]:
        app = app_of(home, "self")
        await app.plugins.start()
        (host,) = app.plugins.hosts()
        starts = host.starts
        await outcome(app, "die")
        await until(lambda: host.starts > starts)
        pids = processes(host.pid) if host.pid else set()
        began = time.monotonic()
        await app.close()
        return time.monotonic() - began, pids

    took, pids = asyncio.run(run())
    assert took < 1.0
    assert gone(pids)


HERMES = """
import asyncio, sys
from pathlib import Path
from hermes_testkit.scripted import make_app

async def run():
    app = make_app(Path(sys.argv[1]), only=["self"])
    await app.plugins.start()
    (host,) = app.plugins.hosts()
    print(host.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


def test_host_ends_with_hermes(home: Path, put: Put) -> None:
    put("self", SELF)
    (home / "config.yaml").write_text("plugins: {entries: {self: {isolation: isolated}}}\n")
    environ = {**os.environ, "XDG_CACHE_HOME": str(home / "cache")}
    with subprocess.Popen([sys.executable, "-c", HERMES, home], stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        pids = processes(int(process.stdout.readline()))
        process.kill()

    assert len(pids) >= 2 or not bubblewrap()
    assert gone(pids)


# Cancelling.


def test_cancelled_call_ends_in_the_host(home: Path, put: Put) -> None:
    put(
        "waits",
        """
        seen = []
        @tool(risk="read")
        async def wait(ctx) -> str:
            "Waits."
            (ctx.data_dir / "begun").touch()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
        @tool(risk="read")
        async def what() -> str:
            "Says what it has seen."
            return f"{seen} {os.getpid()}"
        """,
    )

    async def work(app: App) -> tuple[str, int]:
        task = asyncio.create_task(outcome(app, "wait"))
        await until((home / "plugin-data" / "waits" / "begun").exists)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        (host,) = app.plugins.hosts()
        return await said(app, "what"), host.starts

    text, starts = running(work, home, "waits")
    assert text.startswith("['cancelled']")
    assert starts == 1


@pytest.mark.parametrize("body", ["while True:\n                pass", "time.sleep(600)"], ids=["spins", "sleeps"])
def test_host_that_hangs_is_killed_after_a_second_of_grace(home: Path, put: Put, body: str) -> None:
    put(
        "hangs",
        f"""
        @tool(risk="read")
        async def hang(ctx) -> str:
            "Hangs."
            (ctx.data_dir / "begun").touch()
            {body}
        @tool(risk="read")
        def whoami() -> int:
            "Says its process."
            return os.getpid()
        """,
    )

    async def work(app: App) -> tuple[float, int]:
        task = asyncio.create_task(outcome(app, "hang"))
        await until((home / "plugin-data" / "hangs" / "begun").exists)
        (host,) = app.plugins.hosts()
        began = time.monotonic()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: host.starts > 1)
        took = time.monotonic() - began
        await said(app, "whoami")
        return took, host.starts

    took, starts = running(work, home, "hangs")
    assert channels.GRACE_SECONDS * 0.9 < took < channels.GRACE_SECONDS + 5
    assert starts == 2


# Calling back.


def test_tool_calls_a_tool_of_its_own_host_through_the_kernel(home: Path, put: Put) -> None:
    put(
        "nests",
        """
        @tool(risk="read")
        async def outer(depth: int, ctx) -> str:
            "Calls itself through the kernel."
            if depth == 0:
                return f"bottom in {os.getpid()}"
            found = await ctx.call_tool("outer", {"depth": depth - 1})
            return f"{os.getpid()} > " + found.content[0].text
        """,
        permissions={"calls": ["call_tool"]},
    )

    async def work(app: App) -> str:
        conversation = await app.conversation()
        async for _ in conversation.send("hello"):
            pass
        entry = app.registry.entries()["outer"]
        bound = await app.registry.bind(entry)
        call = ToolCall(id="c", name="outer", arguments={}, scope=app.scope, session_id=conversation.id)
        found = await bound.function(depth=3, ctx=app.context("nests").for_call(call))
        return str(found.content[0].text)

    text = running(work, home, "nests")
    *steps, last = text.split(" > ")
    assert len(steps) == 3
    assert {f"bottom in {step}" for step in steps} == {last}


def test_transport_in_a_host_streams_what_it_is_given(home: Path, put: Put) -> None:
    put(
        "speaks",
        """
        class Words:
            capabilities = ProviderCapabilities(model_list=True)
            async def stream(self, request):
                for number in range(1000):
                    yield TextDelta(text=f"{number} {request.model} ")
                yield ModelFinished(reason="stop")
            async def models(self, query):
                return ModelList(models=(ModelInfo(id="m"),))

        @hookimpl
        def provide():
            return [Provision("transport", "speaks", Words)]
        """,
        provides={"transport": ["speaks"]},
    )

    async def work(app: App) -> tuple[str, bool]:
        transport = await app.plugins.provided("transport", "speaks")
        request = ModelRequest(id="r", session_id="s", turn_id="t", endpoint=Endpoint(provider="speaks"), model="m")
        events = [event async for event in transport.stream(request)]
        return "".join(
            event.text for event in events if isinstance(event, TextDelta)
        ), transport.capabilities.model_list

    text, lists = running(work, home, "speaks")
    assert text == "".join(f"{number} m " for number in range(1000))
    assert lists


def test_what_one_host_provides_is_called_in_another(home: Path, put: Put) -> None:
    put(
        "counts",
        """
        class Numbers:
            async def names(self, query):
                return f"to {query}"
        @hookimpl
        def provide():
            return [Provision("numbers", "counts", Numbers)]
        """,
        provides={"numbers": ["counts"]},
    )
    put(
        "reads",
        """
        @tool(risk="read")
        async def read(ctx) -> str:
            "Reads."
            numbers = await ctx.provider("numbers", "counts")
            return f"{await numbers.names('ten')} of {await ctx.providers('numbers')}"
        """,
        permissions={"calls": ["provider"]},
    )

    async def work(app: App) -> str:
        return await said(app, "read")

    assert running(work, home, "counts", "reads") == "to ten of ('counts',)"


def test_messages_go_from_host_to_host(home: Path, put: Put) -> None:
    put(
        "listens",
        """
        heard = []
        @hookimpl
        def on_session_start(session, ctx):
            async def listen():
                async for message in ctx.subscribe("speaks.news"):
                    heard.append(message.value)
                    await ctx.state.set("heard", len(heard))
            ctx.spawn(listen(), "listen")
        @tool(risk="read")
        def what() -> str:
            "Says what it has heard."
            return "[" + ", ".join(heard) + "]"
        """,
    )
    put(
        "speaks",
        """
        @tool(risk="read")
        async def speak(number: int, ctx) -> str:
            "Speaks."
            await ctx.emit("news", number)
            return "spoken"
        """,
    )

    async def work(app: App) -> list[int]:
        conversation = await app.conversation()
        async for _ in conversation.send("hello"):
            pass
        state = app.context("listens").state
        number = 0
        while not await state.get("heard"):  # until it listens; nothing is kept for it before
            await outcome(app, "speak", number=number)
            number += 1
        for later in range(1000, 1010):
            await outcome(app, "speak", number=later)
        while (heard := json.loads(await said(app, "what")))[-1] != 1009:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return heard[-10:]

    assert running(work, home, "listens", "speaks") == list(range(1000, 1010))


# Other formats.

LOADER = """
from pathlib import Path

class Foreign:
    def __init__(self, location):
        self.location = location

    @hookimpl(tools=["terminal"])
    def pre_tool_call(self, call):
        return Verdict(decision="deny", reason=f"{os.getpid()} {Path(self.location).read_text()}")

def load(location):
    return Foreign(location)

@hookimpl
async def on_session_start(session, ctx):
    manifest = {"name": "old-one", "hooks": ["pre_tool_call"]}
    await ctx.load_foreign(manifest, loader="hermes_plugin_bridge:load", location=%r)
"""


@pytest.mark.parametrize("where", ["host", "isolated"])
@pytest.mark.parametrize("bridge", ["host", "isolated"])
def test_plugin_of_a_foreign_format(home: Path, tmp_path: Path, put: Put, bridge: str, where: str) -> None:
    """It runs where the settings say, whoever brings it."""
    location = tmp_path / "old.txt"
    location.write_text("says the old one")
    put("bridge", LOADER % str(location), permissions={"calls": ["load_foreign"]})

    async def work(app: App) -> Any:
        conversation = await app.conversation()
        async for _ in conversation.send("hello"):
            pass
        assert app.plugins.plugins["old-one"].state == "active", app.plugins.plugins["old-one"].problem
        return await app.plugins.hooks.pre_tool_call(ToolCall(id="c", name="terminal", arguments={}))

    places: Mapping[str, tuple[str, ...]] = {"isolated": (), "host": ()}
    places = {**places, bridge: (*places[bridge], "bridge")}
    places = {**places, where: (*places[where], "old-one")}
    verdict = running(work, home, *places["isolated"], inside=places["host"])
    pid, _, text = verdict.reason.partition(" ")
    assert text == "says the old one"
    assert (pid == str(os.getpid())) == (where == "host")


# Packages of their own.


def wheel(folder: Path, name: str, version: str) -> None:
    """A package of one module that says its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, which is all that the installer finds."""
    wheels = tmp_path / "wheels"
    for name, value in {
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    for version in ("1.0", "2.0"):
        wheel(wheels, "colourful", version)
    return wheels


def test_two_versions_of_a_package_in_one_app(home: Path, put: Put, offline: Path) -> None:
    for name, version in (("old", "1.0"), ("new", "2.0")):
        put(
            name,
            f"""
            import colourful
            @tool(risk="read")
            def {name}() -> str:
                "Says the version."
                return colourful.VERSION
            """,
            requires={"packages": [f"colourful=={version}", "msgspec>=0.1", "hermes-kernel"]},
        )

    async def work(app: App) -> tuple[list[str], list[str]]:
        found = [await said(app, name) for name in ("old", "new")]
        return found, [
            plugin.indexed.isolation for plugin in app.plugins.plugins.values() if plugin.indexed.environment
        ]

    # They are not told to be isolated: that they need other packages than there are is enough.
    assert running(work, home, inside=("old", "new")) == (["1.0", "2.0"], ["isolated", "isolated"])


def test_package_that_cannot_be_had_is_said(home: Path, put: Put, offline: Path) -> None:
    put("wants", "import nowhere\n", requires={"packages": ["no-such-package-anywhere>=1"]})
    told: list[str] = []

    async def work(app: App) -> str:
        return app.plugins.plugins["wants"].state

    assert running(work, home, "wants", notify=told.append) == "failed"
    assert "no-such-package-anywhere" in told[0]
