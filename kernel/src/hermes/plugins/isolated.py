"""Plugin hosts, as the kernel sees them: started, spoken to, watched, started again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hermes.contracts.errors import HermesError, PluginError
from hermes.contracts.host import Clock
from hermes.contracts.scope import Scope
from hermes.logs.plain import plain

from .border import decode, encode
from .channel import Channel, ChannelClosed, Server
from .egress import Egress
from .guest import Hello, Loaded, LoadRequest
from .indexed import IndexedPlugin
from .manifest import API
from .sandbox import EGRESS_PORT, EGRESS_SOCKET, Sandbox, bubblewrap

START_SECONDS = 20.0
CLOSE_SECONDS = 2.0
DRAIN_SECONDS = 30.0
DEATHS = 5
WINDOW_SECONDS = 60.0
BACKOFF = (0.0, 0.1, 0.4, 1.6)
"""Seconds before each new start, by how often the host died within the window."""
LOGGED_BYTES = 64 * 1024
"""Of what a host's plugins print, for each start; the rest is dropped, and said so."""
LOGGED_LINE = 2000


class Surroundings(NamedTuple):
    """What all hosts of an `App` have in common. ``server`` makes what answers a host's calls."""

    scope: Scope
    data_root: Path
    clock: Clock
    log: logging.Logger
    memory_mb: int
    server: Callable[[frozenset[str]], Server]


class HostDied(PluginError):
    """The process ended before it could be spoken to; the next one may fare better."""


