"""The provider suite passes a provider that behaves, and fails those that do not."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    Endpoint,
    ModelEvent,
    ModelFinished,
    ModelList,
    ModelNotFound,
    ModelRequest,
    ModelsQuery,
    NotEntitled,
    Overloaded,
    Provider,
    ProviderCapabilities,
    ProviderError,
    RateLimited,
    TextDelta,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    Usage,
    UsageUpdate,
)
from hermes_testkit.behaviours import behaviours, failures, runs_of
from hermes_testkit.http_provider_suite import HttpProviderSuite
from hermes_testkit.model_server import Call, ErrorChunk, Fail, Say, Scripted, Think, Tokens
from hermes_testkit.provider_cases import FAILINGS, KEY, Stage
from hermes_testkit.provider_suite import ProviderSuite
from hermes_testkit.replies import Element, elements_of, pieces_of

BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: NotEntitled,
    403: NotEntitled,
    404: ModelNotFound,
    408: Overloaded,
    429: RateLimited,
}
BY_REASON: dict[str, type[ProviderError]] = {
    "overflow": ContextOverflow,
    "filtered": ContentRefused,
    "quota": NotEntitled,
}


class Teller:
    """A provider without a wire: it says what it is told."""

    capabilities = ProviderCapabilities(thinking=True)

    def __init__(self, script: list[Scripted]) -> None:
        self._script = script

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        reply = self._script.pop(0)
        assert not callable(reply)
        elements = elements_of(Say(reply) if isinstance(reply, str) else reply)
        calls = 0
        for element in elements:
            for event in self.said(element, f"{request.id}_{calls}"):
                calls += isinstance(event, ToolCallReady)
                yield event
        yield ModelFinished(reason="tool_calls" if calls else "stop")

    def said(self, element: Element, call_id: str) -> Iterator[ModelEvent]:
        match element:
            case Say():
                for text in pieces_of(element.text, element.chunks):
                    yield TextDelta(text=text)
            case Think():
                yield ThinkingDelta(text=element.text)
            case Call():
                text = element.arguments if isinstance(element.arguments, str) else json.dumps(element.arguments)
                yield ToolCallReady(call=ToolCallPart(id=call_id, name=element.name, arguments=text or "{}"))
            case Tokens():
                fresh = element.prompt - element.cached
                yield UsageUpdate(
                    usage=Usage(
                        input_tokens=fresh,
                        output_tokens=element.completion,
                        cache_read_tokens=element.cached,
                        reasoning_tokens=element.reasoning,
                    )
                )
            case Fail():
                raise self.refused(element)
            case ErrorChunk():
                raise Overloaded(element.message, provider="suite", hint="Wait.")

    def refused(self, fail: Fail) -> ProviderError:
        known = BY_STATUS.get(fail.status, Overloaded if fail.status >= 500 else BadRequest)
        kind = BY_REASON.get(fail.reason, known)
        wait = fail.headers.get("Retry-After")
        return kind(
            "refused", provider="suite", status=fail.status, hint="Look.", retry_after=float(wait) if wait else None
        )

    async def models(self, query: ModelsQuery) -> ModelList:
        return ModelList(models=())


class TellerSuite(ProviderSuite):
    provider: type[Teller] = Teller

    def __init__(self) -> None:
        self.script: list[Scripted] = []

    def make_provider(self) -> Provider:
        return self.provider(self.script)

    @contextmanager
    def stage(self, *script: Scripted) -> Iterator[Stage]:
        self.script = list(script)
        yield Stage(Endpoint(provider="suite", key=KEY), "told")


@pytest.mark.parametrize(("name", "arguments"), list(runs_of(TellerSuite)))
def test_a_provider_that_behaves_passes(name: str, arguments: dict[str, Any]) -> None:
    getattr(TellerSuite(), name)(**arguments)


Change = Callable[[ModelEvent], list[ModelEvent]]


def broken(change: Change) -> type[TellerSuite]:
    """A suite for a provider whose every event goes through ``change``."""

    class Broken(Teller):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
            async for event in super().stream(request):
                for changed in change(event):
                    yield changed

    return type("BrokenSuite", (TellerSuite,), {"provider": Broken})


def no_end(event: ModelEvent) -> list[ModelEvent]:
    return [] if isinstance(event, ModelFinished) else [event]


def two_ends(event: ModelEvent) -> list[ModelEvent]:
    return [event, event] if isinstance(event, ModelFinished) else [event]


def late_event(event: ModelEvent) -> list[ModelEvent]:
    return [event, ThinkingDelta(text="")] if isinstance(event, ModelFinished) else [event]


def always_stop(event: ModelEvent) -> list[ModelEvent]:
    return [ModelFinished(reason="stop")] if isinstance(event, ModelFinished) else [event]


def loud_thinking(event: ModelEvent) -> list[ModelEvent]:
    return [TextDelta(text=event.text)] if isinstance(event, ThinkingDelta) else [event]


def ascii_only(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, TextDelta):
        return [TextDelta(text=event.text.encode("ascii", "replace").decode())]
    return [event]


def one_id(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, ToolCallReady):
        return [ToolCallReady(call=msgspec.structs.replace(event.call, id="call"))]
    return [event]


def one_call(event: ModelEvent) -> list[ModelEvent]:
    return [] if isinstance(event, ToolCallReady) and not event.call.id.endswith("_0") else [event]


def counted_twice(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, UsageUpdate):
        usage = event.usage
        return [UsageUpdate(usage=msgspec.structs.replace(usage, input_tokens=usage.prompt_tokens))]
    return [event]


def blank_arguments(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, ToolCallReady) and event.call.arguments == "{}":
        return [ToolCallReady(call=msgspec.structs.replace(event.call, arguments=""))]
    return [event]


def cut_arguments(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, ToolCallReady):
        return [ToolCallReady(call=msgspec.structs.replace(event.call, arguments=event.call.arguments[:1000]))]
    return [event]


def cut_short(event: ModelEvent) -> list[ModelEvent]:
    return [TextDelta(text=event.text[:1000])] if isinstance(event, TextDelta) else [event]


@pytest.mark.parametrize(
    ("change", "behaviours"),
    [
        (no_end, "STREAM-1 TOOLS-1"),
        (two_ends, "STREAM-1"),
        (late_event, "STREAM-1 TOOLS-1"),
        (always_stop, "TOOLS-1"),
        (loud_thinking, "THINKING-1"),
        (ascii_only, "STREAM-3"),
        (one_id, "TOOLS-2"),
        (one_call, "TOOLS-2 TOOLS-3"),
        (counted_twice, "USAGE-1"),
        (cut_short, "STREAM-4"),
        (blank_arguments, "TOOLS-3"),
        (cut_arguments, "TOOLS-4"),
    ],
)
def test_a_provider_with_wrong_events_fails_these_behaviours_and_no_other(
    change: Change, behaviours: str, tmp_path: Path
) -> None:
    failed = failures(broken(change), tmp_path)
    assert {name.removeprefix("PROVIDER-") for name in failed} == set(behaviours.split())


class AllAtOnce(Teller):
    def said(self, element: Element, call_id: str) -> Iterator[ModelEvent]:
        if isinstance(element, Say):
            yield TextDelta(text=element.text)
        else:
            yield from super().said(element, call_id)


class Remembers(Teller):
    """Begins each answer with what it said in the one before."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        before, self.before = getattr(self, "before", ""), ""
        if before:
            yield TextDelta(text=before)
        async for event in super().stream(request):
            if isinstance(event, TextDelta):
                self.before += event.text
            yield event


