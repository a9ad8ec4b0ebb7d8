"""Calls in both directions over one connection: nested, streamed, cancelled, and held back where a side is slow."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import msgspec

from hermes.contracts.errors import ErrorInfo, PluginError, error_of

from . import framing
from .framing import EMPTY, Frame, FrameReader, Kind, Target

WINDOW = 256
"""Items of a stream that may be on their way before the reader has taken some."""
MOST_CALLS = 1024
"""Calls of the other side that may be running; more are refused."""
GRACE_SECONDS = 1.0
"""How long the other side may take to end a call that was cancelled, before it counts as hung."""
POLL_SECONDS = 0.05
MOST_WAITING = 8 * 1024 * 1024
"""Bytes that wait to be sent; streams stop until there are fewer."""
MOST_UNREAD = 128 * 1024 * 1024
"""Bytes that wait to be sent; who reads so slowly is given up."""


class ChannelClosed(PluginError):
    """The other side is gone; what was under way has no answer."""


class Server(Protocol):
    """What answers the calls of the other side. Bodies are encoded structs."""

    async def call(self, target: Target, body: msgspec.Raw) -> bytes: ...
    def stream(self, target: Target, body: msgspec.Raw) -> AsyncIterator[bytes]: ...
    def cast(self, target: Target, body: msgspec.Raw) -> None: ...


class _Inflow:
    """A stream that comes in: what has arrived and was not taken yet."""

    def __init__(self) -> None:
        self.items: collections.deque[msgspec.Raw] = collections.deque()
        self.taken = 0
        self.ended = False
        self.error: BaseException | None = None
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class _Outflow:
    """A stream that goes out: how many items may still be sent."""

    def __init__(self) -> None:
        self.credit = WINDOW
        self.more = asyncio.Event()

    def grant(self, count: int) -> None:
        self.credit += count
        self.more.set()


class Channel(asyncio.Protocol):
    """One end. ``closed`` is told once, when the connection is gone, with what went wrong if anything did.

    ``hung`` is told when the other side does not end a call that was cancelled.
    """

    def __init__(
        self,
        server: Server,
        closed: Callable[[Exception | None], None],
        hung: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._closed = closed
        self._hung = hung
        self._cancelled: dict[int, asyncio.TimerHandle] = {}
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._numbers = 0
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._inflows: dict[int, _Inflow] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._outflows: dict[int, _Outflow] = {}
        self._drained = asyncio.Event()
        self._drained.set()
        self._gone = asyncio.Event()
        self._problem: Exception | None = None
        self.alive = True

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=MOST_WAITING)
        self._transport = transport

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except (msgspec.DecodeError, ValueError, IndexError, RecursionError) as error:
            self._problem = ValueError(str(error))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        if not self.alive:
            return
        self.alive = False
        self._drained.set()
        error = ChannelClosed("its process ended")
        for future in self._calls.values():
            if not future.done():
                future.set_exception(error)
        for inflow in self._inflows.values():
            inflow.error, inflow.ended = inflow.error or error, True
            inflow.wake()
        for task in self._tasks.values():
            task.cancel()
        for timer in self._cancelled.values():
            timer.cancel()
        self._calls.clear()
        self._inflows.clear()
        self._closed(self._problem or exc)

    def close(self) -> None:
        """Closes the connection; whoever waits gets `ChannelClosed`."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Breaks the connection off; nothing that waits to be sent is sent."""
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Closes the connection, and returns when it is closed; what waits to be sent is sent if that is quick."""
        self.close()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self.abort()

    def _send(self, kind: Kind, number: int, target: Target = (), body: bytes = EMPTY) -> None:
        """What is sent within one step of the loop leaves in one piece."""
        data = framing.encode(kind, number, target, body)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
            if self._transport.get_write_buffer_size() > MOST_UNREAD:
                self._problem = ValueError("it does not read what is sent to it")
                self._transport.abort()
        self._out.clear()

    async def idle(self) -> None:
        """Returns when no call is under way, in either direction."""
        while self._calls or self._inflows or self._tasks:
            waiting: list[asyncio.Future[Any]] = [*self._calls.values(), *self._tasks.values()]
            await (asyncio.wait(waiting) if waiting else asyncio.sleep(POLL_SECONDS))

    # Calling.

    def _number(self) -> int:
        if not self.alive:
            raise ChannelClosed("its process ended")
        self._numbers += 1
        return self._numbers

    def begin(self, target: Target, body: bytes = EMPTY) -> asyncio.Future[msgspec.Raw]:
        """Calls without waiting; the answer, encoded, or the error comes into the future."""
        number = self._number()
        future = self._calls[number] = self._loop.create_future()
        self._send(Kind.CALL, number, target, body)
        return future

    async def call(self, target: Target, body: bytes = EMPTY) -> msgspec.Raw:
        """The answer, encoded. Cancelling this cancels it over there.

        Raises:
            ChannelClosed: the other side is gone.
            HermesError: what the other side raised.
        """
        future = self.begin(target, body)
        number = self._numbers
        try:
            return await future
        except asyncio.CancelledError:
            if self._calls.pop(number, None) is not None:
                self._cancel(number)
            raise

    def _cancel(self, number: int) -> None:
        if self.alive:
            self._send(Kind.CANCEL, number)
            self._cancelled[number] = self._loop.call_later(GRACE_SECONDS, self._hung)

    async def stream(self, target: Target, body: bytes = EMPTY) -> AsyncIterator[msgspec.Raw]:
        """The items, encoded, as they come. Leaving the iterator cancels it over there."""
        number = self._number()
        inflow = self._inflows[number] = _Inflow()
        self._send(Kind.STREAM, number, target, body)
        try:
            while True:
                while inflow.items:
                    item = inflow.items.popleft()
                    inflow.taken += 1
                    if inflow.taken == WINDOW // 2:
                        inflow.taken = 0
                        self._grant(number)
                    yield item
                if inflow.ended:
                    break
                inflow.waiter = self._loop.create_future()
                await inflow.waiter
            if inflow.error is not None:
                raise inflow.error
        finally:
            self._inflows.pop(number, None)
            if not inflow.ended:
                self._cancel(number)

    def _grant(self, number: int) -> None:
        if self.alive and number in self._inflows:
            self._send(Kind.CREDIT, number, (), msgspec.msgpack.encode(WINDOW // 2))

    def cast(self, target: Target, body: bytes = EMPTY) -> None:
        """Tells the other side something, without an answer."""
        if self.alive:
            self._send(Kind.CAST, 0, target, body)

    # Being called, and being answered.

    def _take(self, frame: Frame) -> None:
        kind, number = frame.kind, frame.id
        if kind in (Kind.ANSWER, Kind.END, Kind.ERROR) and number in self._cancelled:
            self._cancelled.pop(number).cancel()
            return
        if kind == Kind.ANSWER or (kind == Kind.ERROR and number in self._calls):
            self._settle(frame)
        elif kind in (Kind.ITEM, Kind.END, Kind.ERROR):
            self._flow(frame)
        elif kind in (Kind.CALL, Kind.STREAM):
            if number in self._tasks:
                raise ValueError(f"the call {number} is running already")
            if len(self._tasks) >= MOST_CALLS:
                self._tell(number, PluginError(f"more than {MOST_CALLS} calls are running"))
                return
            work = self._answer if kind == Kind.CALL else self._supply
            task = self._tasks[number] = self._loop.create_task(work(frame))
            task.add_done_callback(lambda task: self._tasks.pop(number, None) and None)
        elif kind == Kind.CANCEL:
            if number in self._tasks:
                self._tasks[number].cancel()
        elif kind == Kind.CREDIT:
            if number in self._outflows:
                self._outflows[number].grant(msgspec.msgpack.decode(frame.body, type=int))
        elif kind == Kind.CAST:
            self._server.cast(frame.target, frame.body)

    def _settle(self, frame: Frame) -> None:
        error = _raised(frame.body) if frame.kind == Kind.ERROR else None
        future = self._calls.pop(frame.id, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(frame.body)
        else:
            future.set_exception(error)

    def _flow(self, frame: Frame) -> None:
        inflow = self._inflows.get(frame.id)
        if inflow is None:
            return
        if frame.kind == Kind.ITEM:
            inflow.items.append(frame.body)
            if len(inflow.items) > 2 * WINDOW:
                raise ValueError("more items than were asked for")
        else:
            inflow.ended = True
            inflow.error = _raised(frame.body) if frame.kind == Kind.ERROR else None
        inflow.wake()

    async def _answer(self, frame: Frame) -> None:
        try:
            body = await self._server.call(frame.target, frame.body)
            self._send(Kind.ANSWER, frame.id, (), body)
        except BaseException as error:  # noqa: BLE001 (the boundary: the other side is told)
            self._tell(frame.id, error)

    async def _supply(self, frame: Frame) -> None:
        outflow = self._outflows[frame.id] = _Outflow()
        try:
            async with contextlib.aclosing(_generator(self._server.stream(frame.target, frame.body))) as items:
                async for item in items:
                    while outflow.credit <= 0:
                        outflow.more.clear()
                        await outflow.more.wait()
                    if not self._drained.is_set():
                        await self._drained.wait()
                    outflow.credit -= 1
                    self._send(Kind.ITEM, frame.id, (), item)
            self._send(Kind.END, frame.id)
        except BaseException as error:  # noqa: BLE001 (the boundary: the other side is told)
            self._tell(frame.id, error)
        finally:
            self._outflows.pop(frame.id, None)

    def _tell(self, number: int, error: BaseException) -> None:
        if self.alive:
            self._send(Kind.ERROR, number, (), msgspec.msgpack.encode(ErrorInfo.of(error)))


def _generator(items: AsyncIterator[bytes]) -> Any:
    """An iterator that can be closed; what is none ends by itself."""
    return items if hasattr(items, "aclose") else _closable(items)


async def _closable(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for item in items:
        yield item


def _raised(body: msgspec.Raw) -> BaseException:
    return error_of(msgspec.msgpack.decode(body, type=ErrorInfo))
