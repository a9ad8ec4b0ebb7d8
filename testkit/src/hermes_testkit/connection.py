"""One client's connection to the fake model server: HTTP/1.1 with keep-alive, and the answers on it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .replies import (
    Cut,
    Drop,
    Element,
    Envelope,
    Fail,
    KeepAlive,
    Malformed,
    Reply,
    Slow,
    Tokens,
    completion_tokens,
    deltas,
    elements_of,
    error_body,
    usage_of,
    whole,
)


@dataclass
class SeenRequest:
    """A request as it arrived. Names of ``headers`` are in lower case."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    arrived: float
    """``time.monotonic()``."""
    connection: int
    """Equal for requests that came over one connection."""
    ended: threading.Event = field(default_factory=threading.Event)
    closed_early: bool = False
    """The client closed the connection before the answer was whole; final once ``ended`` is set."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def wait_ended(self, timeout: float = 10.0) -> bool:
        """Waits until the answer is sent or the client is gone; False when neither happens in ``timeout`` seconds."""
        return self.ended.wait(timeout)


class Script(Protocol):
    """Who says what is answered."""

    key: str
    models: list[str | Mapping[str, Any]]

    def note(self, request: SeenRequest, *, model_call: bool) -> None: ...

    def next_reply(self, request: SeenRequest) -> Reply: ...

    def failed(self, error: Exception) -> None: ...


class _ClientGone(Exception):
    """The client closed the connection."""


class _ServerHangsUp(Exception):
    """The script says to close the connection here."""


class Connection:
    """One client connection: requests one after the other until either side closes it."""

    def __init__(self, script: Script, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script = script
        self._number = number
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        try:
            while await self._one_request():
                pass
        except (_ClientGone, _ServerHangsUp, ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:  # noqa: BLE001 (a function of the test's may raise anything; it fails the test)
            self._script.failed(error)
        finally:
            self._writer.close()

    async def _one_request(self) -> bool:
        request = await self._read()
        if request is None:
            return False
        work = asyncio.ensure_future(self._answer(request))
        gone = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                request.closed_early = True
                raise _ClientGone
            await work
        except ConnectionError:
            request.closed_early = True
            raise
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            request.ended.set()
        return request.headers.get("connection", "").lower() != "close"

    async def _read(self) -> SeenRequest | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._read_chunked()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return SeenRequest(0, method, path, headers, body, time.monotonic(), self._number)

    async def _read_chunked(self) -> bytes:
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return body

    async def _answer(self, request: SeenRequest) -> None:
        script = self._script
        path = request.path.partition("?")[0]
        model_call = path == "/v1/chat/completions" and request.method == "POST"
        script.note(request, model_call=model_call)
        if script.key and request.headers.get("authorization") != f"Bearer {script.key}":
            await self._fail(Fail(401))
        elif path == "/v1/models" and request.method == "GET":
            entries = [{"id": entry} if isinstance(entry, str) else entry for entry in script.models]
            listed = [{"object": "model", "created": 1_750_000_000, "owned_by": "tests", **entry} for entry in entries]
            await self._send_json(200, json.dumps({"object": "list", "data": listed}), request)
        elif model_call:
            await self._complete(request)
        else:
            await self._fail(Fail(404, {"error": {"message": f"Unknown request URL: {request.method} {path}"}}))

    async def _complete(self, request: SeenRequest) -> None:
        try:
            asked = request.json
        except ValueError:
            await self._fail(
                Fail(400, {"error": {"message": "The body is not JSON.", "type": "invalid_request_error"}})
            )
            return
        elements = elements_of(self._script.next_reply(request))
        for element in elements:
            if isinstance(element, Fail):
                await self._fail(element, request)
                return
            if isinstance(element, Drop):
                raise _ServerHangsUp
        said, thought = completion_tokens(elements)
        estimated = Tokens(prompt=-(-len(request.body) // 4), completion=said, reasoning=thought)
        envelope = Envelope(request.number, str(asked.get("model", "")), estimated)
        if asked.get("stream"):
            await self._stream(elements, envelope, asked, request)
            return
        for element in elements:
            if isinstance(element, Slow):
                await asyncio.sleep(element.seconds)
        await self._send_json(200, json.dumps(whole(elements, envelope)), request)

    async def _stream(
        self, elements: list[Element], envelope: Envelope, asked: dict[str, Any], request: SeenRequest
    ) -> None:
        self._writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
            b"Transfer-Encoding: chunked\r\nX-Request-Id: req_%d\r\n\r\n" % request.number
        )
        cut = next((element.after for element in elements if isinstance(element, Cut)), -1)
        with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        pause, sent = 0.0, 0
        for piece in deltas(elements, envelope):
            if isinstance(piece, Slow):
                pause = piece.seconds
                continue
            if pause:
                await self._writer.drain()
                await asyncio.sleep(pause)
            if isinstance(piece, Cut) or sent == cut:
                await self._writer.drain()
                raise _ServerHangsUp
            if isinstance(piece, KeepAlive):
                await self._send_chunk(f": {piece.text}\n\n")
            elif isinstance(piece, Malformed):
                await self._send_chunk(f"data: {piece.data}\n\n")
            elif isinstance(piece, dict):
                await self._send_chunk(f"data: {json.dumps(piece)}\n\n", last="error" in piece)
                sent += 1
                if "error" in piece:
                    return
        if with_usage:
            last = envelope.wrap("chat.completion.chunk", [], usage=usage_of(elements, envelope))
            await self._send_chunk(f"data: {json.dumps(last)}\n\n")
        await self._send_chunk("data: [DONE]\n\n", last=True)

    async def _send_chunk(self, text: str, *, last: bool = False) -> None:
        """``last``: with the mark of the end in the same packet, so that a client which leaves at it is not early."""
        data = text.encode()
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) + (b"0\r\n\r\n" if last else b""))
        await self._writer.drain()

    async def _fail(self, fail: Fail, request: SeenRequest | None = None) -> None:
        await self._send_json(fail.status, error_body(fail), request, fail.headers)

    async def _send_json(
        self, status: int, text: str, request: SeenRequest | None, headers: Mapping[str, str] | None = None
    ) -> None:
        data = text.encode()
        head = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        if request is not None:
            head["X-Request-Id"] = f"req_{request.number}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**head, **(headers or {})}.items())
        self._writer.write(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1") + data)
        await self._writer.drain()
