"""The proxy out of a sandbox: what is listed is reached, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hermes.plugins import egress as egresses
from hermes.plugins.egress import Egress, relay

WAIT = 20.0


class Upstream:
    """A server that notes what it is sent, and answers with the number of the connection."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.seen)
        self.seen.append(b"")
        while data := await reader.read(65536):
            self.seen[number] += data
            if data == b"end":
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nseen")
            await writer.drain()
        writer.close()


class Out:
    """A proxy for these hosts; ``{port}`` in them is the upstream's."""

    def __init__(self, hosts: list[str], names: dict[str, str]) -> None:
        self.upstream = Upstream()
        self.log: list[str] = []
        self._hosts = hosts
        self._names = names

    async def open(self, folder: Path) -> None:
        self.server = await self.upstream.start()
        log = logging.Logger("test")
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)
        self.path = str(folder / "egress.sock")
        hosts = [host.format(port=self.upstream.port) for host in self._hosts]
        self.proxy = Egress(hosts, log, "the plugin")
        await self.proxy.start(self.path)
        loop: Any = asyncio.get_running_loop()
        loop.getaddrinfo = self._resolve

    async def _resolve(self, host: str, port: int, **options: Any) -> list[Any]:
        """A name server of the test's own: no query leaves."""
        if host not in self._names and not host.replace(".", "").isdigit() and ":" not in host:
            raise socket.gaierror(f"{host} is not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self._names.get(host, host), port))]

    async def close(self) -> None:
        await self.proxy.close()
        self.server.close()
        await self.server.wait_closed()

    async def ask(self, text: str) -> bytes:
        """What comes back for these bytes, up to the end or the first answer."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(text.format(port=self.upstream.port).encode("latin-1"))
        try:
            return await reader.read(65536)
        finally:
            writer.close()
            await writer.wait_closed()


def through(work: Callable[[Out], Awaitable[Any]], hosts: list[str], names: dict[str, str] | None = None) -> Any:
    async def run() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            out = Out(hosts, names or {})
            await out.open(Path(folder))
            try:
                async with asyncio.timeout(WAIT):
                    return await work(out)
            finally:
                await out.close()

    return asyncio.run(run())


def test_listed_host_is_reached_through_a_tunnel() -> None:
    async def work(out: Out) -> bytes:
        reader, writer = await asyncio.open_unix_connection(out.path)
        writer.write(f"CONNECT 127.0.0.1:{out.upstream.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        writer.write(b"\x16\x03\x01 anything at all")
        found = await reader.readuntil(b"seen")
        writer.close()
        await writer.wait_closed()
        assert out.upstream.seen == [b"\x16\x03\x01 anything at all"]
        return found

    assert through(work, ["127.0.0.1:{port}"]).endswith(b"seen")


def test_plain_http_is_sent_as_a_server_wants_it() -> None:
    async def work(out: Out) -> list[bytes]:
        text = (
            "GET http://127.0.0.1:{port}/a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nProxy-Connection: keep-alive\r\n"
            "Proxy-Authorization: x\r\nAccept: */*\r\n\r\n"
        )
        assert b"200 OK" in await out.ask(text)
        return out.upstream.seen

    (seen,) = through(work, ["127.0.0.1:{port}"])
    assert seen.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"Accept: */*\r\n" in seen
    assert b"roxy" not in seen
    assert seen.endswith(b"\r\n\r\n")


def test_plain_http_says_the_host_that_was_judged() -> None:
    """Else a listed name would lead to every other site behind its address."""

    async def work(out: Out) -> list[bytes]:
        await out.ask("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: inside.example\r\nhost : inside.example\r\n\r\n")
        return out.upstream.seen

    (seen,) = through(work, ["127.0.0.1:{port}"])
    assert b"inside.example" not in seen
    assert b"Host: 127.0.0.1:" in seen


@pytest.mark.parametrize(
    "text",
    [
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n",
        "CONNECT localhost:{port} HTTP/1.1\r\n\r\n",
        "CONNECT [::1]:{port} HTTP/1.1\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        "CONNECT listed.example:{port} HTTP/1.1\r\n\r\n",
        "CONNECT listed.example:22 HTTP/1.1\r\n\r\n",
        "CONNECT listed.example.evil.example:443 HTTP/1.1\r\n\r\n",
        "CONNECT notlisted.example:443 HTTP/1.1\r\n\r\n",
        "CONNECT wild.example:443 HTTP/1.1\r\n\r\n",
        "CONNECT xwild.example:443 HTTP/1.1\r\n\r\n",
        "GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: listed.example\r\n\r\n",
        "GET http://listed.example@127.0.0.1:{port}/ HTTP/1.1\r\n\r\n",
        "GET http://127.0.0.1:{port}#listed.example/ HTTP/1.1\r\n\r\n",
        "GET file:///etc/passwd HTTP/1.1\r\n\r\n",
        "GET /etc/passwd HTTP/1.1\r\n\r\n",
        "GET https://listed.example/ HTTP/1.1\r\n\r\n",
        "GET ftp://listed.example/ HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_listed_is_refused_and_logged(text: str) -> None:
    async def work(out: Out) -> tuple[bytes, list[bytes], list[str]]:
        return await out.ask(text), out.upstream.seen, out.log

    answer, seen, log = through(work, ["listed.example", "*.wild.example"], {"listed.example": "127.0.0.1"})
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert seen == []
    assert len(log) == 1
    assert "the plugin was kept from the network" in log[0]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "::1", "fe80::1", "::ffff:127.0.0.1"],
)
@pytest.mark.parametrize("name", ["listed.example", "a.wild.example", "listed.example."])
def test_listed_name_does_not_lead_to_the_local_network(name: str, address: str) -> None:
    async def work(out: Out) -> bytes:
        return await out.ask(f"CONNECT {name}:443 HTTP/1.1\r\n\r\n")

    answer = through(work, ["listed.example", "*.wild.example"], {name: address})
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"local network" in answer


@pytest.mark.parametrize("name", ["localhost.", "127.1", "2130706433", "0x7f000001", "0", "[::ffff:127.0.0.1]"])
def test_other_writings_of_this_machine_are_not_listed(name: str) -> None:
    async def work(out: Out) -> tuple[bytes, list[bytes]]:
        return await out.ask(f"CONNECT {name}:{out.upstream.port} HTTP/1.1\r\n\r\n"), out.upstream.seen

    answer, seen = through(work, ["127.0.0.2:{port}", "localhost.example:{port}"], {"localhost.": "127.0.0.1"})
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 502"))
    assert seen == []


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST"])
def test_localhost_is_reached_where_it_is_listed(name: str) -> None:
    async def work(out: Out) -> bytes:
        return await out.ask(f"GET http://{name}:{out.upstream.port}/ HTTP/1.1\r\n\r\n")

    names = {"localhost": "127.0.0.1", "LOCALHOST": "127.0.0.1"}
    assert b"200 OK" in through(work, ["localhost:{port}"], names)


@pytest.mark.parametrize(
    "text",
    [
        "\r\n\r\n",
        "nonsense\r\n\r\n",
        "CONNECT\r\n\r\n",
        "CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:port HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:99999999 HTTP/1.1\r\n\r\n",
        "GET http://[::1/ HTTP/1.1\r\n\r\n",
        "GET http://127.0.0.1:x/ HTTP/1.1\r\n\r\n",
        "x" * (egresses.HEAD_LIMIT + 1000) + "\r\n\r\n",
    ],
    ids=lambda text: text[:20].strip() or "nothing",
)
def test_nonsense_is_answered_and_the_next_one_served(text: str) -> None:
    async def work(out: Out) -> bytes:
        answer = await out.ask(text.replace("{", "").replace("}", ""))
        assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 502"))
        return await out.ask("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n")

    assert b"200 OK" in through(work, ["127.0.0.1:{port}"])


def test_message_of_a_refusal_is_one_line_of_plain_text() -> None:
    async def work(out: Out) -> list[str]:
        await out.ask("CONNECT \x1b[2Jevil\nroot_was_here:443 HTTP/1.1\r\n\r\n")
        return out.log

    assert all(line.isprintable() for line in through(work, ["127.0.0.1:{port}"]))


def test_large_bodies_go_both_ways() -> None:
    size = 3 * 1024 * 1024

    async def work(out: Out) -> bytes:
        reader, writer = await asyncio.open_unix_connection(out.path)
        writer.write(f"CONNECT 127.0.0.1:{out.upstream.port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")

        async def drink() -> None:
            while await reader.read(65536):
                pass

        drinking = asyncio.create_task(drink())
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()
        writer.write_eof()
        await drinking
        writer.close()
        return out.upstream.seen[0]

    assert len(through(work, ["127.0.0.1:{port}"])) == size


def test_connections_that_say_nothing_are_bounded() -> None:
    """A plugin cannot take the descriptors of Hermes."""

    async def work(out: Out) -> int:
        before = len(os.listdir("/proc/self/fd"))
        held = []
        for _ in range(400):
            near = socket.socket(socket.AF_UNIX)
            near.setblocking(False)
            try:
                near.connect(out.path)
            except BlockingIOError:
                near.close()
                continue
            held.append(near)
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        taken = len(os.listdir("/proc/self/fd")) - before - len(held)
        for near in held:
            near.close()
        return taken

    assert through(work, ["127.0.0.1:{port}"]) <= 130


def test_closing_ends_what_is_open() -> None:
    async def work(out: Out) -> bytes:
        reader, writer = await asyncio.open_unix_connection(out.path)
        writer.write(f"CONNECT 127.0.0.1:{out.upstream.port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await out.proxy.close()
        rest = await reader.read()
        writer.close()
        return rest

    assert through(work, ["127.0.0.1:{port}"]) == b""


def test_socket_is_the_users_alone() -> None:
    async def work(out: Out) -> int:
        return os.stat(out.path).st_mode & 0o777

    assert through(work, []) == 0o600


def test_relay_makes_a_port_of_the_socket() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        inside = free.getsockname()[1]

    async def work(out: Out) -> bytes:
        relay(out.path, inside)
        reader, writer = await asyncio.open_connection("127.0.0.1", inside)
        writer.write(f"GET http://127.0.0.1:{out.upstream.port}/ HTTP/1.1\r\n\r\n".encode())
        answer = await reader.readuntil(b"seen")
        writer.close()
        await writer.wait_closed()
        return answer

    assert b"200 OK" in through(work, ["127.0.0.1:{port}"])