@pytest.mark.parametrize(("provider", "behaviours"), [(AllAtOnce, "STREAM-2"), (Remembers, "STREAM-5 CLOSE-1")])
def test_a_provider_that_says_it_otherwise_fails_these_behaviours_and_no_other(
    provider: type[Teller], behaviours: str, tmp_path: Path
) -> None:
    failed = failures(type("BrokenSuite", (TellerSuite,), {"provider": provider}), tmp_path)
    assert {name.removeprefix("PROVIDER-") for name in failed} == set(behaviours.split())


class WrongErrors(Teller):
    def refused(self, fail: Fail) -> ProviderError:
        return ProviderError("refused", provider="suite", status=fail.status, hint="Look.")


class TellsTheKey(Teller):
    def refused(self, fail: Fail) -> ProviderError:
        right = super().refused(fail)
        return type(right)(f"refused: {KEY}", provider="suite", status=fail.status, hint="Look.")


class Silent(Teller):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        try:
            async for event in super().stream(request):
                yield event
        except ProviderError:
            yield ModelFinished(reason="stop")


@pytest.mark.parametrize("provider", [WrongErrors, TellsTheKey, Silent])
@pytest.mark.parametrize("failing", FAILINGS, ids=[failing.id for failing in FAILINGS])
def test_a_provider_with_wrong_errors_fails(provider: type[Teller], failing: Any) -> None:
    suite = type("BrokenSuite", (TellerSuite,), {"provider": provider})()
    with pytest.raises(AssertionError):
        suite.test_a_refusal_is_an_error_of_its_class(failing)


@pytest.mark.parametrize("provider", [WrongErrors, Silent])
def test_a_provider_that_forgets_how_long_to_wait_fails(provider: type[Teller]) -> None:
    suite = type("BrokenSuite", (TellerSuite,), {"provider": provider})()
    with pytest.raises(AssertionError):
        suite.test_how_long_to_wait_is_told()


def test_a_provider_that_swallows_an_error_in_mid_answer_fails() -> None:
    suite = type("BrokenSuite", (TellerSuite,), {"provider": Silent})()
    with pytest.raises(AssertionError):
        suite.test_an_error_in_mid_answer_is_raised()


def test_what_is_not_declared_is_skipped() -> None:
    class Modest(Teller):
        capabilities = ProviderCapabilities(tools=False)

    suite = type("ModestSuite", (TellerSuite,), {"provider": Modest})()
    with pytest.raises(pytest.skip.Exception, match="tools"):
        suite.test_a_tool_call()


@pytest.mark.parametrize("suite", [ProviderSuite, HttpProviderSuite])
def test_every_behaviour_has_an_id_of_its_own(suite: type[ProviderSuite]) -> None:
    tests = [name for name in dir(suite) if name.startswith("test_")]
    found = behaviours(suite)
    assert len(found) == len(tests)
    for head, sentence in found.items():
        assert re.fullmatch(r"PROVIDER-[A-Z]+-\d+", head)
        assert sentence.endswith(".")
