"""What plugins have running in this process: background tasks, and what is to be called at their end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .guard import Alarm

UNLOAD_SECONDS = 5.0

Held = asyncio.Task[None] | tuple[str, Callable[[], Any]]
"""A background task of a plugin, or its name and what is to be called when it is unloaded."""


class HeldByPlugins:
    def __init__(self, log: logging.Logger, alarm: Alarm) -> None:
        self._log = log
        self._alarm = alarm
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._unloaders: list[tuple[str, Callable[[], Any]]] = []

    def spawn(self, plugin: str, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs ``work`` in the background; how it fails is logged."""

        async def supervised() -> None:
            try:
                await work
            except Exception:  # noqa: BLE001 (the boundary: logged)
                self._log.exception("the background task %s failed", name)

        task = asyncio.create_task(supervised(), name=name)
        self._tasks[task] = plugin
        task.add_done_callback(lambda task: work.close())  # it may have been cancelled before it began
        task.add_done_callback(lambda task: self._tasks.pop(task, None) and None)

    def on_unload(self, plugin: str, unload: Callable[[], Any]) -> None:
        self._unloaders.append((plugin, unload))

    def of(self, plugin: str) -> list[Held]:
        """What that plugin has at this moment."""
        tasks = [task for task, whose in self._tasks.items() if whose == plugin]
        return [*tasks, *(entry for entry in self._unloaders if entry[0] == plugin)]

    async def release(self, held: list[Held]) -> None:
        """Ends these, the last one first."""
        await self._cancel([entry for entry in held if isinstance(entry, asyncio.Task)])
        unloaders = [entry for entry in self._unloaders if entry in held]
        self._unloaders = [entry for entry in self._unloaders if entry not in held]
        for plugin, unload in reversed(unloaders):
            await self._run(plugin, unload)

    async def end_tasks(self) -> None:
        """Of all plugins."""
        await self._cancel(list(self._tasks))

    async def unload_all(self) -> None:
        await self.release(list(self._unloaders))

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, plugin: str, unload: Callable[[], Any]) -> None:
        self._alarm.watch(time.monotonic(), UNLOAD_SECONDS)
        try:
            answer = unload()
            self._alarm.release()
            if asyncio.iscoroutine(answer):
                async with asyncio.timeout(UNLOAD_SECONDS):
                    await answer
        except Exception:  # noqa: BLE001 (the boundary: logged)
            self._log.exception("the plugin %s failed in its on_unload", plugin)
        finally:
            self._alarm.release()
