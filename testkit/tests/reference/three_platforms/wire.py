"""What the three have in common: a connection for each request, lines of JSON, and results of sending."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

from hermes import Done, FilePart, InMessage, Origin, Principal, SendResult, TextPart, ToolError, text_of

PAUSE = 0.01


class Adapter:
    platform = ""

    def __init__(self, port, clock):
        self._port = port
        self._clock = clock
        self._after = 0
        self._stopped = asyncio.Event()

    @asynccontextmanager
    async def line(self, **request):
        """A connection on which a request was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            yield reader, writer
        finally:
            writer.close()

    async def ask(self, **request):
        async with self.line(**request) as (reader, _):
            return json.loads(await reader.readline())

    async def connect(self, request):
        self._stopped = asyncio.Event()
        stop = asyncio.ensure_future(self._stopped.wait())
        messages = self.incoming()
        tasks = {stop}
        try:
            while True:
                following = asyncio.ensure_future(anext(messages))
                tasks = {stop, following}
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if stop.done():
                    return
                yield following.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await messages.aclose()

    async def disconnect(self, request):
        self._stopped.set()
        return Done()

    async def incoming(self):
        """Messages as they come, over as many connections as it takes."""
        while True:
            try:
                async with self.line(op="listen", after=self._after, kind=self.platform) as (reader, writer):
                    while line := await reader.readline():
                        given = json.loads(line)
                        self._after = given["seq"]
                        yield self.message(given)
                        self.taken(given, writer)
            except ConnectionError:
                pass
            await self._clock.sleep(PAUSE)

    def taken(self, given, writer):
        """A message was given on."""

    def message(self, given):
        origin = Origin(
            platform=self.platform,
            chat=given["chat"],
            thread=given["thread"] if self.capabilities.threads else "",
            message_id=given["id"],
            idempotency_key=f"{self.platform}:{given['id']}",
        )
        parts = [TextPart(given["text"])]
        if given["file"] and self.capabilities.media:
            data = base64.b64decode(given["file"])
            parts.append(FilePart(name="file", media_type="application/octet-stream", data=data))
        principal = Principal(id=f"{self.platform}:{given['sender']}", name=given["sender"])
        return InMessage(origin=origin, principal=principal, parts=tuple(parts))

    async def send(self, message):
        files = [part for part in message.parts if hasattr(part, "data")]
        if reason := self.why_not(files):
            return SendResult(error=reason)
        text = self.with_buttons(text_of(message.parts), message.buttons)
        pieces = list(split(text, self.capabilities.max_length, self.measure)) or [""]
        ids = []
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            answer = await self.ask(
                op="send",
                chat=message.origin.chat,
                thread=message.origin.thread if self.capabilities.threads else "",
                text=piece,
                buttons=[button.label for button in message.buttons] if last and self.capabilities.buttons else [],
                files=[base64.b64encode(part.data).decode() for part in files] if last else [],
            )
            if "error" in answer:
                wait = answer["retry_after"]
                return SendResult(ids=tuple(ids), error=answer["error"], retryable=wait > 0, retry_after=wait)
            ids.append(answer["id"])
        return SendResult(ids=tuple(ids))

    def why_not(self, files):
        """Why these cannot be sent; blank if they can."""
        for part in files:
            voice = type(part).__name__ == "AudioPart"
            if not (self.capabilities.voice if voice else self.capabilities.media):
                return f"{self.platform} carries no {'voice' if voice else 'files'}."
        return ""

    def with_buttons(self, text, buttons):
        if self.capabilities.buttons or not buttons:
            return text
        return f"{text} [{', '.join(button.label for button in buttons)}]"

    def measure(self, text):
        return len(text)

    async def edit(self, message):
        raise ToolError(f"{self.platform} cannot edit what was sent.")

    async def delete(self, message):
        raise ToolError(f"{self.platform} cannot delete what was sent.")

    async def typing(self, query):
        return Done()


def split(text, limit, measure):
    """Pieces that measure no more than the limit; characters stay whole. 0: no limit."""
    piece = ""
    for character in text:
        if limit and measure(piece + character) > limit:
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece
