"""What every provider has to do, as tests to inherit: `ProviderSuite` looks at events only.

::

    class TestMyProvider(HttpProviderSuite):
        wire = "chat_completions"

        def make_provider(self) -> Provider:
            return MyProvider()

With ``factory = "my_package.my_module:MyProvider"`` in place of the method it runs in a plugin host, too.
`hermes_testkit.http_provider_suite` looks at what goes over the wire, too. Behaviours that a provider does not
declare in its capabilities are skipped, by name. Each behaviour has an id, at the start of its docstring.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest

from hermes import (
    Message,
    ModelFinished,
    ModelRequest,
    Overloaded,
    Provider,
    ProviderCapabilities,
    RateLimited,
    TextDelta,
    ToolCallPart,
    Usage,
)

from .contract_suite import FactorySuite
from .model_server import Scripted
from .provider_cases import (
    FAILINGS,
    KEY,
    TOOLS,
    UNICODE,
    Failing,
    Outcome,
    Stage,
    assistant,
    close,
    outcome_of,
    result,
    user,
)
from .replies import Call, ErrorChunk, Fail, Say, Think, Tokens


class ProviderSuite(FactorySuite, ABC):
    """What can be seen in the events of any provider: of ``factory``'s, or of `make_provider`'s."""

    contract = "transport"
    counts_reasoning = True
    """False: the wire does not tell how many tokens were thought."""

    def make_provider(self) -> Provider:
        """A fresh one. If it has a method ``close``, that is awaited at the end."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        if self.factory:
            async with self.opened() as served:
                yield served
            return
        made = self.make_provider()
        try:
            yield made
        finally:
            await close(made)

    @abstractmethod
    def stage(self, *script: Scripted) -> AbstractContextManager[Stage]:
        """A place where the provider's model answers with ``script``."""

    def ask(self, stage: Stage, *messages: Message, **options: Any) -> Outcome:
        """One model call. ``options``: further fields of `ModelRequest`."""
        return self.ask_all(stage, self.request(stage, *messages, **options))[0]

    def request(self, stage: Stage, *messages: Message, **options: Any) -> ModelRequest:
        fields = {"id": "r1", "session_id": "s1", "turn_id": "t1", "endpoint": stage.endpoint, "model": stage.model}
        return ModelRequest(**{**fields, "messages": messages or (user("Hello"),), **options})

    def ask_all(self, stage: Stage, *requests: ModelRequest) -> list[Outcome]:
        """Model calls of one provider, one after the other."""

        async def work() -> list[Outcome]:
            async with self.serving() as provider:
                return [await outcome_of(provider, request) for request in requests]

        return asyncio.run(work())

    def capabilities(self) -> ProviderCapabilities:
        async def declared() -> ProviderCapabilities:
            async with self.serving() as provider:
                return provider.capabilities

        return asyncio.run(declared())

    def need(self, capability: str) -> None:
        """Skips a behaviour that the provider does not declare."""
        if not getattr(self.capabilities(), capability):
            pytest.skip(f"the provider does not declare {capability}")

    def test_an_answer_is_its_text_and_then_its_end(self) -> None:
        """PROVIDER-STREAM-1: text comes whole and in order; exactly one `ModelFinished` follows, as the last event."""
        with self.stage("One two three.") as stage:
            outcome = self.ask(stage)
        assert outcome.error is None
        assert outcome.text == "One two three."
        ends = [event for event in outcome.events if isinstance(event, ModelFinished)]
        assert len(ends) == 1
        assert outcome.events[-1] is ends[0]
        assert ends[0].reason == "stop"

    def test_text_comes_in_pieces(self) -> None:
        """PROVIDER-STREAM-2: a streaming provider gives text as it comes, not at the end."""
        self.need("streaming")
        with self.stage("One two three four five.") as stage:
            outcome = self.ask(stage)
        assert len([event for event in outcome.events if isinstance(event, TextDelta)]) > 1

    def test_unicode_is_kept(self) -> None:
        """PROVIDER-STREAM-3: every character comes as it was sent, also where pieces cut through it."""
        with self.stage(Say(UNICODE, chunks=len(UNICODE))) as stage:
            assert self.ask(stage, user(UNICODE)).text == UNICODE

    def test_a_long_answer_is_whole(self) -> None:
        """PROVIDER-STREAM-4: 300 kB of text are not cut."""
        text = "".join(f"line {number}: {'x' * 90}\n" for number in range(3000))
        with self.stage(Say(text, chunks=300)) as stage:
            assert self.ask(stage).text == text

    def test_one_provider_answers_again_and_again(self) -> None:
        """PROVIDER-STREAM-5: nothing of one answer gets into the next."""
        with self.stage([Say("First."), Call("look")], "Second.") as stage:
            call = ToolCallPart(id="call_a", name="look")
            later = self.request(stage, user("Hello"), assistant("First.", call), result(call, "seen"), id="r2")
            first, second = self.ask_all(stage, self.request(stage), later)
        assert (first.text, len(first.calls)) == ("First.", 1)
        assert (second.text, second.calls) == ("Second.", [])

    def test_a_tool_call(self) -> None:
        """PROVIDER-TOOLS-1: a call comes once, whole, with an id; the answer ends with ``tool_calls``."""
        self.need("tools")
        with self.stage(Call("look", {"place": "garden"})) as stage:
            outcome = self.ask(stage, tools=TOOLS)
        (call,) = outcome.calls
        assert call.name == "look"
        assert json.loads(call.arguments) == {"place": "garden"}
        assert call.id
        end = outcome.events[-1]
        assert isinstance(end, ModelFinished)
        assert end.reason == "tool_calls"

    def test_parallel_tool_calls(self) -> None:
        """PROVIDER-TOOLS-2: several calls come in order, each under an id of its own, beside the text."""
        self.need("parallel_tools")
        places = ["garden", "cellar", "roof"]
        with self.stage([Say("Looking."), *(Call("look", {"place": place}) for place in places)]) as stage:
            outcome = self.ask(stage, tools=TOOLS)
        assert outcome.text == "Looking."
        assert [json.loads(call.arguments)["place"] for call in outcome.calls] == places
        assert len({call.id for call in outcome.calls}) == len(places)

    def test_empty_arguments(self) -> None:
        """PROVIDER-TOOLS-3: a call without arguments has an empty object as arguments."""
        self.need("tools")
        with self.stage([Call("wait", ""), Call("wait", {})]) as stage:
            outcome = self.ask(stage, tools=TOOLS)
        assert [json.loads(call.arguments) for call in outcome.calls] == [{}, {}]

    def test_huge_arguments(self) -> None:
        """PROVIDER-TOOLS-4: 300 kB of arguments, with every kind of character, come as they were sent."""
        self.need("tools")
        place = (UNICODE + "x" * 250) * 1000
        with self.stage(Call("look", {"place": place}, chunks=200)) as stage:
            (call,) = self.ask(stage, tools=TOOLS).calls
        assert json.loads(call.arguments) == {"place": place}

    def test_an_answer_after_results_and_errors_of_tools(self) -> None:
        """PROVIDER-TOOLS-5: a history with calls, results and a failed result can be sent, and is answered."""
        self.need("tools")
        one, two = ToolCallPart(id="call_a", name="look", arguments='{"place": "x"}'), ToolCallPart(id="b", name="wait")
        history = (user("Go"), assistant(one, two), result(one, "No such place", is_error=True), result(two, "done"))
        with self.stage(Call("look"), "It is not there.") as stage:
            outcome = self.ask_all(stage, self.request(stage), self.request(stage, *history, tools=TOOLS, id="r2"))[1]
        assert outcome.error is None
        assert outcome.text == "It is not there."

    def test_thinking_is_not_text(self) -> None:
        """PROVIDER-THINKING-1: what a model thinks aloud comes as `ThinkingDelta`, never as text."""
        self.need("thinking")
        with self.stage([Think("Hm, let me see."), Say("Seven.")]) as stage:
            outcome = self.ask(stage)
        assert (outcome.thinking, outcome.text) == ("Hm, let me see.", "Seven.")

    def test_usage(self) -> None:
        """PROVIDER-USAGE-1: tokens are reported before the end; cached ones are not counted as input again."""
        with self.stage([Say("Hi"), Tokens(prompt=100, completion=9, cached=64, reasoning=5)]) as stage:
            outcome = self.ask(stage)
        thought = 5 if self.counts_reasoning else 0
        assert outcome.usage == Usage(input_tokens=36, output_tokens=9, cache_read_tokens=64, reasoning_tokens=thought)

    @pytest.mark.parametrize("failing", FAILINGS, ids=[failing.id for failing in FAILINGS])
    def test_a_refusal_is_an_error_of_its_class(self, failing: Failing) -> None:
        """PROVIDER-ERROR-1: each refusal is raised as the class that says what to do next, and gives no event."""
        with self.stage(failing.fail) as stage:
            outcome = self.ask(stage)
        assert outcome.events == []
        assert type(outcome.error) is failing.kind
        assert outcome.error.provider == stage.endpoint.provider
        assert outcome.error.status == failing.fail.status
        assert outcome.error.hint
        assert KEY not in f"{outcome.error} {outcome.error.hint}"

    def test_how_long_to_wait_is_told(self) -> None:
        """PROVIDER-ERROR-2: what the provider asks us to wait is in ``retry_after``."""
        with self.stage(Fail(429, headers={"Retry-After": "7"})) as stage:
            error = self.ask(stage).error
        assert isinstance(error, RateLimited)
        assert error.retry_after == 7.0

    def test_an_error_in_mid_answer_is_raised(self) -> None:
        """PROVIDER-ERROR-3: an error after some text is raised, whatever was said before it."""
        with self.stage([Say("So far so good"), ErrorChunk("Overloaded, sorry.")]) as stage:
            outcome = self.ask(stage)
        assert outcome.text == "So far so good"
        assert isinstance(outcome.error, Overloaded)
        assert not any(isinstance(event, ModelFinished) for event in outcome.events)

    def test_a_reader_may_leave(self) -> None:
        """PROVIDER-CLOSE-1: closing the iterator in mid-answer raises nothing, and the provider serves on."""

        async def work(stage: Stage) -> Outcome:
            async with self.serving() as provider:
                async with contextlib.aclosing(provider.stream(self.request(stage))) as events:  # type: ignore[type-var]
                    async for event in events:
                        if isinstance(event, TextDelta):
                            break
                later = self.request(stage, user("Hello"), assistant("One"), user("Again"), id="r2")
                return await outcome_of(provider, later)

        with self.stage("One two three.", "Again.") as stage:
            assert asyncio.run(work(stage)).text == "Again."
