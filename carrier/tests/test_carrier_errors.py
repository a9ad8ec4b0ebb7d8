"""What errors say and do not say: of paths, of waiting, of passwords."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from hermes import (
    BadRequest,
    Endpoint,
    ModelNotFound,
    ModelRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamBroken,
)
from hermes_carrier.errors import Complaint, address_of, error_of, how_long, provider_error, without_key
from hermes_carrier.failures import client_failure, failure_of
from hermes_carrier.http import HttpCarrier, Outgoing
from hermes_carrier.sdk import ClientCarrier
from hermes_carrier.state import tagged

PASSWORD = "hunter2-and-more"
ENDPOINT = Endpoint(provider="acme", base_url="http://acme.test/v1", key="sk-test-0123456789")
SECRET = Endpoint(provider="acme", base_url=f"http://me:{PASSWORD}@acme.test/v1")
ASKED = Outgoing(method="POST", path="/ask", headers={}, body=b"{}", timeout=10)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>404 Not Found</body></html>",
        b"404 page not found",
        b'{"detail": "Not Found"}',
        b'{"error": {"message": "Unknown request URL: POST /models/x:generate", "type": "invalid_request_error"}}',
        b'{"error": {"message": "Invalid URL (POST /v2/chat)", "type": "invalid_request_error"}}',
        b'{"type": "error", "error": {"type": "not_found_error", "message": "Not Found"}}',
        b'{"error": {"code": "404", "message": "Resource not found"}}',
    ],
)
def test_where_the_path_is_wrong_nothing_is_said_of_models(body: bytes) -> None:
    failure = error_of(404, {}, body, ENDPOINT, "the-model")
    assert type(failure) is BadRequest
    assert "http://acme.test/v1" in failure.hint
    assert "providers.acme.base_url" in failure.hint
    assert "the-model" not in failure.hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"error": {"message": "The model does not exist", "code": "model_not_found"}}',
        b'{"error": {"message": "model: the-model", "type": "not_found_error"}}',
        b'{"error": {"message": "model \\"the-model\\" not found, try pulling it first"}}',
        b'{"error": {"code": 404, "message": "models/x is not found for API version v1", "status": "NOT_FOUND"}}',
    ],
)
def test_a_model_that_is_not_there_is_named(body: bytes) -> None:
    failure = error_of(404, {}, body, ENDPOINT, "the-model")
    assert type(failure) is ModelNotFound
    assert '"the-model"' in failure.hint


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "a little"),
        (7, "a little"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7201, "3 hours"),
    ],
)
def test_how_long_to_wait_is_said_in_words(seconds: float | None, words: str) -> None:
    assert how_long(seconds) == words
    failure = provider_error(429, Complaint("Slow down"), ENDPOINT, retry_after=seconds)
    assert type(failure) is RateLimited
    assert failure.hint.startswith(f"Wait {words},")


def test_a_long_trouble_is_said_too() -> None:
    busy = error_of(503, {"retry-after": "3600"}, b"", ENDPOINT)
    assert type(busy) is Overloaded
    assert "try again in 1 hour" in busy.hint
    assert "try again later" in error_of(503, {"retry-after": "2"}, b"", ENDPOINT).hint


def said(failure: ProviderError) -> str:
    return f"{failure} {failure.hint} {failure!r}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://acme.test/v1", "http://acme.test/v1"),
        ("http://me:pw@acme.test/v1", "http://***@acme.test/v1"),
        ("https://token@acme.test", "https://***@acme.test"),
        ("http://me:p@w@acme.test/a@b", "http://***@acme.test/a@b"),
        ("http://acme.test/a@b", "http://acme.test/a@b"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert address_of(Endpoint(provider="acme", base_url=url)) == shown


@pytest.mark.parametrize("status", [302, 401, 404, 405, 429, 500])
def test_the_password_of_an_address_is_in_no_refusal(status: int) -> None:
    page = f"<p>nothing at {SECRET.base_url}/ask for me with {PASSWORD}</p>".encode()
    assert PASSWORD not in said(error_of(status, {"location": f"{SECRET.base_url}/there"}, page, SECRET, "m"))


@pytest.mark.parametrize("kind", [httpx2.ConnectError, httpx2.ReadError, httpx2.UnsupportedProtocol, OverflowError])
def test_the_password_of_an_address_is_in_no_failure(kind: type[Exception]) -> None:
    failure = failure_of(kind(f"no luck with {SECRET.base_url}"), SECRET)
    assert PASSWORD not in said(failure)
    assert "http://***@acme.test/v1" in str(failure)


def test_the_password_of_an_address_is_not_kept_with_an_answer() -> None:
    request = ModelRequest(id="r", session_id="s", turn_id="t", endpoint=SECRET, model="m")
    assert tagged(request, {}).endpoint == "http://***@acme.test/v1"


def test_a_text_without_the_key() -> None:
    assert without_key("sk-test-0123456789!", ENDPOINT) == "[key]!"
    assert without_key("none of it", Endpoint(provider="acme", key="none")) == "none of it"


async def opened(endpoint: Endpoint, carrier: HttpCarrier | None = None) -> bytes:
    carrier = carrier or HttpCarrier()
    try:
        async with carrier.open(endpoint, ASKED) as incoming:
            return b"".join([piece async for piece in incoming.pieces()])
    finally:
        await carrier.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "https://127.0.0.1:70000", "http://127.0.0.1:x", "//[::"])
def test_an_address_that_is_none_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(BadRequest, match="address") as caught:
        asyncio.run(opened(Endpoint(provider="acme", base_url=url)))
    assert "providers.acme.base_url" in caught.value.hint


def test_an_error_of_the_reader_is_its_own() -> None:
    async def work(url: str) -> None:
        carrier = HttpCarrier()
        try:
            async with carrier.open(Endpoint(provider="acme", base_url=url), ASKED):
                raise OverflowError("of the reader")
        finally:
            await carrier.close()

    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url,
        pytest.raises(OverflowError, match="reader"),
    ):
        asyncio.run(work(url))


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers one request with these bytes and closes."""

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            read = b""
            while not read.endswith(b"{}"):
                read += connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def test_of_a_cut_stream_no_timeout_is_blamed() -> None:
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf") as url,
        pytest.raises(StreamBroken, match="the connection broke") as caught,
    ):
        asyncio.run(opened(Endpoint(provider="acme", base_url=url)))
    assert "timeout" not in caught.value.hint
    assert "cuts connections" in caught.value.hint


