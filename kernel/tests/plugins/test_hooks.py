"""Contained hook calls: whatever a plugin does, the run goes on, or is denied, and it is told."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hermes import (
    Clock,
    ErrorInfo,
    PluginContext,
    PluginError,
    Provision,
    Scope,
    SessionInfo,
    ToolCall,
    ToolOutcome,
    ToolRewrite,
    TurnInfo,
    Verdict,
    hookimpl,
)
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.manager import PluginManager
from hermes.plugins.manifest import Manifest

SESSION = SessionInfo(id="s", scope=Scope(home="/h"), surface="test")
TURN = TurnInfo(id="t", session=SESSION, message_id=1)
CALL = ToolCall(id="c", name="terminal", arguments={"command": "ls"})


class Managed:
    """A manager with plugins that are given to it, and what it told the user."""

    def __init__(self, *plugins: Any, indexed: tuple[IndexedPlugin, ...] = ()) -> None:
        self.told: list[str] = []
        log = logging.Logger("test")
        log.addHandler(logging.NullHandler())
        self.manager = PluginManager(indexed, make_context=self._context, notify=self.told.append, log=log)
        for plugin in plugins:
            self.manager.give(plugin)

    def _context(self, name: str) -> PluginContext:
        unused: Any = None
        return PluginContext(
            unused,
            name,
            scope=SESSION.scope,
            data_root=unused,
            clock=Clock(),
            log=logging.getLogger("test"),
            spawn=unused,
            on_unload=unused,
            resolve=unused,
        )

    def run(self, work: Callable[[PluginManager], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            await self.manager.start()
            return await work(self.manager)

        return asyncio.run(run())


def plugin(name: str, **hooks: Any) -> Any:
    """An object with these hooks."""
    members = {"name": name, **{key: staticmethod(hookimpl(value)) for key, value in hooks.items()}}
    return type(name, (), members)()


def raises() -> None:
    raise ValueError("broken")


FAULTS: dict[str, Callable[..., Any]] = {
    "raises": lambda call: raises(),
    "exits": lambda call: sys.exit(3),
    "returns the wrong type": lambda call: "yes",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_guard_that_fails_denies(fault: str) -> None:
    managed = Managed(
        plugin("bad", pre_tool_call=FAULTS[fault]), plugin("good", pre_tool_call=lambda call: Verdict(decision="allow"))
    )
    verdict = managed.run(lambda manager: manager.hooks.pre_tool_call(CALL))
    assert verdict.decision == "deny"
    assert 'guard "bad" failed' in verdict.reason
    assert len(managed.told) == 1
    assert "bad" in managed.told[0]


def test_a_guard_that_hangs_denies_when_its_deadline_has_passed() -> None:
    leave = threading.Event()

    class Hanging:
        name = "hanging"

        @hookimpl(deadline=0.05)
        def pre_tool_call(self, call: ToolCall) -> Verdict:
            leave.wait(30)
            return Verdict(decision="allow")

    verdict = Managed(Hanging()).run(lambda manager: manager.hooks.pre_tool_call(CALL))
    leave.set()
    assert verdict.decision == "deny"
    assert "did not answer within 0.05 s" in verdict.reason


def test_an_async_guard_that_hangs_denies() -> None:
    class Hanging:
        name = "hanging"

        @hookimpl(deadline=0.05)
        async def pre_tool_call(self, call: ToolCall) -> Verdict:
            await asyncio.sleep(30)
            return Verdict(decision="allow")

    assert Managed(Hanging()).run(lambda manager: manager.hooks.pre_tool_call(CALL)).decision == "deny"


def test_the_strictest_verdict_wins_in_any_order() -> None:
    for decisions in (("allow", "ask", "deny"), ("deny", "ask", "allow"), ("ask", "allow", "deny")):
        guards = [plugin(f"g{n}", pre_tool_call=lambda call, d=d: Verdict(decision=d)) for n, d in enumerate(decisions)]
        assert Managed(*guards).run(lambda manager: manager.hooks.pre_tool_call(CALL)).decision == "deny"


def test_without_an_opinion_there_is_no_verdict() -> None:
    managed = Managed(plugin("quiet", pre_tool_call=lambda call: None))
    assert managed.run(lambda manager: manager.hooks.pre_tool_call(CALL)) is None


def test_a_guard_judges_only_the_tools_it_names() -> None:
    class Guard:
        name = "guard"

        @hookimpl(tools=["write_file"])
        def pre_tool_call(self, call: ToolCall) -> Verdict:
            return Verdict(decision="deny")

    assert Managed(Guard()).run(lambda manager: manager.hooks.pre_tool_call(CALL)) is None


def test_an_enabled_guard_that_cannot_be_activated_denies_by_its_name() -> None:
    broken = IndexedPlugin(
        name="gone", source="installed", manifest=Manifest(name="gone", hooks=["pre_tool_call"]), problem="no module"
    )
    managed = Managed(indexed=(broken,))
    verdict = managed.run(lambda manager: manager.hooks.pre_tool_call(CALL))
    assert verdict.decision == "deny"
    assert 'guard "gone" is enabled but not working (no module)' in verdict.reason


def test_a_disabled_guard_does_not_deny() -> None:
    broken = IndexedPlugin(
        name="gone",
        source="installed",
        manifest=Manifest(name="gone", hooks=["pre_tool_call"]),
        problem="no module",
        enabled=False,
    )
    assert Managed(indexed=(broken,)).run(lambda manager: manager.hooks.pre_tool_call(CALL)) is None


def test_a_required_plugin_that_is_broken_stops_the_start() -> None:
    broken = IndexedPlugin(
        name="must", source="installed", manifest=Manifest(name="must", required=True), problem="no module"
    )
    with pytest.raises(PluginError, match='"must" is required'):
        Managed(indexed=(broken,)).run(lambda manager: manager.hooks.on_session_start(SESSION))


@pytest.mark.parametrize(
    "fault", [lambda session: raises(), lambda session: sys.exit(1), lambda session: exec("raise KeyboardInterrupt")]
)
def test_an_observer_that_fails_is_passed_over(fault: Callable[..., Any]) -> None:
    seen: list[str] = []
    managed = Managed(
        plugin("first", on_session_start=lambda session: seen.append("first")),
        plugin("bad", on_session_start=fault),
        plugin("last", on_session_start=lambda session: seen.append("last")),
    )
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert sorted(seen) == ["first", "last"]
    assert "bad" in managed.told[0]


def test_trouble_is_told_once_and_counted_each_time() -> None:
    managed = Managed(plugin("bad", on_session_start=lambda session: raises()))

    async def thrice(manager: PluginManager) -> None:
        for _ in range(3):
            await manager.hooks.on_session_start(SESSION)

    managed.run(thrice)
    assert len(managed.told) == 1
    (implementation,) = [found for found in managed.manager.stats() if found.plugin == "bad"]
    assert (implementation.stats.fired, implementation.stats.failed) == (3, 3)
    assert implementation.stats.last_error == "ValueError: broken"


def test_a_plain_observer_that_hangs_in_the_main_thread_is_interrupted() -> None:
    """Where the program allows it: the command line does."""

    class Hanging:
        name = "hanging"

        @hookimpl(deadline=0.05)
        def on_session_start(self, session: SessionInfo) -> None:
            time.sleep(30)

    managed = Managed(Hanging())
    managed.manager.alarm.enable()
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert "did not answer within 0.05 s" in managed.told[0]


def test_the_alarm_of_an_observer_that_ended_does_not_hit_the_next() -> None:
    class Quick:
        name = "quick"

        @hookimpl(deadline=0.02, tryfirst=True)
        def on_session_start(self, session: SessionInfo) -> None:
            pass

    class Longer:
        name = "longer"
        ended = False

        @hookimpl(deadline=20)
        def on_session_start(self, session: SessionInfo) -> None:
            time.sleep(0.1)  # its work, five times as long as the other one may take
            self.ended = True

    class Hanging:
        name = "hanging"

        @hookimpl(deadline=0.05, trylast=True)
        def on_session_start(self, session: SessionInfo) -> None:
            time.sleep(30)

    longer = Longer()
    managed = Managed(Hanging(), longer, Quick())
    managed.manager.alarm.enable()
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert longer.ended
    assert ["hanging" in text for text in managed.told] == [True]


def test_a_plain_observer_may_return_an_awaitable() -> None:
    seen: list[str] = []

    async def later(session: SessionInfo) -> None:
        await asyncio.sleep(0)
        seen.append(session.id)

    async def fails(session: SessionInfo) -> None:
        raise ValueError("broken")

    plugins = (
        plugin("later", on_session_start=lambda session: later(session)),
        plugin("fails", on_session_start=lambda session: fails(session)),
    )
    managed = Managed(*plugins)
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert seen == ["s"]
    assert ["broken" in text for text in managed.told] == [True]
    assert {found.plugin: (found.stats.fired, found.stats.failed) for found in managed.manager.stats()} == {
        "later": (1, 0),
        "fails": (1, 1),
    }


def test_hooks_may_be_coroutines_and_take_their_context() -> None:
    seen: list[str] = []

    class Both:
        name = "both"

        @hookimpl
        async def on_session_start(self, session: SessionInfo, ctx: PluginContext) -> None:
            await asyncio.sleep(0)
            seen.append(f"{ctx.plugin} {session.id}")

    Managed(Both()).run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert seen == ["both s"]


def test_a_hook_with_an_unknown_argument_is_refused_by_name() -> None:
    managed = Managed(plugin("odd", on_session_start=lambda sessoin: None))
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert "odd" in managed.told[0]
    assert "sessoin" in managed.told[0]


def test_rewrites_are_chained_and_a_finished_result_ends_the_chain() -> None:
    adds = plugin("adds", rewrite_tool_call=lambda call: ToolRewrite(arguments={**call.arguments, "more": 1}))
    assert Managed(adds).run(lambda manager: manager.hooks.rewrite_tool_call(CALL)).arguments == {
        "command": "ls",
        "more": 1,
    }


def test_transformed_results_are_chained() -> None:
    def shout(call: ToolCall, result: ToolOutcome) -> ToolOutcome:
        return ToolOutcome(content=result.content * 2)

    managed = Managed(plugin("one", transform_tool_result=shout), plugin("two", transform_tool_result=shout))
    from hermes import TextPart

    outcome = ToolOutcome(content=(TextPart("x"),))
    assert managed.run(lambda manager: manager.hooks.transform_tool_result(CALL, outcome)).text == "xxxx"


def test_context_variables_last_a_turn_and_are_a_plugins_own() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: dict[str, list[int]] = {"a": [], "b": []}

    def count(name: str) -> Callable[[TurnInfo], str | None]:
        def hook(turn: TurnInfo) -> str | None:
            seen[name].append(variable.get())
            variable.set(variable.get() + 1)
            return None

        return hook

    managed = Managed(plugin("a", pre_llm_call=count("a")), plugin("b", pre_llm_call=count("b")))

    async def two_turns(manager: PluginManager) -> None:
        for _ in range(2):
            hooks = manager.hooks.for_turn()
            await hooks.pre_llm_call(TURN)
            await hooks.pre_llm_call(TURN)

    managed.run(two_turns)
    assert seen == {"a": [0, 1, 0, 1], "b": [0, 1, 0, 1]}
    assert variable.get() == 0


def test_what_a_plugin_provides_is_made_once_and_on_need() -> None:
    made: list[int] = []
    source = plugin("source", provide=lambda: [Provision("thing", "x", lambda: made.append(1) or object())])

    async def twice(manager: PluginManager) -> bool:
        assert not made
        return await manager.provided("thing", "x") is await manager.provided("thing", "x")

    assert Managed(source).run(twice)
    assert made == [1]


def test_two_plugins_of_one_provision_are_both_named() -> None:
    one, two = (plugin(name, provide=lambda: [Provision("thing", "x", object)]) for name in ("one", "two"))
    with pytest.raises(PluginError, match='"one" and "two"'):
        Managed(one, two).run(lambda manager: manager.provided("thing", "x"))


def test_a_missing_provision_names_the_nearest() -> None:
    source = plugin("source", provide=lambda: [Provision("thing", "alpha", object)])
    with pytest.raises(PluginError, match=r'thing "alpa"\. Did you mean "alpha"'):
        Managed(source).run(lambda manager: manager.provided("thing", "alpa"))


def test_provide_that_fails_disables_the_plugin_and_says_so() -> None:
    managed = Managed(plugin("bad", provide=raises, on_session_start=lambda session: None))
    managed.run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert managed.manager.plugins["bad"].state == "failed"
    assert not [found for found in managed.manager.stats() if found.plugin == "bad"]


def test_order_is_pluggys() -> None:
    order: list[str] = []

    class Last:
        name = "last"

        @hookimpl(trylast=True)
        def on_session_start(self, session: SessionInfo) -> None:
            order.append("last")

    class First:
        name = "first"

        @hookimpl(tryfirst=True)
        def on_session_start(self, session: SessionInfo) -> None:
            order.append("first")

    middle = plugin("middle", on_session_start=lambda session: order.append("middle"))
    Managed(First(), Last(), middle).run(lambda manager: manager.hooks.on_session_start(SESSION))
    assert order == ["first", "middle", "last"]


def test_errors_are_values_when_they_reach_observers() -> None:
    seen: list[ErrorInfo] = []
    watcher = plugin("watcher", on_error=lambda session, error: seen.append(error))
    Managed(watcher).run(lambda manager: manager.hooks.on_error(SESSION, ErrorInfo(kind="X", message="m")))
    assert seen == [ErrorInfo(kind="X", message="m")]