class PluginHost:
    """One process, for plugins of one group. ``gave_up`` is told when it has died too often."""

    def __init__(
        self,
        plugins: Sequence[IndexedPlugin],
        loader: IndexedPlugin | None,
        around: Surroundings,
        gave_up: Callable[[PluginHost, str], None],
    ) -> None:
        self.plugins = {plugin.name: plugin for plugin in plugins}
        self.failed = ""
        """Why there will be no more starts."""
        self.starts = 0
        self._loader = loader
        self._around = around
        self._gave_up = gave_up
        self._server = around.server(frozenset(self.plugins))
        self._loaded: dict[str, LoadRequest] = {}
        self._early: dict[str, asyncio.Task[Loaded]] = {}
        self._channel: Channel | None = None
        self._latest: Channel | None = None
        """Of the process that was started last, also before it has said anything."""
        self._watched: dict[int, Callable[[], None]] = {}
        self._starting: asyncio.Task[Channel] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: collections.deque[float] = collections.deque(maxlen=DEATHS)
        self._egress: Egress | None = None
        self._folder = ""
        self._closing = False
        self._logged = 0
        self.name = " ".join(sorted(self.plugins))

    @property
    def pid(self) -> int:
        """Of the process that runs now; 0: none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    @property
    def in_use(self) -> bool:
        return bool(self._loaded)

    @property
    def alive(self) -> bool:
        """Whether it can be spoken to at this moment."""
        return self._channel is not None and self._channel.alive

    async def channel(self) -> Channel:
        """An open channel; starts the process if there is none.

        Raises:
            PluginError: it cannot be started, or died too often.
        """
        while True:
            if self._channel is not None and self._channel.alive:
                return self._channel
            try:
                return await asyncio.shield(self._started(self._backoff()))
            except HostDied:
                if self._closing:
                    raise

    def _started(self, delay: float = 0.0) -> asyncio.Task[Channel]:
        if self.failed:
            raise PluginError(f"the plugin host of {self.name} is not started any more: {self.failed}")
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(delay))
            self._starting.add_done_callback(_seen)
        return self._starting

    def begin(self, request: LoadRequest) -> None:
        """Has a plugin loaded that will be asked for soon. All that are begun are loaded without waiting between."""
        name = request.plugin.name
        if name not in self._early and name not in self._loaded:
            self._early[name] = asyncio.create_task(self._load(request))
            self._early[name].add_done_callback(_seen)

    async def load(self, request: LoadRequest) -> Loaded:
        """Loads a plugin, now and after every new start.

        Raises:
            PluginError: it cannot be imported, or its host cannot be started.
        """
        name = request.plugin.name
        loaded = await (self._early.pop(name, None) or self._load(request))
        self._loaded[name] = request
        return loaded

    async def _load(self, request: LoadRequest) -> Loaded:
        """A process that ends meanwhile counts as one more death, and the next one is tried."""
        while True:
            try:
                return await self._load_into(await self.channel(), request)
            except ChannelClosed:
                if self._closing:
                    raise

    async def _load_into(self, channel: Channel, request: LoadRequest) -> Loaded:
        try:
            async with asyncio.timeout(START_SECONDS):
                body = await channel.call(("load", request.plugin.name), encode(request))
        except TimeoutError:
            self.kill()
            raise PluginError(f"it was still importing after {START_SECONDS:.0f} s", plugin=self.name) from None
        return decode(body, Loaded)  # type: ignore[no-any-return]

    async def unload(self, name: str) -> None:
        if self._loaded.pop(name, None) and self._channel is not None and self._channel.alive:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._channel.call(("unload", name))

    async def _start(self, delay: float) -> Channel:
        if delay:
            await self._around.clock.sleep(delay)
        channel: Channel | None = None
        try:
            async with asyncio.timeout(START_SECONDS):
                channel = await self._spawn()
                hello = decode(await channel.call(("hello",), encode(self._hello())), Hello)
            if hello.api > API:
                raise PluginError(f"the plugin host of {self.name} speaks plugin API {hello.api}, not {API}.")
            for request in list(self._loaded.values()):
                await self._reload(channel, request)
        except OSError as error:
            raise PluginError(f"the plugin host of {self.name} could not be started: {error}.") from error
        except (TimeoutError, ChannelClosed) as error:
            raise HostDied(f"the plugin host of {self.name} ended while it was started", plugin=self.name) from error
        else:
            self._channel = channel
            return channel
        finally:
            if self._channel is not channel or channel is None:
                await self._give_up_start(channel)

    async def _give_up_start(self, channel: Channel | None) -> None:
        self.kill()
        if channel is not None:
            await channel.end()

    def _hello(self) -> Hello:
        from hermes import __version__

        egress = (EGRESS_SOCKET, EGRESS_PORT) if self._egress and bubblewrap() else None
        return Hello(api=API, version=__version__, memory_mb=self._around.memory_mb, egress=egress)

    async def _reload(self, channel: Channel, request: LoadRequest) -> None:
        try:
            await self._load_into(channel, request)
        except ChannelClosed:
            raise
        except HermesError as error:
            self._around.log.error("%s could not be loaded again: %s", request.plugin.name, error)

    async def _spawn(self) -> Channel:
        loop = asyncio.get_running_loop()
        sandbox = await self._sandbox()
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        try:
            # Here, and not on a thread: a sandbox ends with the thread that started it.
            self._process = subprocess.Popen(  # noqa: ASYNC220
                sandbox.command("hermes.plugin_host.program"),
                stdin=theirs.fileno(),
                stdout=writing,
                stderr=writing,
                env=sandbox.environment(),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            os.close(reading)
            raise
        finally:
            theirs.close()
            os.close(writing)
        self.starts += 1
        self._logged = 0
        os.set_blocking(reading, False)
        loop.add_reader(reading, self._read_output, reading)
        process = self._process
        try:
            _, channel = await loop.create_connection(
                lambda: Channel(self._server, lambda error: self._lost(process, error), self.kill), sock=ours
            )
        except BaseException:
            _kill(process)
            ours.close()
            raise
        self._latest = channel
        self._watch(process, channel)
        return channel

    async def _sandbox(self) -> Sandbox:
        plugins = list(self.plugins.values())
        granted = plugins[0].permissions
        hosts = [host for host in granted.network if host != "*"]
        if hosts and "*" not in granted.network and self._egress is None:
            self._folder = tempfile.mkdtemp(prefix="hermes-")
            self._egress = Egress(hosts, self._around.log, self.name)
            await self._egress.start(os.path.join(self._folder, "egress.sock"))
        data = [self._around.data_root / plugin.name for plugin in plugins]
        for folder in data:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        loaders = [self._loader] if self._loader else []
        return Sandbox(
            granted,
            code=[*(plugin.path if loaders else plugin.place for plugin in plugins), *(one.place for one in loaders)],
            path=[entry for plugin in (*plugins, *loaders) for entry in plugin.import_path],
            data=data,
            workspace=self._around.scope.workspace,
            egress=os.path.join(self._folder, "egress.sock") if self._egress else "",
        )

    def _read_output(self, reading: int) -> None:
        """What plugins print, and what the interpreter says when it dies, goes to the log."""
        try:
            data = os.read(reading, 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(reading)
            os.close(reading)
            return
        before, self._logged = self._logged, self._logged + len(data)
        if before < LOGGED_BYTES:
            for line in data[: LOGGED_BYTES - before].decode(errors="replace").splitlines():
                if line.strip():
                    self._around.log.info("[%s] %s", self.name, plain(line, LOGGED_LINE))
            if self._logged >= LOGGED_BYTES:
                self._around.log.warning("[%s] prints too much; the rest is dropped", self.name)

    def kill(self) -> None:
        """Ends the process, however it is doing."""
        if self._process is not None:
            _kill(self._process)
        if self._latest is not None:
            self._latest.abort()

    def _watch(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        """The end of the process is the end of its host, even if a part of its sandbox lives on."""
        if not hasattr(os, "pidfd_open"):
            return  # there the connection's end has to do
        loop, descriptor = asyncio.get_running_loop(), os.pidfd_open(process.pid)

        def unwatch() -> None:
            if self._watched.pop(descriptor, None) is not None:
                loop.remove_reader(descriptor)
                os.close(descriptor)

        def ended() -> None:
            unwatch()
            channel.abort()

        self._watched[descriptor] = unwatch
        loop.add_reader(descriptor, ended)

    def _lost(self, process: subprocess.Popen[bytes], error: Exception | None) -> None:
        """The connection is gone, and with it the process; a new one is started, unless there were too many."""
        _kill(process)
        code = process.wait()
        if self._closing:
            return
        why = f"it ended with signal {-code}" if code < 0 else f"it ended with code {code}"
        why = f"it broke the protocol ({error})" if isinstance(error, ValueError) else why
        self._around.log.error("the plugin host of %s is gone: %s", self.name, why)
        now = self._around.clock.monotonic()
        self._deaths.append(now)
        recent = [moment for moment in self._deaths if now - moment <= WINDOW_SECONDS]
        if len(recent) >= DEATHS:
            self.failed = f"it died {DEATHS} times within a minute; the last time, {why}"
            self._gave_up(self, self.failed)
        elif self._starting is None or self._starting.done():
            self._started(self._backoff())

    def _backoff(self) -> float:
        """Seconds before the next start."""
        now = self._around.clock.monotonic()
        recent = sum(now - moment <= WINDOW_SECONDS for moment in self._deaths)
        return BACKOFF[min(recent, len(BACKOFF)) - 1] if recent else 0.0

    async def drain(self) -> None:
        """Waits until no call is under way, for as long as calls should take."""
        if self._channel is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._channel.idle()

    async def close(self) -> None:
        """Lets the plugins finish, and ends the process."""
        self._closing = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        channel, self._channel = self._channel, None
        if channel is not None and channel.alive:
            with contextlib.suppress(TimeoutError, HermesError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    for name in list(self._loaded):
                        await channel.call(("unload", name))
            await channel.end()
        self.kill()
        if self._process is not None:
            self._process.wait()
        for unwatch in list(self._watched.values()):
            unwatch()
        if self._egress is not None:
            await self._egress.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With its group: a sandbox that is being made has a part that is not yet bound to the life of the first.

    As long as nobody has waited for the process, its number and its group are nobody else's.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _seen(task: asyncio.Future[Any]) -> None:
    """What failed is told to whoever asks for it; nobody may be asking."""
    if not task.cancelled():
        task.exception()
