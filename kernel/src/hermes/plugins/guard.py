"""Contained hook calls: no exception, exit, hang or wrong type of a plugin reaches the run."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from hermes.contracts.errors import ErrorInfo
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE, HookOptions

from .answers import WrongType, check_type, exited
from .threads import on_daemon_thread

OBSERVER_SECONDS = 5.0
GUARD_SECONDS = 30.0


class HookTimeout(Exception):
    pass


class HookStats:
    """What became of one plugin's implementation of one hook."""

    __slots__ = ("failed", "fired", "last", "last_error", "seconds")

    def __init__(self) -> None:
        self.fired = 0
        self.failed = 0
        self.last = 0.0
        self.seconds = 0.0
        self.last_error = ""

    def add(self, other: HookStats) -> None:
        self.fired += other.fired
        self.failed += other.failed
        self.last = max(self.last, other.last)
        self.seconds += other.seconds
        self.last_error = other.last_error or self.last_error


class Implementation:
    """One plugin's function for one hook, with all that a call needs worked out beforehand."""

    __slots__ = (
        "_kept",
        "arguments",
        "context",
        "deadline",
        "events",
        "function",
        "hook",
        "is_async",
        "last_error",
        "on",
        "plugin",
        "tools",
    )

    def __init__(self, plugin: str, hook: str, function: Callable[..., Any], arguments: Iterable[str], ctx: Any):
        options: HookOptions = getattr(function, HOOK_OPTIONS_ATTRIBUTE, HookOptions())
        self.plugin = plugin
        self.hook = hook
        self.function = function
        arguments = options.arguments if options.arguments is not None else tuple(arguments)
        self.arguments = tuple(name for name in arguments if name != "ctx")
        self.context = ctx if "ctx" in arguments else None
        self.is_async = inspect.iscoroutinefunction(function)
        self.deadline = options.deadline
        self.tools = options.tools
        self.events = options.events
        self.last_error = ""
        self.on: dict[str, HookStats] = {}
        """By surface, since they were kept."""
        self._kept = HookStats()

    @property
    def stats(self) -> HookStats:
        """Of all surfaces, since the process started."""
        total = HookStats()
        for counted in (self._kept, *self.on.values()):
            total.add(counted)
        return total

    def take(self) -> dict[str, HookStats]:
        """What was counted since the last time, for keeping."""
        taken, self.on = self.on, {}
        for counted in taken.values():
            self._kept.add(counted)
        return taken

    def select(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the hook's arguments those that the function takes."""
        chosen = values
        if len(self.arguments) < len(values):
            chosen = {name: values[name] for name in self.arguments}
        return chosen if self.context is None else {**chosen, "ctx": self.context}


class Alarm:
    """Interrupts a plain function that hangs in the main thread, where the program allows us the timer signal.

    The timer is left running when a function ends and is looked at when it rings: setting and clearing it for each
    call would cost more than the call.
    """

    def __init__(self) -> None:
        self._thread = 0
        self._until = 0.0
        self._rings = math.inf

    def enable(self) -> None:
        """To be called in the main thread, by a program that uses SIGALRM for nothing else."""
        signal.signal(signal.SIGALRM, self._ring)
        self._thread = threading.get_ident()

    def watch(self, started: float, seconds: float) -> None:
        """A function has begun, at ``started`` by the monotonic clock, and may take so long."""
        if self._thread == threading.get_ident():
            self._until = started + seconds
            if self._until < self._rings:
                self._rings = self._until
                signal.setitimer(signal.ITIMER_REAL, seconds)

    def release(self) -> None:
        """It has ended."""
        if self._thread == threading.get_ident():
            self._until = 0.0

    def _ring(self, number: int, frame: object) -> None:
        self._rings = math.inf
        if not self._until:
            return
        left = self._until - time.monotonic()
        if left <= 0:
            self._until = 0.0
            raise HookTimeout("it hung")
        self._rings = self._until
        signal.setitimer(signal.ITIMER_REAL, left)


class Contained:
    """Calls implementations one by one and reports what fails.

    ``report`` is told the implementation and the error; it logs, and tells the user.
    """

    def __init__(self, report: Callable[[Implementation, ErrorInfo], None], alarm: Alarm, surface: str = "") -> None:
        self._report = report
        self._alarm = alarm
        self._surface = surface
        self._contexts: dict[str, contextvars.Context] = {}

    def for_turn(self, surface: str) -> Contained:
        """The same, with fresh context variables for every plugin, and counted on that surface."""
        return Contained(self._report, self._alarm, surface)

    def _stats(self, implementation: Implementation) -> HookStats:
        found = implementation.on.get(self._surface)
        if found is None:
            found = implementation.on[self._surface] = HookStats()
        return found

    async def observe(self, implementations: Iterable[Implementation], values: Mapping[str, Any]) -> None:
        for implementation in implementations:
            if implementation.is_async:
                await self.call(implementation, values)
                continue
            answer = self._observe_plain(implementation, values)
            if answer is not None and inspect.isawaitable(answer):
                await self.call(implementation, values, begun=answer)

    def _observe_plain(self, implementation: Implementation, values: Mapping[str, Any]) -> Any:
        """As `call`, for what most observers are: without a coroutine's cost for each of many plugins."""
        stats = self._stats(implementation)
        stats.fired += 1
        started = time.monotonic()
        deadline = implementation.deadline or OBSERVER_SECONDS
        try:
            return self._inline(implementation, values, started, deadline)
        except BaseException as error:  # noqa: BLE001 (the boundary: SystemExit and worse included)
            self._failed(implementation, _timed(error, deadline))
            return None
        finally:
            stats.last = time.time()
            stats.seconds += time.monotonic() - started

    async def call(
        self,
        implementation: Implementation,
        values: Mapping[str, Any],
        *,
        returns: tuple[type, ...] = (),
        most: int = 0,
        check: Callable[[Any], None] | None = None,
        threaded: bool = False,
        begun: Awaitable[Any] | None = None,
    ) -> tuple[Any, bool]:
        """The answer, and whether the call succeeded.

        ``most``: bytes that the answer may have, encoded; 0: any. ``check`` raises what else is wrong with it.
        ``threaded``: a plain function runs on a daemon thread, so that its deadline binds; for guards. ``begun``: what
        the function returned already and has still to be awaited.
        """
        deadline = implementation.deadline or (GUARD_SECONDS if threaded else OBSERVER_SECONDS)
        stats = self._stats(implementation)
        stats.fired += begun is None
        started = time.monotonic()
        try:
            if begun is not None:
                answer: Any = begun
            elif implementation.is_async:
                async with asyncio.timeout(deadline):
                    answer = await implementation.function(**implementation.select(values))
            elif threaded:
                async with asyncio.timeout(deadline):
                    context, chosen = self._context(implementation), implementation.select(values)
                    answer = await on_daemon_thread(implementation.function, chosen, context)
            else:
                answer = self._inline(implementation, values, started, deadline)
            if inspect.isawaitable(answer):
                async with asyncio.timeout(deadline):
                    answer = await answer
            check_type(answer, returns)
            if check is not None and answer is not None:
                check(answer)
            if most and answer is not None:
                answer = _bounded(answer, most)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failed(implementation, WrongType("it cancelled itself"))
            return None, False
        except BaseException as error:  # noqa: BLE001 (the boundary: SystemExit and worse included)
            self._failed(implementation, _timed(error, deadline))
            return None, False
        finally:
            stats.last = time.time()
            stats.seconds += time.monotonic() - started
        return answer, True

    def _inline(
        self, implementation: Implementation, values: Mapping[str, Any], started: float, deadline: float
    ) -> Any:
        self._alarm.watch(started, deadline)
        try:
            return self._context(implementation).run(implementation.function, **implementation.select(values))
        finally:
            self._alarm.release()

    def _context(self, implementation: Implementation) -> contextvars.Context:
        context = self._contexts.get(implementation.plugin)
        if context is None:
            context = self._contexts[implementation.plugin] = contextvars.copy_context()
        return context

    def _failed(self, implementation: Implementation, error: BaseException) -> None:
        info = ErrorInfo.of(error)
        stats = self._stats(implementation)
        stats.failed += 1
        stats.last_error = implementation.last_error = f"{info.kind}: {info.message}"
        self._report(implementation, info)


def _bounded(answer: Any, most: int) -> Any:
    """What a model is to read of it has to be written by somebody, and is paid for by somebody."""
    settled = answer if isinstance(answer, str | msgspec.Struct) else tuple(answer)
    size = len(settled) if isinstance(settled, str) else len(msgspec.msgpack.encode(settled))
    if size > most:
        raise WrongType(f"it returned {size} bytes; {most} are the most")
    return settled


def _timed(error: BaseException, deadline: float) -> BaseException:
    if isinstance(error, TimeoutError | HookTimeout):
        return HookTimeout(f"it did not answer within {deadline:g} s")
    if isinstance(error, SystemExit):
        return exited(error)
    return error
