"""What every context engine does. A subclass names the plugin; see `hermes_testkit.contract_suite`.

Sizes are counted in characters, four to a token: histories are made so that no other way to count changes the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest

from hermes import (
    ContextEngine,
    Done,
    FitRequest,
    Fitted,
    Message,
    ModelChange,
    ProviderState,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

from .contract_suite import ContractSuite
from .provider_cases import UNICODE, assistant, result, user

WINDOW = 32_000
"""Tokens. The suite's long histories are larger, their protected part is less than half of it."""
STATE = ProviderState(provider="p", model="m", endpoint="e", data='{"signature":"x"}')


def history(turns: int, *, characters: int = 2000, calls: bool = False) -> tuple[Message, ...]:
    """Turns of a question and an answer; with ``calls``, two calls and their results between. Ids count from 1."""
    found: list[Message] = []
    for turn in range(turns):
        found.append(user(f"question {turn} {UNICODE} ".ljust(characters, "x")))
        if calls:
            pair = [ToolCallPart(id=f"c{turn}_{n}", name="look") for n in range(2)]
            found.append(assistant(ThinkingPart("Hm."), *pair))
            found += [result(call, f"seen {turn}".ljust(characters, "y")) for call in pair]
        found.append(assistant(f"answer {turn} ".ljust(characters, "z"), state=(STATE,)))
    return tuple(msgspec.structs.replace(message, id=number) for number, message in enumerate(found, 1))


def size(messages: Sequence[Message]) -> int:
    """In tokens, four characters each."""
    return sum(len(msgspec.json.encode(message.parts).decode()) for message in messages) // 4


def called(messages: Sequence[Message]) -> tuple[set[str], set[str]]:
    """The ids of the calls, and those of the results."""
    parts = [part for message in messages for part in message.parts]
    calls = {part.id for part in parts if isinstance(part, ToolCallPart)}
    return calls, {part.call_id for part in parts if isinstance(part, ToolResultPart)}


