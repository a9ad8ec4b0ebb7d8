"""The way out of a sandbox: an HTTP proxy that reaches the hosts that a plugin may reach, and no others.

The kernel's side listens on a Unix socket that is bound into the sandbox; inside, `relay` makes a local port of it,
which ``HTTPS_PROXY`` names. Names are resolved out here, so that a listed name cannot lead to a machine of the local
network.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from hermes.logs.plain import plain

PORTS = (80, 443)
HEAD_LIMIT = 64 * 1024
CHUNK = 64 * 1024
CONNECT_SECONDS = 20.0
HEAD_SECONDS = 20.0
MOST_CONNECTIONS = 64
"""Of one plugin host at a time; more are refused."""


_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name; a line with another one may be read as something else by whoever gets it, and is dropped."""


class Refused(Exception):
    pass


class Egress:
    """The proxy for one plugin host. ``hosts``: as in ``permissions.network``."""

    def __init__(self, hosts: Sequence[str], log: logging.Logger, whose: str) -> None:
        self._hosts = hosts
        self._log = log
        self._whose = whose
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, path: str) -> None:
        """Listens on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._accept, path, limit=HEAD_LIMIT)
        os.chmod(path, 0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if len(self._tasks) > MOST_CONNECTIONS:
                raise Refused(f"more than {MOST_CONNECTIONS} connections at a time")
            await self._serve(reader, writer)
        except Refused as error:
            self._log.warning("%s was kept from the network: %s", self._whose, plain(str(error)))
            body = f"{error}\n".encode()
            head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            with contextlib.suppress(OSError):
                writer.write(head.encode() + body)
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
            with contextlib.suppress(OSError):
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._log.debug("%s: a connection failed: %s", self._whose, error)
        except asyncio.CancelledError:
            pass  # by `close`; the server's own callback wants a task that ends
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, address, version = line.decode("latin-1").split(" ", 2)
        if method == "CONNECT":
            host, _, port = address.rpartition(":")
            upstream = await self._connect(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, *upstream)
            return
        parts = urlsplit(address)
        if parts.scheme != "http" or not parts.hostname:
            raise Refused(f"{address[:100]} is no address that a proxy can fetch")
        kept, length = _headers(rest)
        upstream = await self._connect(parts.hostname, parts.port or 80)
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        place = parts.netloc.rpartition("@")[2]
        head = f"{method} {path} {version}\r\nHost: {place}\r\nConnection: close\r\n".encode("latin-1")
        upstream[1].write(head + b"".join(line + b"\r\n" for line in kept) + b"\r\n")
        await _join(reader, writer, *upstream, most=length)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        allowed = [entry for entry in self._hosts if _matches(entry, host, port)]
        if not allowed:
            raise Refused(f"{host}:{port} is not among the hosts it may reach ({', '.join(self._hosts)})")
        literal = any(_bare(entry) == host.lower() for entry in allowed)
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [str(entry[4][0]) for entry in found]
            if not (literal and _is_local_name(host)):
                addresses = [address for address in addresses if ipaddress.ip_address(address).is_global]
            if not addresses:
                raise Refused(f"{host} is an address of the local network, which has to be listed as it stands")
            return await asyncio.open_connection(addresses[0], port, limit=CHUNK)


def _headers(block: bytes) -> tuple[list[bytes], int]:
    """What is sent on, and how long the request's body is: nothing that comes after it is sent.

    Raises:
        Refused: it cannot be known how long the body is.
    """
    kept, length = [], 0
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            continue
        name = name.lower()
        if name == b"transfer-encoding":
            raise Refused("a request without TLS has to say how long it is (Content-Length)")
        if name == b"content-length":
            length = int(value)
        if not name.startswith(b"proxy-") and name not in (b"connection", b"host", b"upgrade"):
            kept.append(line)
    return kept, length


def _is_local_name(host: str) -> bool:
    """Whether the name says by itself that it is near: ``localhost``, or an address in figures."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return True


def _bare(entry: str) -> str:
    return entry.rpartition(":")[0].lower() if entry.rpartition(":")[2].isdigit() else entry.lower()


def _matches(entry: str, host: str, port: int) -> bool:
    """``api.example.org`` on the usual ports, ``*.example.org``, ``localhost:8080``."""
    _, colon, last = entry.rpartition(":")
    ports: Sequence[int] = (int(last),) if colon and last.isdigit() else PORTS
    name, wanted = _bare(entry), host.lower().rstrip(".")
    return port in ports and (wanted == name or (name.startswith("*.") and wanted.endswith(name[1:])))


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
    *,
    most: int | None = None,
) -> None:
    """Carries bytes both ways until one side ends. ``most``: how many go out; None: any number."""

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int | None = None) -> None:
        while left != 0 and (data := await source.read(CHUNK if left is None else min(left, CHUNK))):
            left = None if left is None else left - len(data)
            sink.write(data)
            await sink.drain()
        if left is None and sink.can_write_eof():
            sink.write_eof()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, far_writer, most))
            group.create_task(carry(far_reader, writer))
    except* OSError:
        pass  # a side that goes away ends the connection, as it would without us
    finally:
        far_writer.close()


def relay(path: str, port: int) -> None:
    """Inside a sandbox: makes the proxy's Unix socket a port on 127.0.0.1, on threads of its own."""
    listener = socket.create_server(("127.0.0.1", port))
    threading.Thread(target=_accept_all, args=(listener, path), name="egress", daemon=True).start()


def _accept_all(listener: socket.socket, path: str) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError:
            near.close()
            continue
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_carry, args=(source, sink), name="egress", daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
