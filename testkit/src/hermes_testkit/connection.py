"""One client's connection to the fake model server: HTTP/1.1 with keep-alive, and the answers on it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

from .replies import Cut, Drop, Element, Fail, Reply, Slow, elements_of, tokens_of
from .seen import SeenRequest
from .wire.form import Answer, Entry, Form, Piece

__all__ = ["Connection", "Script", "SeenRequest"]


class Script(Protocol):
    """Who says what is answered."""

    key: str
    models: list[Entry]
    forms: tuple[Form, ...]

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
        called = next((form for form in script.forms if form.takes(request)), None)
        form = called or next((form for form in script.forms if form.lists(request)), None)
        request.wire = form.name if form else ""
        script.note(request, model_call=called is not None)
        if form is None:
            error = {"message": f"Unknown request URL: {request.method} {request.route}"}
            await self._send_json(404, json.dumps({"error": error}), {})
        elif denied := form.denied(request, script.key):
            await self._fail(form, denied, request)
        elif called is not None:
            await self._complete(called, request)
        else:
            await self._send_json(200, json.dumps(form.models(script.models, request)), form.headers(request.number))

    async def _complete(self, form: Form, request: SeenRequest) -> None:
        asked = _object(request.body)
        refused = Fail(400, message="The body is not a JSON object.") if asked is None else form.refused(request, asked)
        if asked is None or refused is not None:
            await self._fail(form, refused or Fail(400), request)
            return
        elements = elements_of(self._script.next_reply(request))
        for element in elements:
            if isinstance(element, Fail):
                await self._fail(form, element, request)
                return
            if isinstance(element, Drop):
                raise _ServerHangsUp
        tokens = tokens_of(elements, len(request.body))
        answer = Answer(request.number, form.model(request, asked), tokens, asked, request.route)
        if form.streams(request, asked):
            await self._stream(form, elements, answer)
        else:
            await self._whole(form, elements, answer)

    async def _whole(self, form: Form, elements: list[Element], answer: Answer) -> None:
        for element in elements:
            if isinstance(element, Slow):
                await asyncio.sleep(element.seconds)
        cut = any(isinstance(element, Cut) for element in elements)
        await self._send_json(200, json.dumps(form.whole(elements, answer)), form.headers(answer.number), cut=cut)

    async def _stream(self, form: Form, elements: list[Element], answer: Answer) -> None:
        head = {"Content-Type": form.content_type, "Cache-Control": "no-cache", "Transfer-Encoding": "chunked"}
        self._send_head(200, {**head, **form.headers(answer.number)})
        cut = next((element.after for element in elements if isinstance(element, Cut)), -1)
        pause, sent = 0.0, 0
        for piece in form.stream(elements, answer):
            if isinstance(piece, Slow):
                pause = piece.seconds
                continue
            if pause:
                await self._writer.drain()
                await asyncio.sleep(pause)
            if isinstance(piece, Cut) or sent == cut:
                await self._writer.drain()
                raise _ServerHangsUp
            await self._send_chunk(piece)
            if piece.last:
                return
            sent += piece.counted

    async def _send_chunk(self, piece: Piece) -> None:
        """The last one with the mark of the end in the same packet: a client that leaves at it is not early."""
        data = piece.data
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) + (b"0\r\n\r\n" if piece.last else b""))
        await self._writer.drain()

    async def _fail(self, form: Form, fail: Fail, request: SeenRequest) -> None:
        text, headers = form.failure(fail, request.number)
        await self._send_json(fail.status, text, {**form.headers(request.number), **headers, **fail.headers})

    async def _send_json(self, status: int, text: str, headers: Mapping[str, str], *, cut: bool = False) -> None:
        """``cut``: hangs up after half of it."""
        data = text.encode()
        self._send_head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers})
        self._writer.write(data[: len(data) // 2] if cut else data)
        await self._writer.drain()
        if cut:
            raise _ServerHangsUp

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1"))


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