class ContextEngineSuite(ContractSuite):
    """``first_turns`` and ``last_messages``: what the engine keeps as it is, whatever happens."""

    contract = "context_engine"
    first_turns: ClassVar[int] = 3
    last_messages: ClassVar[int] = 20

    async def fit(
        self, engine: ContextEngine, messages: tuple[Message, ...], window: int = WINDOW, **options: object
    ) -> Fitted:
        return await engine.fit(FitRequest(session_id="s1", messages=messages, window=window, **options))  # type: ignore[arg-type]

    def protected(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        starts = [at for at, message in enumerate(messages) if message.role == "user"]
        head = starts[self.first_turns] if len(starts) > self.first_turns else len(messages)
        return messages[:head] + messages[max(head, len(messages) - self.last_messages) :]

    def kept(self, fitted: Fitted, messages: tuple[Message, ...]) -> list[tuple[Message, Message]]:
        """Pairs of an original and what became of it."""
        originals = {message.id: message for message in messages}
        return [(originals[message.id], message) for message in fitted.messages if message.id in originals]

    def test_what_fits_is_left_alone(self) -> None:
        """CONTEXT-FIT-1: a history that takes a small part of the window is given back as it is."""

        async def body(engine: ContextEngine) -> None:
            messages = history(40, characters=200)
            assert (await self.fit(engine, messages, window=1_000_000)).messages == messages

        self.run(body)

    def test_what_is_too_long_is_made_to_fit(self) -> None:
        """CONTEXT-FIT-2: a history larger than the window is made smaller than the window, however long it is."""

        async def body(engine: ContextEngine) -> None:
            messages = history(100)
            assert size(messages) > WINDOW
            assert size((await self.fit(engine, messages)).messages) <= WINDOW

        self.run(body)

    def test_a_change_is_told(self) -> None:
        """CONTEXT-FIT-3: ``changed`` says whether the messages are others than those it was given."""

        async def body(engine: ContextEngine) -> None:
            for messages in (history(60), history(2)):
                fitted = await self.fit(engine, messages)
                assert fitted.changed == (fitted.messages != messages)

        self.run(body)

    def test_force(self) -> None:
        """CONTEXT-FIT-4: forced, because the provider found it too long, it shrinks what it thinks would fit."""

        async def body(engine: ContextEngine) -> None:
            messages = history(40)
            for window in (1_000_000, 0):
                assert size((await self.fit(engine, messages, window=window, force=True)).messages) < size(messages)

        self.run(body)

    def test_the_count_of_the_provider(self) -> None:
        """CONTEXT-FIT-5: what the provider counted is believed over an estimate."""

        async def body(engine: ContextEngine) -> None:
            messages = history(40)
            fitted = await self.fit(engine, messages, window=1_000_000, used=1_200_000)
            assert size(fitted.messages) < size(messages)

        self.run(body)

    def test_an_unknown_window(self) -> None:
        """CONTEXT-FIT-6: with a window that is not known nothing is cut."""

        async def body(engine: ContextEngine) -> None:
            messages = history(40)
            assert (await self.fit(engine, messages, window=0)).messages == messages

        self.run(body)

    def test_what_cannot_fit(self) -> None:
        """CONTEXT-FIT-7: where not even the protected part fits, the answer is no larger than what it was given."""

        async def body(engine: ContextEngine) -> None:
            messages = history(8)
            for force in (False, True):
                fitted = await self.fit(engine, messages, window=500, force=force)
                assert size(fitted.messages) <= size(messages)
                assert len(fitted.messages) <= len(messages)

        self.run(body)

    @pytest.mark.parametrize("more", range(5))
    def test_calls_and_results_stay_together(self, more: int) -> None:
        """CONTEXT-TOOLS-1: wherever it cuts, no call is left without its result, and no result without its call."""

        async def body(engine: ContextEngine) -> None:
            whole = history(20, characters=3000, calls=True)
            given = whole[: len(whole) - more]
            fitted = await self.fit(engine, given, window=25_000)
            assert size(fitted.messages) < size(given)
            calls, results = called(fitted.messages)
            assert results == calls & called(given)[1]

        self.run(body)

    def test_first_turns_are_kept(self) -> None:
        """CONTEXT-KEEP-1: the first turns are kept as they are."""

        async def body(engine: ContextEngine) -> None:
            messages = history(60)
            parts = [message.parts for message in (await self.fit(engine, messages)).messages]
            first = self.protected(messages)[: 2 * self.first_turns]
            assert [message.id for message in first if message.parts not in parts] == []

        self.run(body)

    def test_last_messages_are_kept(self) -> None:
        """CONTEXT-KEEP-2: the last messages are kept as they are."""

        async def body(engine: ContextEngine) -> None:
            messages = history(60)
            parts = [message.parts for message in (await self.fit(engine, messages)).messages]
            last = messages[len(messages) - self.last_messages :]
            assert [message.id for message in last if message.parts not in parts] == []

        self.run(body)

    def test_state_is_kept(self) -> None:
        """CONTEXT-KEEP-3: the provider's state stays with the answers that are kept."""

        async def body(engine: ContextEngine) -> None:
            messages = history(60)
            pairs = self.kept(await self.fit(engine, messages), messages)
            assert pairs
            assert [new.id for old, new in pairs if new.provider_state != old.provider_state] == []

        self.run(body)

    def test_fitting_again_changes_nothing(self) -> None:
        """CONTEXT-IDEMPOTENT-1: what it made fit it gives back as it is: the start of requests stays the same."""

        async def body(engine: ContextEngine) -> None:
            once = await self.fit(engine, history(60))
            assert (await self.fit(engine, once.messages)).messages == once.messages

        self.run(body)

    def test_order(self) -> None:
        """CONTEXT-ORDER-1: what is kept stays in its order, each message once, the newest at the end."""

        async def body(engine: ContextEngine) -> None:
            messages = history(60)
            fitted = await self.fit(engine, messages)
            ids = [old.id for old, _ in self.kept(fitted, messages)]
            assert ids == sorted(set(ids))
            assert fitted.messages[-1].id == messages[-1].id

        self.run(body)

    def test_roles(self) -> None:
        """CONTEXT-ROLE-1: every message that is kept keeps its role; the first is a person's."""

        async def body(engine: ContextEngine) -> None:
            messages = history(60)
            fitted = await self.fit(engine, messages)
            assert [new.id for old, new in self.kept(fitted, messages) if new.role != old.role] == []
            assert fitted.messages[0].role == "user"

        self.run(body)

    def test_another_model(self) -> None:
        """CONTEXT-MODEL-1: it is told of another model, and goes by the window that comes with the request."""

        async def body(engine: ContextEngine) -> None:
            for session in ("s1", "never-seen"):
                change = ModelChange(session_id=session, provider="p", model="m", window=1_000_000)
                assert isinstance(await engine.model_changed(change), Done)
            assert isinstance(await engine.model_changed(ModelChange(session_id="s1", provider="", model="")), Done)
            await engine.model_changed(ModelChange(session_id="s1", provider="p", model="m", window=1_000_000))
            messages = history(60)
            assert size((await self.fit(engine, messages)).messages) < size(messages)

        self.run(body)

    def test_nothing(self) -> None:
        """CONTEXT-EMPTY-1: no messages are no messages, forced or not."""

        async def body(engine: ContextEngine) -> None:
            for force in (False, True):
                assert (await self.fit(engine, (), force=force)).messages == ()

        self.run(body)

    def test_one_message(self) -> None:
        """CONTEXT-EMPTY-2: a single message is never lost, forced or not, short or too long."""

        async def body(engine: ContextEngine) -> None:
            for text in ("Hello", "x" * 8 * WINDOW):
                for force in (False, True):
                    (message,) = (
                        await self.fit(engine, (Message(role="user", parts=(TextPart(text),), id=1),), force=force)
                    ).messages
                    assert message.role == "user"

        self.run(body)
