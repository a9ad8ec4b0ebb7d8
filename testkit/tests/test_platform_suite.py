"""Adapters of three shapes pass their suite, here and in a plugin host; one that breaks a behaviour fails that one."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.platform_suite import PlatformSuite, Seen

REFERENCE = Path(__file__).parent / "reference" / "three_platforms"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}


class Server:
    """The other side: lines of JSON over TCP, a connection for each request."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self._delivered: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        self._acked = 0
        self._sent: dict[str, Seen] = {}
        self._typing: list[str] = []
        self._refusals: list[float] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, text: str, *, chat: str, sender: str, thread: str, key: str, file: bytes) -> None:
        seq = len(self._delivered) + 1
        given = {"seq": seq, "id": key or f"m{seq}", "chat": chat, "sender": sender, "thread": thread, "text": text}
        self._delivered.append({**given, "file": base64.b64encode(file).decode()})
        self._more.set()

    async def seen(self) -> Sequence[Seen]:
        return list(self._sent.values())

    async def typing(self) -> Sequence[str]:
        return self._typing

    async def refuse(self, retry_after: float) -> None:
        self._refusals.append(retry_after)

    async def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def connections(self) -> int:
        return len(self._writers)

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            request = json.loads(await reader.readline() or "{}")
            if request.get("op") == "listen":
                await self._stream(request, reader, writer)
            elif request:
                writer.write(json.dumps(getattr(self, f"_on_{request.pop('op')}")(**request)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _stream(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        at = self._acked if request["kind"] == "sms" else request["after"]
        gone = asyncio.ensure_future(self._acks(reader))
        try:
            while not gone.done():
                for given in self._delivered[at:]:
                    writer.write(json.dumps(given).encode() + b"\n")
                at = len(self._delivered)
                self._more.clear()
                more = asyncio.ensure_future(self._more.wait())
                await asyncio.wait({gone, more}, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _acks(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._acked = max(self._acked, json.loads(line)["ack"])

    def _on_fetch(self, after: int) -> Any:
        return self._delivered[after:]

    def _on_send(self, chat: str, thread: str, text: str, buttons: list[str], files: list[str]) -> Any:
        if self._refusals:
            return {"error": "not now", "retry_after": self._refusals.pop(0)}
        number = f"s{len(self._sent) + 1}"
        data = tuple(base64.b64decode(file) for file in files)
        self._sent[number] = Seen(number, chat, text, thread, tuple(buttons), data)
        return {"id": number}

    def _on_edit(self, id: str, text: str) -> Any:  # noqa: A002 (the wire's word)
        if id not in self._sent:
            return {"error": "no such message"}
        self._sent[id] = self._sent[id]._replace(text=text)
        return {}

    def _on_delete(self, id: str) -> Any:  # noqa: A002 (the wire's word)
        return {} if self._sent.pop(id, None) else {"error": "no such message"}

    def _on_typing(self, chat: str) -> Any:
        self._typing.append(chat)
        return {}


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    side = Server()
    server = await asyncio.start_server(side.serve, "127.0.0.1", 0)
    entry = {"port": server.sockets[0].getsockname()[1]}
    side.settings = {"plugins": {"entries": {"three-platforms": entry}}}
    try:
        yield side
    finally:
        server.close()
        await side.drop()
        await side.ended()


class OnServer(PlatformSuite):
    plugin = "three-platforms"
    files = SOURCES

    def other_side(self) -> Any:
        return running_server()


class Chat(OnServer):
    name = "chat"


class Sms(OnServer):
    name = "sms"


class Mail(OnServer):
    name = "mail"


class TestChat(Chat):
    pass


class TestSms(Sms):
    pass


class TestMail(Mail):
    pass


WRONG: dict[str, tuple[type[OnServer], str, str, str, str]] = {
    "local names": (
        Chat,
        "wire.py",
        "id=f\"{self.platform}:{given['sender']}\"",
        "id=given['sender']",
        "PLATFORM-RECEIVE-1",
    ),
    "newest first": (Mail, "mail.py", "for given in batch:", "for given in reversed(batch):", "PLATFORM-RECEIVE-2"),
    "a key a delivery": (
        Sms,
        "wire.py",
        "f\"{self.platform}:{given['id']}\"",
        "str(given['seq'])",
        "PLATFORM-RECEIVE-3",
    ),
    "one key for all": (
        Mail,
        "wire.py",
        "f\"{self.platform}:{given['id']}\"",
        "given['seq'] > 3 and 'x' or given['id']",
        "PLATFORM-RECONNECT-1",
    ),
    "tidies what it receives": (
        Chat,
        "wire.py",
        'TextPart(given["text"])',
        'TextPart(" ".join(given["text"].split()))',
        "PLATFORM-RECEIVE-4",
    ),
    "gives up": (Sms, "wire.py", "await self._clock.sleep(PAUSE)", "return", "PLATFORM-RECONNECT-1"),
    "cannot stop": (Chat, "wire.py", "self._stopped.set()", "self._stopped", "PLATFORM-CONNECT-1"),
    "stops for good": (
        Mail,
        "wire.py",
        "        self._stopped = asyncio.Event()\n        stop =",
        "        stop =",
        "PLATFORM-CONNECT-2",
    ),
    "leaves its connection": (
        Sms,
        "wire.py",
        "        finally:\n            writer.close()\n",
        "        finally:\n"
        "            if request['op'] == 'listen':\n"
        "                asyncio.ensure_future(linger(reader, writer))\n"
        "            else:\n"
        "                writer.close()\n",
        "PLATFORM-CONNECT-3",
    ),
    "an id too many": (
        Chat,
        "wire.py",
        "return SendResult(ids=tuple(ids))\n",
        "return SendResult(ids=(*ids, *ids[1:]))\n",
        "PLATFORM-SEND-1",
    ),
    "no rare characters": (
        Mail,
        "wire.py",
        "text=piece,",
        'text=piece.replace("\\U0001d54f", "X"),',
        "PLATFORM-SEND-2",
    ),
    "counts characters": (Sms, "sms.py", "return len(text.encode())", "return len(text)", "PLATFORM-SPLIT-1"),
    "counts bytes for units": (Chat, "chat.py", 'len(text.encode("utf-16-le")) // 2', "len(text)", "PLATFORM-SPLIT-1"),
    "cuts characters": (
        Sms,
        "wire.py",
        "    for character in text:",
        "    if limit and measure('é') == 2 and measure(text) > limit and '🌍' in text and '\\r' not in text:\n"
        "        data = text.encode()\n"
        "        yield from (data[at : at + limit].decode(errors='ignore') for at in range(0, len(data), limit))\n"
        "        return\n"
        "    for character in text:",
        "PLATFORM-SPLIT-1",
    ),
    "does not say how long": (Chat, "wire.py", "retry_after=wait", "retry_after=0.0", "PLATFORM-LIMIT-1"),
    "always hopeful": (Sms, "wire.py", "retryable=wait > 0", "retryable=True", "PLATFORM-LIMIT-2"),
    "edits nothing": (
        Chat,
        "chat.py",
        "id=message.id, text=text_of(message.parts)",
        'id=message.id, text="before"',
        "PLATFORM-EDIT-1",
    ),
    "says it edited": (
        Chat,
        "chat.py",
        "text=text_of(message.parts))\n",
        "text=text_of(message.parts))\n        answer = {}\n",
        "PLATFORM-EDIT-2",
    ),
    "deletes nothing": (
        Chat,
        "chat.py",
        'answer = await self.ask(op="delete", id=message.id)',
        "answer = {}",
        "PLATFORM-DELETE-1",
    ),
    "claims to delete": (
        Sms,
        "wire.py",
        'raise ToolError(f"{self.platform} cannot delete what was sent.")',
        "return SendResult(ids=(message.id,))",
        "PLATFORM-DELETE-1",
    ),
    "never types": (Chat, "chat.py", 'await self.ask(op="typing", chat=query.origin.chat)', "", "PLATFORM-TYPING-1"),
    "types by sending": (
        Sms,
        "wire.py",
        "    async def typing(self, query):\n",
        "    async def typing(self, query):\n"
        "        await self.ask(op='send', chat='c1', thread='', text='…', buttons=[], files=[])\n",
        "PLATFORM-TYPING-1",
    ),
    "no title": (Sms, "sms.py", "title=query.origin.chat", 'title=""', "PLATFORM-CHAT-1"),
    "no buttons": (
        Chat,
        "wire.py",
        "[button.label for button in message.buttons] if last",
        "[] if last",
        "PLATFORM-BUTTONS-1",
    ),
    "swallows buttons": (
        Sms,
        "wire.py",
        "if self.capabilities.buttons or not buttons:",
        "if True:",
        "PLATFORM-BUTTONS-1",
    ),
    "one thread for all": (
        Chat,
        "wire.py",
        'given["thread"] if self.capabilities.threads',
        '"t1" if self.capabilities.threads',
        "PLATFORM-THREADS-1",
    ),
    "threads unasked": (
        Sms,
        "wire.py",
        'given["thread"] if self.capabilities.threads else ""',
        'given["thread"]',
        "PLATFORM-THREADS-1",
    ),
    "answers in the chat": (
        Mail,
        "wire.py",
        'message.origin.thread if self.capabilities.threads else ""',
        '""',
        "PLATFORM-THREADS-2",
    ),
    "loses files": (Mail, "wire.py", 'if given["file"] and self.capabilities.media:', "if False:", "PLATFORM-MEDIA-1"),
    "sends names of files": (
        Chat,
        "wire.py",
        "base64.b64encode(part.data)",
        'base64.b64encode(getattr(part, "name", "").encode() or part.data)',
        "PLATFORM-MEDIA-2",
    ),
    "sends the text alone": (Sms, "wire.py", "else self.capabilities.media):", "else True):", "PLATFORM-MEDIA-2"),
    "voice as nothing": (Mail, "wire.py", "self.capabilities.voice if voice", "True if voice", "PLATFORM-VOICE-1"),
}
LINGER = """

async def linger(reader, writer):
    try:
        await reader.read()
    finally:
        writer.close()
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one of them leaves a connection open
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    base, file, piece, replacement, expected = WRONG[wrong]
    assert SOURCES[file].count(piece) == 1
    code = SOURCES[file].replace(piece, replacement) + (LINGER if "linger(" in replacement else "")
    suite = type("Wrong", (base,), {"files": {**SOURCES, file: code}, "patience": 0.3})
    assert set(failures(suite, tmp_path)) == {expected}
    gc.collect()  # what was left open is told of here, and not in another test


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    assert {expected for *_, expected in WRONG.values()} == set(behaviours(PlatformSuite))
