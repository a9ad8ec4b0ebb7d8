"""What every platform adapter does. A subclass names the plugin, and gives the other side: the service it talks to.

::

    class TestPager(PlatformSuite):
        plugin = "pager"
        name = "pager"

        def other_side(self):
            return PagerService()  # an async context manager that gives an `OtherSide`

What the adapter declares has to work; what it does not declare has to be refused, never done by half.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from hermes import Button, ChatInfo, ChatQuery, DeleteMessage, Done, EditMessage, SendResult, TextPart, text_of

from .contract_suite import DEADLINE, LIMIT, ContractSuite, ended, eventually
from .platform_cases import CHAT, FILE, MEASURES, VOICE, OtherSide, Talk, refusal_of
from .platform_cases import Seen as Seen
from .provider_cases import UNICODE


class PlatformSuite(ContractSuite, ABC):
    """``patience``: seconds within which what one side does has to be seen at the other."""

    contract = "platform"
    patience: ClassVar[float] = DEADLINE

    @abstractmethod
    def other_side(self) -> AbstractAsyncContextManager[OtherSide]:
        """A fresh one."""

    def talk(self, body: Callable[[Talk], Awaitable[None]]) -> None:
        async def work() -> None:
            async with asyncio.timeout(LIMIT), self.other_side() as side:
                async with self.opened(**side.settings) as adapter:
                    await body(Talk(adapter, side, self.patience))

        asyncio.run(work())

    def test_received_once(self) -> None:
        """PLATFORM-RECEIVE-1: a message comes once, with its text, who wrote it and where."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                await talk.deliver("one")
                await talk.deliver("two", sender="bob", chat="c2")
                await talk.deliver("three")
                one, two, three = [await talk.received(text) for text in ("one", "two", "three")]
            assert len(talk.inbox) == 3
            assert one.principal.id == three.principal.id != two.principal.id
            assert one.principal.id != "ada", "ids of people are unique across platforms"
            assert one.origin.platform
            assert one.origin.chat == three.origin.chat != two.origin.chat

        self.talk(body)

    def test_received_in_order(self) -> None:
        """PLATFORM-RECEIVE-2: messages come in the order in which they were written."""

        async def body(talk: Talk) -> None:
            for number in range(10):
                await talk.deliver(f"message {number}")
            async with talk.listening():
                await talk.received("message 9")
                await talk.received("message 0")
            assert [text_of(message.parts) for message in talk.inbox] == [f"message {number}" for number in range(10)]

        self.talk(body)

    def test_keys(self) -> None:
        """PLATFORM-RECEIVE-3: a message has one idempotency key, however often it is delivered, and no other has it."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                await talk.deliver("once", key="k1")
                await talk.received("once")
                await talk.deliver("once", key="k1")
                await talk.deliver("other", key="k2")
                other = await talk.received("other")
            keys = {message.origin.idempotency_key for message in talk.inbox if message != other}
            assert len(keys) == 1
            assert {"", other.origin.idempotency_key}.isdisjoint(keys)

        self.talk(body)

    def test_received_characters(self) -> None:
        """PLATFORM-RECEIVE-4: every character comes as it was written."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                await talk.deliver(UNICODE)
                await talk.received(UNICODE)

        self.talk(body)

    def test_reconnects(self) -> None:
        """PLATFORM-RECONNECT-1: when the other side drops it, it connects again; no message is lost or another's."""

        async def body(talk: Talk) -> None:
            async with talk.listening() as task:
                for round_trip in range(3):
                    await talk.deliver(f"before {round_trip}")
                    await talk.received(f"before {round_trip}")
                    await talk.side.drop()
                    await talk.deliver(f"after {round_trip}")
                    await talk.received(f"after {round_trip}")
                assert not task.done()
            keys = {message.origin.idempotency_key for message in talk.inbox}
            assert len(keys) == 6

        self.talk(body)

    def test_disconnect(self) -> None:
        """PLATFORM-CONNECT-1: told to disconnect, it receives no more, and whoever listens comes to an end."""

        async def body(talk: Talk) -> None:
            async with talk.listening() as task:
                await talk.deliver("one")
                await talk.received("one")
                assert isinstance(await talk.adapter.disconnect(Done()), Done)
                assert await ended(task, talk.patience)
                assert task.exception() is None

        self.talk(body)

    def test_connect_again(self) -> None:
        """PLATFORM-CONNECT-2: after a disconnect it can connect again, and nothing from between is lost."""

        async def body(talk: Talk) -> None:
            async with talk.listening() as task:
                await talk.deliver("one")
                await talk.received("one")
                await talk.adapter.disconnect(Done())
                await ended(task, talk.patience)
            await talk.deliver("two")
            async with talk.listening():
                await talk.received("two")

        self.talk(body)

    def test_cancel(self) -> None:
        """PLATFORM-CONNECT-3: whoever listens may be cancelled; no connection and no task is left behind."""

        async def body(talk: Talk) -> None:
            before = asyncio.all_tasks()
            for text in ("one", "two"):
                async with talk.listening():
                    await talk.deliver(text)
                    await talk.received(text)

            async def quiet() -> bool:
                return not await talk.side.connections() and asyncio.all_tasks() == before

            await eventually(quiet, talk.patience)

        self.talk(body)

    def test_sent(self) -> None:
        """PLATFORM-SEND-1: what is sent arrives in its chat, whole; the result has an id for each piece."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            result = await talk.send(origin, "An answer.")
            (seen,) = await talk.saw(len)
            assert (seen.chat, seen.text) == (CHAT, "An answer.")
            assert result == SendResult(ids=(seen.id,))
            limit = talk.adapter.capabilities.max_length
            result = await talk.send(origin, "x" * (limit * 2 + 1))
            pieces = (await talk.saw(lambda seen: len(seen) >= (4 if limit else 2)))[1:]
            assert result.ids == tuple(piece.id for piece in pieces)

        self.talk(body)

    def test_sent_characters(self) -> None:
        """PLATFORM-SEND-2: every character arrives as it was sent."""

        async def body(talk: Talk) -> None:
            await talk.send(await talk.met(), UNICODE)
            await talk.saw(lambda seen: "".join(message.text for message in seen) == UNICODE)

        self.talk(body)

    def test_split(self) -> None:
        """PLATFORM-SPLIT-1: a text that is too long comes in pieces, none too long, by the declared unit; all of it."""

        async def body(talk: Talk) -> None:
            capabilities = talk.adapter.capabilities
            measure = MEASURES[capabilities.length_unit]
            text = "".join(f"{number} Grüße, 世界 🌍! " for number in range(max(capabilities.max_length, 100) // 4))
            assert not (await talk.send(await talk.met(), text)).error
            wanted = "".join(text.split())
            seen = await talk.saw(
                lambda seen: len("".join("".join(piece.text for piece in seen).split())) >= len(wanted)
            )
            assert "".join("".join(piece.text for piece in seen).split()) == wanted
            if capabilities.max_length:
                assert max(measure(piece.text) for piece in seen) <= capabilities.max_length
            else:
                assert len(seen) == 1

        self.talk(body)

    def test_told_to_wait(self) -> None:
        """PLATFORM-LIMIT-1: told to wait, it says so and for how long, sends nothing, and works again later."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            await talk.side.refuse(retry_after=7.0)
            result = await talk.send(origin, "too soon")
            assert result.error
            assert (result.ids, result.retryable, result.retry_after) == ((), True, 7.0)
            assert not (await talk.send(origin, "later")).error
            assert [seen.text for seen in await talk.saw(len)] == ["later"]

        self.talk(body)

    def test_refused(self) -> None:
        """PLATFORM-LIMIT-2: refused for good, it says why, and that trying again is of no use."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            await talk.side.refuse(retry_after=0.0)
            result = await talk.send(origin, "never")
            assert result.error
            assert (result.ids, result.retryable) == ((), False)

        self.talk(body)

    def test_edit(self) -> None:
        """PLATFORM-EDIT-1: what was sent can be edited by its id, or it says that it cannot."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            (sent,) = (await talk.send(origin, "before")).ids
            reason = await refusal_of(
                talk.adapter.edit(EditMessage(origin=origin, id=sent, parts=(TextPart("after"),)))
            )
            if talk.adapter.capabilities.edit:
                assert not reason
                await talk.saw(lambda seen: [(message.id, message.text) for message in seen] == [(sent, "after")])
            else:
                assert reason
                assert [seen.text for seen in await talk.side.seen()] == ["before"]

        self.talk(body)

    def test_edit_of_nothing(self) -> None:
        """PLATFORM-EDIT-2: an edit of a message that is not there is an error, not a crash."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            edit = EditMessage(origin=origin, id="no-such-message", parts=(TextPart("after"),))
            assert await refusal_of(talk.adapter.edit(edit))

        self.talk(body)

    def test_delete(self) -> None:
        """PLATFORM-DELETE-1: what was sent can be deleted by its id, or it says that it cannot."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            (sent,) = (await talk.send(origin, "gone")).ids
            await talk.send(origin, "stays")
            reason = await refusal_of(talk.adapter.delete(DeleteMessage(origin=origin, id=sent)))
            if talk.adapter.capabilities.delete:
                assert not reason
                await talk.saw(lambda seen: [message.text for message in seen] == ["stays"])
            else:
                assert reason
                assert [seen.text for seen in await talk.side.seen()] == ["gone", "stays"]

        self.talk(body)

    def test_typing(self) -> None:
        """PLATFORM-TYPING-1: somebody is shown to be typing where it is declared; elsewhere nothing is sent for it."""

        async def body(talk: Talk) -> None:
            origin = await talk.met()
            reason = await refusal_of(talk.adapter.typing(ChatQuery(origin=origin)))
            if talk.adapter.capabilities.typing:
                assert not reason
                assert list(await eventually(talk.side.typing, talk.patience)) == [CHAT]
            else:
                assert (list(await talk.side.typing()), list(await talk.side.seen())) == ([], [])

        self.talk(body)

    def test_chat_info(self) -> None:
        """PLATFORM-CHAT-1: of a chat that somebody wrote in it gives a title and a kind."""

        async def body(talk: Talk) -> None:
            info = await talk.adapter.chat_info(ChatQuery(origin=await talk.met()))
            assert isinstance(info, ChatInfo)
            assert info.title
            assert info.kind in ("direct", "group", "channel")

        self.talk(body)

    def test_buttons(self) -> None:
        """PLATFORM-BUTTONS-1: buttons are shown; who has none writes their labels into the text, or refuses."""

        async def body(talk: Talk) -> None:
            buttons = (Button(label="Allow once", value="once"), Button(label="Deny", value="deny"))
            reason = await refusal_of(talk.send(await talk.met(), "May it?", buttons=buttons))
            if talk.adapter.capabilities.buttons:
                await talk.saw(lambda seen: [message.buttons for message in seen] == [("Allow once", "Deny")])
            elif not reason:
                text = "".join(seen.text for seen in await talk.saw(len))
                assert "Allow once" in text
                assert "Deny" in text

        self.talk(body)

    def test_thread_of_a_message(self) -> None:
        """PLATFORM-THREADS-1: a message's thread is in its origin, where threads are declared; else it has none."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                for text, thread in (("main", ""), ("one", "t1"), ("two", "t2"), ("more", "t1")):
                    await talk.deliver(text, thread=thread)
                found = [(await talk.received(text)).origin.thread for text in ("main", "one", "two", "more")]
            if talk.adapter.capabilities.threads:
                assert found[1] == found[3]
                assert found[1]
                assert len(set(found)) == 3
            else:
                assert set(found) == {""}

        self.talk(body)

    def test_answers_stay_in_the_thread(self) -> None:
        """PLATFORM-THREADS-2: an answer to a message of a thread arrives in that thread, or in the chat without any."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                await talk.deliver("question", thread="t1")
                origin = (await talk.received("question")).origin
            await talk.send(origin, "answer")
            (seen,) = await talk.saw(len)
            assert (seen.chat, seen.thread) == (CHAT, "t1" if talk.adapter.capabilities.threads else "")

        self.talk(body)

    def test_files_received(self) -> None:
        """PLATFORM-MEDIA-1: a file comes with its message, byte for byte; who takes none still gives the text."""

        async def body(talk: Talk) -> None:
            async with talk.listening():
                await talk.deliver("see file", file=FILE.data)
                message = await talk.received("see file")
            files = [getattr(part, "data", b"") for part in message.parts if not isinstance(part, TextPart)]
            assert files == ([FILE.data] if talk.adapter.capabilities.media else [])

        self.talk(body)

    def test_files_sent(self) -> None:
        """PLATFORM-MEDIA-2: a file arrives byte for byte, or it says that it cannot send one; never the text alone."""

        async def body(talk: Talk) -> None:
            reason = await refusal_of(talk.send(await talk.met(), "see file", FILE))
            if talk.adapter.capabilities.media:
                assert not reason
                seen = await talk.saw(lambda seen: any(message.files for message in seen))
                assert [data for message in seen for data in message.files] == [FILE.data]
            else:
                assert reason

        self.talk(body)

    def test_voice_sent(self) -> None:
        """PLATFORM-VOICE-1: a voice message arrives, or it says that it cannot send one."""

        async def body(talk: Talk) -> None:
            reason = await refusal_of(talk.send(await talk.met(), VOICE))
            if talk.adapter.capabilities.voice:
                assert not reason
                await talk.saw(lambda seen: [message.files for message in seen] == [(VOICE.data,)])
            else:
                assert reason
                assert list(await talk.side.seen()) == []

        self.talk(body)
