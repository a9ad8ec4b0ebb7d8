"""What the platform suite is made of: the other side of an adapter, and a talk between the two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

from hermes import (
    AudioPart,
    Connect,
    FilePart,
    HermesError,
    InMessage,
    Origin,
    OutMessage,
    PlatformAdapter,
    SendResult,
    TextPart,
    text_of,
)

from .contract_suite import eventually

CHAT = "c1"
FILE = FilePart(name="notes.txt", media_type="text/plain", data=b"\x00one\ntwo\xff")
VOICE = AudioPart(media_type="audio/ogg", data=b"OggS\x00\x01")
MEASURES: Mapping[str, Callable[[str], int]] = {
    "characters": len,
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
    "bytes": lambda text: len(text.encode()),
}


class Seen(NamedTuple):
    """A message as it stands at the other side. ``buttons``: labels; ``files``: their bytes."""

    id: str
    chat: str
    text: str
    thread: str = ""
    buttons: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()


class OtherSide(Protocol):
    """The service that the adapter talks to: a real server, in the test's own event loop."""

    settings: Mapping[str, Any]
    """What has to be set for the adapter to find it, as ``config.yaml`` has it."""

    async def deliver(self, text: str, *, chat: str, sender: str, thread: str, key: str, file: bytes) -> None:
        """Somebody writes; kept until the adapter has received it. One of a ``key`` that was delivered before is the
        same message once more; blank: another. ``thread`` and ``file`` may be blank.
        """

    async def seen(self) -> Sequence[Seen]:
        """What the adapter sent, in order, with its edits, without what it deleted."""

    async def typing(self) -> Sequence[str]:
        """The chats in which somebody was shown to be typing."""

    async def refuse(self, retry_after: float) -> None:
        """Refuses the next message that is sent: with a time to wait, or (0) for good."""

    async def drop(self) -> None:
        """Cuts every connection."""

    async def connections(self) -> int:
        """How many connections are open."""


class Talk:
    """An adapter and its other side; ``inbox`` is what was received."""

    def __init__(self, adapter: PlatformAdapter, side: OtherSide, patience: float) -> None:
        self.adapter = adapter
        self.side = side
        self.inbox: list[InMessage] = []
        self.patience = patience

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Task[None]]:
        """Receives, until the end of the block."""

        async def listen() -> None:
            async for message in self.adapter.connect(Connect()):
                self.inbox.append(message)

        task = asyncio.ensure_future(listen())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def deliver(self, text: str, *, chat: str = CHAT, sender: str = "ada", **more: Any) -> None:
        given = {"thread": "", "key": "", "file": b"", **more}
        await self.side.deliver(text, chat=chat, sender=sender, **given)

    async def received(self, text: str) -> InMessage:
        """Waits for a message of this text."""

        async def look() -> InMessage | None:
            return next((message for message in self.inbox if text_of(message.parts) == text), None)

        found = await eventually(look, self.patience)
        assert found is not None
        return found

    async def met(self) -> Origin:
        """Where to answer to: the origin of a message that is delivered for it."""
        await self.deliver("Hello")
        async with self.listening():
            return (await self.received("Hello")).origin

    async def send(self, origin: Origin, *parts: Any, **more: Any) -> SendResult:
        given = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
        return await self.adapter.send(OutMessage(origin=origin, parts=given, **more))

    async def saw(self, condition: Callable[[Sequence[Seen]], Any]) -> Sequence[Seen]:
        """Waits until the other side's messages are so."""

        async def look() -> Sequence[Seen]:
            seen = await self.side.seen()
            return seen if condition(seen) else ()

        return await eventually(look, self.patience)


async def refusal_of(work: Awaitable[Any]) -> str:
    """Why something was refused; blank if it was not. Anything but a `HermesError` goes on."""
    try:
        answer = await work
    except HermesError as error:
        return str(error)
    return answer.error if isinstance(answer, SendResult) else ""
