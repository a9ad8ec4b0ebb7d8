"""Contained hook calls: no exception, exit, hang or wrong type of a plugin reaches the run."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hermes.contracts.errors import ErrorInfo
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE, HookOptions

from .threads import on_daemon_thread

OBSERVER_SECONDS = 5.0
GUARD_SECONDS = 30.0


class HookTimeout(Exception):
    pass


class WrongType(Exception):
    pass


class HookStats:
    """What became of one plugin's implementation of one hook, since the process started."""

    __slots__ = ("failed", "fired", "last", "last_error", "seconds")

    def __init__(self) -> None:
        self.fired = 0
        self.failed = 0
        self.last = 0.0
        self.seconds = 0.0
        self.last_error = ""


class Implementation:
    """One plugin's function for one hook, with all that a call needs worked out beforehand."""

    __slots__ = ("arguments", "context", "deadline", "function", "hook", "is_async", "plugin", "stats", "tools")

    def __init__(self, plugin: str, hook: str, function: Callable[..., Any], arguments: Iterable[str], ctx: Any):
        options: HookOptions = getattr(function, HOOK_OPTIONS_ATTRIBUTE, HookOptions())
        self.plugin = plugin
        self.hook = hook
        self.function = function
        self.arguments = tuple(name for name in arguments if name != "ctx")
        self.context = ctx if "ctx" in arguments else None
        self.is_async = inspect.iscoroutinefunction(function)
        self.deadline = options.deadline
        self.tools = options.tools
        self.stats = HookStats()

    def select(self, values: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {name: values[name] for name in self.arguments}
        if self.context is not None:
            chosen["ctx"] = self.context
        return chosen


class Alarm:
    """Interrupts a plain function that hangs in the main thread, where the program allows us the timer signal."""

    def __init__(self) -> None:
        self._enabled = False
        self._armed = False

    def enable(self) -> None:
        """To be called in the main thread, by a program that uses SIGALRM for nothing else."""
        signal.signal(signal.SIGALRM, self._ring)
        self._enabled = True

    def arm(self, seconds: float) -> None:
        if self._enabled and threading.current_thread() is threading.main_thread():
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def disarm(self) -> None:
        if self._armed:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, number: int, frame: object) -> None:
        if self._armed:
            raise HookTimeout("it hung")


class Contained:
    """Calls implementations one by one and reports what fails.

    ``report`` is told the implementation and the error; it logs, and tells the user.
    """

    def __init__(self, report: Callable[[Implementation, ErrorInfo], None], alarm: Alarm) -> None:
        self._report = report
        self._alarm = alarm
        self._contexts: dict[str, contextvars.Context] = {}

    def for_turn(self) -> Contained:
        """The same, with fresh context variables for every plugin."""
        return Contained(self._report, self._alarm)

    async def observe(self, implementations: Iterable[Implementation], values: Mapping[str, Any]) -> None:
        for implementation in implementations:
            await self.call(implementation, values)

    async def call(
        self,
        implementation: Implementation,
        values: Mapping[str, Any],
        *,
        returns: tuple[type, ...] = (),
        threaded: bool = False,
    ) -> tuple[Any, bool]:
        """The answer, and whether the call succeeded.

        ``threaded``: a plain function runs on a daemon thread, so that its deadline binds; for guards.
        """
        deadline = implementation.deadline or (GUARD_SECONDS if threaded else OBSERVER_SECONDS)
        stats = implementation.stats
        stats.fired += 1
        started = time.monotonic()
        try:
            if implementation.is_async:
                async with asyncio.timeout(deadline):
                    answer = await implementation.function(**implementation.select(values))
            elif threaded:
                async with asyncio.timeout(deadline):
                    context, chosen = self._context(implementation), implementation.select(values)
                    answer = await on_daemon_thread(implementation.function, chosen, context)
            else:
                answer = self._inline(implementation, values, deadline)
            if inspect.isawaitable(answer):
                async with asyncio.timeout(deadline):
                    answer = await answer
            _check(answer, returns)
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

    def _inline(self, implementation: Implementation, values: Mapping[str, Any], deadline: float) -> Any:
        self._alarm.arm(deadline)
        try:
            return self._context(implementation).run(implementation.function, **implementation.select(values))
        finally:
            self._alarm.disarm()

    def _context(self, implementation: Implementation) -> contextvars.Context:
        context = self._contexts.get(implementation.plugin)
        if context is None:
            context = self._contexts[implementation.plugin] = contextvars.copy_context()
        return context

    def _failed(self, implementation: Implementation, error: BaseException) -> None:
        info = ErrorInfo.of(error)
        implementation.stats.failed += 1
        implementation.stats.last_error = f"{info.kind}: {info.message}"
        self._report(implementation, info)


def _check(answer: Any, returns: tuple[type, ...]) -> None:
    if answer is not None and returns and not isinstance(answer, returns):
        wanted = " or ".join(kind.__name__ for kind in returns)
        raise WrongType(f"it returned {type(answer).__name__}, not {wanted} or None")


def _timed(error: BaseException, deadline: float) -> BaseException:
    if isinstance(error, TimeoutError | HookTimeout):
        return HookTimeout(f"it did not answer within {deadline:g} s")
    if isinstance(error, SystemExit):
        return RuntimeError(f"it called sys.exit({error.code!r})")
    return error
