"""Calls both ways over one connection: framing, nesting, streams, cancelling, and what is held back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes import HermesError, PluginError, RateLimited
from hermes.plugins import channel as channels
from hermes.plugins.channel import Channel, ChannelClosed
from hermes.plugins.framing import EMPTY, LIMIT, FrameReader, Kind, Target, encode

pack = msgspec.msgpack.encode
WAIT = 20.0


def unpack(body: msgspec.Raw) -> Any:
    return msgspec.msgpack.decode(body)


class Served:
    """Answers by the first word of the target; notes what it was told and what was cancelled."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.running = 0
        self.most = 0
        self.supplied = 0
        self.open = asyncio.Event()
        self.begun = asyncio.Condition()
        self.other: Channel

    async def has_begun(self, count: int) -> None:
        """Waits until so many calls are running."""
        async with self.begun:
            await self.begun.wait_for(lambda: self.running >= count)

    async def call(self, target: Target, body: msgspec.Raw) -> bytes:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self.begun:
                self.begun.notify_all()
            match target:
                case ("echo",):
                    return pack(unpack(body))
                case ("wait",):
                    await self.open.wait()
                    return EMPTY
                case ("hang",):
                    await asyncio.Event().wait()
                case ("nest", depth):
                    return await self._nest(int(depth))
                case ("limited",):
                    raise RateLimited("slow down", provider="x", retry_after=3.0, hint="wait")
                case ("exit",):
                    raise SystemExit(7)
                case ("large",):
                    return pack(b"x" * (LIMIT + 1))
            raise PluginError(f"what is {target}?")
        except asyncio.CancelledError:
            self.cancelled.set_result(target[0])
            raise
        finally:
            self.running -= 1

    async def _nest(self, depth: int) -> bytes:
        if depth == 0:
            return pack(["bottom"])
        return pack([depth, *unpack(await self.other.call(("nest", str(depth - 1))))])

    async def stream(self, target: Target, body: msgspec.Raw) -> AsyncIterator[bytes]:
        try:
            for number in range(int(target[1])):
                if target[0] == "fails" and number == 3:
                    raise PluginError("no more")
                self.supplied += 1
                yield pack(number)
        finally:
            if target[0] == "endless":
                self.cancelled.set_result("stream")

    def cast(self, target: Target, body: msgspec.Raw) -> None:
        self.told.append((target, unpack(body)))


class Pair:
    """Two ends that speak to each other."""

    def __init__(self) -> None:
        self.left, self.right = Served(), Served()
        self.hung = asyncio.Event()

    async def open(self) -> None:
        one, two = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, self.here = await loop.create_connection(
            lambda: Channel(self.left, self.left.closed.set_result, self.hung.set), sock=one
        )
        _, self.there = await loop.create_connection(
            lambda: Channel(self.right, self.right.closed.set_result), sock=two
        )
        self.left.other, self.right.other = self.here, self.there

    async def close(self) -> None:
        self.here.close()
        self.there.close()
        await asyncio.gather(self.left.closed, self.right.closed)


