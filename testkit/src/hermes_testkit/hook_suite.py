"""What every plugin with hooks does: it lives through whole turns, and through what it never expected.

::

    class TestAudit(HookSuite):
        plugin = "audit"
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from hermes import (
    LOCAL,
    App,
    ApprovalDecision,
    BadRequest,
    FilePart,
    InMessage,
    InputRequest,
    InputRequested,
    ModelRequest,
    Origin,
    Principal,
    ProviderQuery,
    SubagentInfo,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolOptions,
    Verdict,
    hookimpl,
    text_of,
)
from hermes.contracts.hookspecs import SessionInfo
from hermes.contracts.verdict import MessageVerdict
from hermes.plugins.guard import Implementation

from .contract_suite import LIMIT, PluginSuite
from .provider_cases import UNICODE
from .scripted import Reply, ScriptedModel, say

ON_ACTIVATION = {"provide", "register_tools"}
CHANGING = {
    "system_blocks",
    "pre_llm_call",
    "post_llm_call",
    "pre_api_request",
    "rewrite_tool_call",
    "transform_tool_result",
    "on_turn_end",
    "resolve_provider",
}
"""Hooks that are there to change what is asked or said."""

HOSTILE: tuple[Any, ...] = (
    None, True, -7, 1e308, "", "\0", UNICODE, "'\"`$(", "rm -rf / " * 100_000, "../" * 1000, "http://[",
    [], ["rm", None, 7], {}, {"": {"a": [{"b": None}]}}, [[[[[[[["x"]]]]]]]], list(range(10_000)),
)  # fmt: skip
ARGUMENTS = ("command", "path", "url", "content", "code", "id")


class Tools:
    """A plugin with two tools, ``suite_look`` and ``suite_run``, and stand-ins for those that a guard is there for."""

    name = "suite-tools"

    def __init__(self, stand_ins: Iterable[str]) -> None:
        self._stand_ins = tuple(stand_ins)

    @hookimpl
    def register_tools(self, registry: Any) -> None:
        registry.add(look, name="suite_look", risk="read", effects="none")
        for name in ("suite_run", *self._stand_ins):
            registry.add(run_command, name=name, risk="exec")


def look(path: str) -> str:
    """Looks at something."""
    return f"seen {path}"


def run_command(command: str) -> str:
    """Runs nothing."""
    return f"ran {command}"


class Played(NamedTuple):
    """What became of a session: the messages of each model call, and how the plugin's hooks did."""

    requests: Sequence[Sequence[tuple[str, Any]]]
    hooks: list[Implementation]