def test_of_silence_the_timeout_is_named() -> None:
    assert "timeout" in failure_of(httpx2.ReadTimeout(""), ENDPOINT).hint


class ClientError(Exception):
    pass


class ByClient(ClientCarrier):
    """Through a client that is the HTTP library, with an error of its own."""

    failures = ((ClientError, StreamBroken, "the client gives up"),)
    raises: Exception | None = None

    async def through(self, endpoint: Endpoint, outgoing: Outgoing) -> httpx2.Response:
        if self.raises is not None:
            raise self.raises
        client = self._client(endpoint)
        request = client.build_request(outgoing.method, endpoint.base_url, content=outgoing.body)
        return await client.send(request, stream=True)


def test_a_client_carries_the_same_bytes() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell") as url:
        assert asyncio.run(opened(Endpoint(provider="acme", base_url=url), ByClient())) == b"well"


def test_what_a_client_raises_is_an_error_of_ours() -> None:
    carrier: Any = ByClient()
    carrier.raises = ClientError(f"no luck with {ENDPOINT.key}")
    with pytest.raises(StreamBroken, match=r"the client gives up .*no luck with \[key\]") as caught:
        asyncio.run(opened(ENDPOINT, carrier))
    assert "carrier to http" in caught.value.hint
    assert caught.value.code == "ClientError"


@pytest.mark.parametrize("cause", [httpx2.UnsupportedProtocol("gopher"), ExceptionGroup("", [OverflowError("port")])])
def test_the_cause_of_a_clients_error_says_more(cause: Exception) -> None:
    error = ClientError("no luck")
    error.__cause__ = cause
    assert type(client_failure(error, ENDPOINT, ByClient.failures)) is BadRequest