def paired(work: Callable[[Pair], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(WAIT):
            pair = Pair()
            await pair.open()
            try:
                return await work(pair)
            finally:
                await pair.close()

    return asyncio.run(run())


class Raw:
    """One end that is a `Channel`, and a socket in place of the other."""

    def __init__(self) -> None:
        self.served = Served()
        self.reader = FrameReader()
        self.hung = asyncio.Event()

    async def open(self) -> None:
        one, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        _, self.channel = await asyncio.get_running_loop().create_connection(
            lambda: Channel(self.served, self.served.closed.set_result, self.hung.set), sock=one
        )

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def frames(self, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)
            assert data, "the connection was closed"
            found += self.reader.feed(data)
        return found


def raw(work: Callable[[Raw], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(WAIT):
            far = Raw()
            await far.open()
            try:
                return await work(far)
            finally:
                far.channel.close()
                far.socket.close()
                await far.served.closed

    return asyncio.run(run())


# Framing.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FRAMES = st.lists(
    st.tuples(st.sampled_from(list(Kind)), st.integers(0, 2**40), st.lists(WORDS, max_size=4), st.binary(max_size=300)),
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(FRAMES, st.data())
def test_any_cut_of_the_bytes_gives_the_same_frames(frames: list[Any], data: st.DataObject) -> None:
    whole = b"".join(encode(kind, number, tuple(target), pack(body)) for kind, number, target, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))

    reader, found = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += [
            (frame.kind, frame.id, list(frame.target), unpack(frame.body)) for frame in reader.feed(whole[start:end])
        ]

    assert found == [(int(kind), number, target, body) for kind, number, target, body in frames]


def test_a_frame_of_bytes_that_come_one_by_one() -> None:
    reader = FrameReader()
    data = encode(Kind.CALL, 1, ("echo",), pack("x" * 5000))
    assert [frame for byte in data[:-1] for frame in reader.feed(bytes([byte]))] == []
    (frame,) = reader.feed(data[-1:])
    assert unpack(frame.body) == "x" * 5000


def test_a_frame_that_is_too_large_is_refused_by_who_sends_it() -> None:
    with pytest.raises(PluginError, match="more than fit into one message"):
        encode(Kind.CALL, 1, (), pack(b"x" * LIMIT))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,
        (LIMIT + 1).to_bytes(4, "big"),
        b"\0\0\0\x01\xc1",
        b"\0\0\0\x05hello",
        b"\0\0\0\0",
        b"\0\0\0\x04\x93\x00\x01\x90",
        b"\0\0\0\x06\x94\xa1x\x01\x90\xc0",
    ],
    ids=["4 GB", "just too large", "no MessagePack", "a word", "nothing", "too short", "a kind that is a word"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        list(FrameReader().feed(data))


# Calls.


def test_call_is_answered() -> None:
    assert paired(lambda pair: _answer(pair, ("echo",), {"a": [1, "ü"]})) == {"a": [1, "ü"]}


async def _answer(pair: Pair, target: Target, value: Any) -> Any:
    return unpack(await pair.here.call(target, pack(value)))


def test_many_calls_at_once_get_their_own_answers() -> None:
    async def work(pair: Pair) -> list[Any]:
        return [
            unpack(body) for body in await asyncio.gather(*(pair.here.call(("echo",), pack(n)) for n in range(500)))
        ]

    assert paired(work) == list(range(500))


def test_calls_nest_in_both_directions() -> None:
    assert paired(lambda pair: _answer(pair, ("nest", "40"), None)) == [*range(40, 0, -1), "bottom"]


def test_error_crosses_with_all_that_it_says() -> None:
    async def work(pair: Pair) -> RateLimited:
        with pytest.raises(RateLimited) as caught:
            await pair.here.call(("limited",))
        return caught.value

    error = paired(work)
    assert (str(error), error.provider, error.retry_after, error.hint) == ("slow down", "x", 3.0, "wait")


@pytest.mark.parametrize(("word", "says"), [("exit", "SystemExit: 7"), ("large", "more than fit into one message")])
def test_odd_end_of_a_call_is_an_error_of_the_call_alone(word: str, says: str) -> None:
    async def work(pair: Pair) -> Any:
        with pytest.raises(HermesError, match=says):
            await pair.here.call((word,))
        return await _answer(pair, ("echo",), "still here")

    assert paired(work) == "still here"


def test_answer_that_cannot_be_sent_is_refused_before_it_leaves() -> None:
    async def work(pair: Pair) -> Any:
        with pytest.raises(PluginError, match="more than fit"):
            await pair.here.call(("echo",), pack(b"x" * (LIMIT + 1)))
        return await _answer(pair, ("echo",), "still here")

    assert paired(work) == "still here"


def test_cancelled_call_is_cancelled_over_there() -> None:
    async def work(pair: Pair) -> str:
        task = asyncio.create_task(pair.here.call(("hang",)))
        await pair.right.has_begun(1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        cancelled = await pair.right.cancelled
        assert await _answer(pair, ("echo",), 1) == 1
        assert not pair.hung.is_set()
        return cancelled

    assert paired(work) == "hang"


def test_call_that_does_not_end_when_it_is_cancelled_counts_as_hung() -> None:
    async def work(far: Raw) -> float:
        task = asyncio.create_task(far.channel.call(("hang",)))
        (asked,) = await far.frames(1)
        task.cancel()
        (cancel,) = await far.frames(1)
        assert (cancel.kind, cancel.id) == (Kind.CANCEL, asked.id)
        began = time.monotonic()
        await far.hung.wait()
        return time.monotonic() - began

    assert 0.9 * channels.GRACE_SECONDS < raw(work) < channels.GRACE_SECONDS + 5


def test_whoever_waits_is_told_when_the_connection_goes() -> None:
    async def work(pair: Pair) -> list[str]:
        async def items() -> list[Any]:
            return [item async for item in pair.here.stream(("wait", "1"))]

        waiting = [asyncio.create_task(pair.here.call(("hang",))) for _ in range(3)]
        await pair.right.has_begun(3)
        pair.there.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(ChannelClosed):
            await pair.here.call(("echo",))
        return [type(error).__name__ for error in found]

    assert paired(work) == ["ChannelClosed"] * 3


def test_calls_of_one_step_leave_in_one_piece() -> None:
    async def work(far: Raw) -> int:
        calls = [asyncio.create_task(far.channel.call(("echo",), pack(n))) for n in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        data = await asyncio.get_running_loop().sock_recv(far.socket, 1 << 20)
        frames = list(far.reader.feed(data))
        for frame in frames:
            await far.send(encode(Kind.ANSWER, frame.id, (), frame.body))
        assert [unpack(body) for body in await asyncio.gather(*calls)] == list(range(50))
        return len(frames)

    assert raw(work) == 50


def test_casts_come_in_order() -> None:
    async def work(pair: Pair) -> list[Any]:
        for number in range(100):
            pair.here.cast(("told",), pack(number))
        await pair.here.call(("echo",), pack(0))
        return [value for _, value in pair.right.told]

    assert paired(work) == list(range(100))


# Streams.


@pytest.mark.parametrize("count", [0, 1, channels.WINDOW, channels.WINDOW * 5 + 3])
def test_stream_comes_whole_and_in_order(count: int) -> None:
    async def work(pair: Pair) -> list[int]:
        return [unpack(item) async for item in pair.here.stream(("count", str(count)))]

    assert paired(work) == list(range(count))


def test_stream_that_fails_gives_what_came_before() -> None:
    async def work(pair: Pair) -> list[int]:
        items = pair.here.stream(("fails", "9"))
        found = [unpack(await anext(items)) for _ in range(3)]
        with pytest.raises(PluginError, match="no more"):
            await anext(items)
        return found

    assert paired(work) == [0, 1, 2]


def test_slow_reader_holds_the_source_back() -> None:
    async def work(pair: Pair) -> None:
        items = pair.here.stream(("count", "1000000"))
        await anext(items)
        for _ in range(50):
            await pair.here.call(("echo",))
        assert pair.right.supplied <= channels.WINDOW + 1
        before = pair.right.supplied
        for _ in range(channels.WINDOW):
            await anext(items)
        for _ in range(50):
            await pair.here.call(("echo",))
        assert before < pair.right.supplied <= 2 * channels.WINDOW + 1
        await items.aclose()  # type: ignore[attr-defined]

    paired(work)


def test_leaving_a_stream_ends_it_over_there() -> None:
    async def work(pair: Pair) -> str:
        items = pair.here.stream(("endless", "1000000000"))
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]
        return await pair.right.cancelled

    assert paired(work) == "stream"


# What the other side may not do.


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 100,
        encode(Kind.CALL, 1, ("hang",), EMPTY) * 2,
        b"".join(encode(Kind.ERROR, number, (), pack("x")) for number in range(1, 3)),
        encode(Kind.CREDIT, 1, (), pack("x")) + b"\0\0\0\x01\xc1",
        len(deep := b"\x94\x00\x01\x90" + b"\x91" * 200_000 + b"\xc0").to_bytes(4, "big") + deep,
    ],
    ids=["garbage", "one number twice", "errors that are none", "credit that is none", "deeply nested"],
)
def test_broken_protocol_ends_the_connection_and_says_so(data: bytes) -> None:
    async def work(far: Raw) -> Exception | None:
        call = asyncio.create_task(far.channel.call(("echo",)))
        await far.frames(1)
        await far.send(data)
        with pytest.raises(HermesError):
            await call
        return await asyncio.shield(far.served.closed)

    assert raw(work) is not None


def test_more_items_than_were_asked_for_end_the_connection() -> None:
    async def work(far: Raw) -> Exception | None:
        items = far.channel.stream(("count", "1"))
        first = asyncio.create_task(anext(items))
        (asked,) = await far.frames(1)
        await far.send(encode(Kind.ITEM, asked.id, (), pack(1)) * (2 * channels.WINDOW + 500))
        with contextlib.suppress(ChannelClosed):
            await first
        error = await asyncio.shield(far.served.closed)
        await items.aclose()  # type: ignore[attr-defined]
        return error

    assert "more items than were asked for" in str(raw(work))


def test_what_nobody_asked_for_is_dropped() -> None:
    async def work(far: Raw) -> Any:
        for kind in (Kind.ANSWER, Kind.ITEM, Kind.END, Kind.CANCEL, Kind.CREDIT):
            await far.send(encode(kind, 4711, (), pack(1)))
        await far.send(encode(Kind.CALL, 9, ("echo",), pack("here")))
        (answer,) = await far.frames(1)
        return answer.kind, answer.id, unpack(answer.body)

    assert raw(work) == (Kind.ANSWER, 9, "here")


def test_calls_beyond_the_most_are_not_begun() -> None:
    more = channels.MOST_CALLS + 500

    async def work(far: Raw) -> int:
        for number in range(1, more + 1):
            await far.send(encode(Kind.CALL, number, ("wait",), EMPTY))
            await asyncio.sleep(0)
        begun = far.served.most
        far.served.open.set()
        answers = await far.frames(more)
        assert {frame.id for frame in answers} == set(range(1, more + 1))
        return begun

    # A read that is under way when there are enough brings at most what fits into one read.
    assert raw(work) <= channels.MOST_CALLS + 256 * 1024 // len(encode(Kind.CALL, more, ("wait",), EMPTY))


def test_stream_stops_while_the_other_side_reads_nothing() -> None:
    async def work(far: Raw) -> int:
        await far.send(encode(Kind.STREAM, 1, ("count", "1000000"), EMPTY))
        items = await far.frames(channels.WINDOW)
        await far.send(encode(Kind.CREDIT, 1, (), pack(64)) * 2)
        items += await far.frames(128)
        assert {frame.kind for frame in items} == {Kind.ITEM}
        for _ in range(200):
            await asyncio.sleep(0)
        return far.served.supplied

    assert raw(work) <= channels.WINDOW + 128 + 1