class HookSuite(PluginSuite):
    """Every test makes an app with the plugin, a scripted model and harmless tools."""

    async def implementations(self, app: App) -> list[Implementation]:
        await app.plugins.activate(self.plugin)
        return [
            found for found in app.plugins.stats() if found.plugin == self.plugin and found.hook not in ON_ACTIVATION
        ]

    async def tools_guarded(self) -> Sequence[str]:
        """Names of tools that some hook is there for alone."""
        async with self.app() as app:
            return sorted({name for found in await self.implementations(app) for name in found.tools})

    @asynccontextmanager
    async def stage(self, *, alone: bool = False) -> AsyncIterator[tuple[App, ScriptedModel]]:
        """An app, started. ``alone``: without the plugin."""
        model = ScriptedModel(scripted)
        stand_ins = await self.tools_guarded()
        off = {"plugins": {"disabled": [self.plugin]}} if alone else {}
        async with self.app(Tools(stand_ins), model=model, **off) as app:
            await app.plugins.start()
            yield app, model

    async def play(self, app: App, model: ScriptedModel, *, tools: Sequence[str] = ()) -> Played:
        """A session of two turns: tools that are read and run, one with an approval; then one that fails."""
        first = len(model.requests)
        conversation = await app.conversation(asking="inline")
        for text in (" ".join(["go", *tools]), "fail"):
            async for event in conversation.send(text):
                if isinstance(event, InputRequested):
                    await conversation.answer(event.request.id, "once")
        await conversation.close()
        requests = [
            [(message.role, message.parts) for message in request.messages] for request in model.requests[first:]
        ]
        return Played(requests, [] if self.plugin in app.settings.plugins.disabled else await self.implementations(app))

    async def others(self, app: App) -> None:
        """What a session of its own gives no occasion for."""
        hooks = app.plugins.hooks
        session = SessionInfo(id="s1", scope=app.scope, surface="suite")
        subagent = SubagentInfo(session=session, parent_session="s0", task="look")
        await hooks.on_session_reset(session)
        await hooks.on_subagent_start(subagent)
        await hooks.on_subagent_stop(subagent, "done")
        request = InputRequest(id="r1", kind="approval", prompt="May it?", choices=("once", "deny"))
        await hooks.on_approval(request, ApprovalDecision(answer="deny", by=LOCAL, session_id="s1"))
        await hooks.on_message(message_of(TextPart("Hello")))
        await hooks.resolve_provider(ProviderQuery(provider="no-such-provider", scope=app.scope))

    def perform(self, body: Callable[[], Awaitable[None]]) -> None:
        async def work() -> None:
            async with asyncio.timeout(LIMIT):
                await body()

        asyncio.run(work())

    def test_manifest(self) -> None:
        """HOOK-MANIFEST-1: the manifest names the hooks that are implemented, and no others."""

        async def body() -> None:
            async with self.app() as app:
                implemented = {found.hook for found in await self.implementations(app)}
                declared = set(app.plugins.plugins[self.plugin].indexed.manifest.hooks)
            assert declared - ON_ACTIVATION == implemented
            assert implemented, f"the plugin {self.plugin} has no hooks"

        self.perform(body)

    def test_a_whole_turn(self) -> None:
        """HOOK-TURN-1: through model calls, tools, an approval and an error every hook runs, and none fails."""

        async def body() -> None:
            async with self.stage() as (app, model):
                played = await self.play(app, model, tools=await self.tools_guarded())
                await self.others(app)
            tell_costs(played.hooks)
            assert [f"{found.hook}: {found.stats.last_error}" for found in played.hooks if found.stats.failed] == []
            assert [found.hook for found in played.hooks if not found.stats.fired] == []

        self.perform(body)

    def test_hostile_arguments(self) -> None:
        """HOOK-GUARD-1: a guard has a verdict, or none, on whatever arguments; it never fails over them."""

        async def body() -> None:
            async with self.stage() as (app, _):
                guards = [found for found in await self.implementations(app) if found.hook == "pre_tool_call"]
                if not guards:
                    pytest.skip("the plugin does not judge tool calls")
                names = ["suite_run", *{name for found in guards for name in found.tools}]
                for arguments in ({}, *(dict.fromkeys(ARGUMENTS, value) for value in HOSTILE)):
                    for name in names:
                        call = ToolCall(id="c1", name=name, arguments=arguments, options=ToolOptions(), scope=app.scope)
                        verdict = await app.plugins.hooks.pre_tool_call(call)
                        assert verdict is None or isinstance(verdict, Verdict)
                        assert [found.stats.last_error for found in guards if found.stats.failed] == [], arguments

        self.perform(body)

    def test_hostile_messages(self) -> None:
        """HOOK-GUARD-2: a guard of messages has a verdict, or none, on whatever is received; it never fails over it."""

        async def body() -> None:
            async with self.stage() as (app, _):
                guards = [found for found in await self.implementations(app) if found.hook == "on_message"]
                if not guards:
                    pytest.skip("the plugin does not judge messages")
                file = FilePart(name="../x", media_type="", data=b"\xff" * 1000)
                texts = [TextPart(value) for value in HOSTILE if isinstance(value, str)]
                for parts in ((), (file,), (file, *texts), *((text,) for text in texts)):
                    verdict = await app.plugins.hooks.on_message(message_of(*parts))
                    assert isinstance(verdict, MessageVerdict)
                    assert [found.stats.last_error for found in guards if found.stats.failed] == [], parts

        self.perform(body)

    def test_observers_change_nothing(self) -> None:
        """HOOK-OBSERVER-1: with hooks that only look on or judge, a harmless session is what it is without them."""

        async def body() -> None:
            async with self.app() as app:
                changing = CHANGING & {found.hook for found in await self.implementations(app)}
            if changing:
                pytest.skip(f"the plugin is there to change what is said: {', '.join(sorted(changing))}")
            async with self.stage() as (app, model):
                watched = await self.play(app, model)
            async with self.stage(alone=True) as (app, model):
                assert watched.requests == (await self.play(app, model)).requests

        self.perform(body)

    def test_state_over_sessions(self) -> None:
        """HOOK-STATE-1: what it kept of one session makes it fail neither in the next one nor after a restart."""

        async def body() -> None:
            failing_anyway: set[str] | None = None
            for _ in range(2):
                async with self.stage() as (app, model):
                    for _ in range(2):
                        hooks = (await self.play(app, model)).hooks
                        failed = {found.hook for found in hooks if found.stats.failed}
                        failing_anyway = failed if failing_anyway is None else failing_anyway
                        assert failed <= failing_anyway, [found.stats.last_error for found in hooks]

        self.perform(body)


def scripted(request: ModelRequest) -> Reply:
    """ "fail" fails; else all tools that the person named are called, then all is done."""
    last = request.messages[-1]
    if last.role == "tool":
        return say("All done.")
    text = text_of(last.parts)
    if text == "fail":
        return [BadRequest("The model does not like it.", provider="scripted", status=400)]
    names = [name for name in text.split() if any(tool.name == name for tool in request.tools)]
    calls = [ToolCallPart(id="call_look", name="suite_look", arguments='{"path": "notes"}')]
    for name in ("suite_run", *names):
        calls.append(ToolCallPart(id=f"call_{name}", name=name, arguments='{"command": "echo hello"}'))
    return say("Looking.", *calls)


def message_of(*parts: Any) -> InMessage:
    origin = Origin(platform="suite", chat="c1", idempotency_key="suite:m1")
    return InMessage(origin=origin, principal=Principal(id="suite:ada", name="ada"), parts=parts)


def tell_costs(hooks: Iterable[Implementation]) -> None:
    """To standard output, for whoever wants to see it (``pytest -rP``)."""
    for found in hooks:
        mean = found.stats.seconds / max(found.stats.fired, 1)
        sys.stdout.write(f"{found.hook}: {found.stats.fired} times, {mean * 1e6:.0f} µs each\n")
