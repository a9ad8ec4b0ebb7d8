"""What every service does. A subclass names the plugin, and says how to give the service work; see `ServiceSuite`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, NoReturn

import pytest

from hermes import Done, Health, Service, ServiceOptions

from .contract_suite import DEADLINE, ContractSuite, ended, eventually


class ServiceSuite(ContractSuite):
    """``patience``: seconds that the service may take to come to an end. Behaviours that need a method which the
    subclass does not have are skipped.
    """

    contract = "service"
    patience: ClassVar[float] = DEADLINE

    async def offer(self, item: str) -> None:
        """Gives the service a piece of work."""
        self._untold("offer")

    async def begun(self) -> Sequence[str]:
        """The pieces of work that it has taken up, finished or not."""
        self._untold("begun")

    async def finished(self) -> Sequence[str]:
        self._untold("finished")

    async def crash(self) -> None:
        """Makes the service fail while it runs."""
        self._untold("crash")

    def _untold(self, method: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__} has no {method}()")

    @asynccontextmanager
    async def started(self, service: Service) -> AsyncIterator[asyncio.Task[Done]]:
        """The service, running and well; it is stopped at the end, however often that takes."""
        task = asyncio.ensure_future(service.run(Done()))
        try:
            await self.well(service, task)
            yield task
        finally:
            while not task.done():
                task.cancel()
                await ended(task, 0.1)
            if not task.cancelled():
                task.exception()

    async def well(self, service: Service, task: asyncio.Task[Done]) -> None:
        async def look() -> bool:
            assert not task.done(), f"the service ended before it was well: {task}"
            return (await service.health(Done())).ok

        await eventually(look, self.patience)

    async def unwell(self, service: Service) -> None:
        health = await service.health(Done())
        assert isinstance(health, Health)
        assert not health.ok
        assert health.detail

    async def works(self, item: str) -> None:
        """Waits until a piece of work, given now, is finished."""

        async def look() -> bool:
            return item in await self.finished()

        await self.offer(item)
        await eventually(look, self.patience)

    async def begins(self, item: str) -> None:
        """Gives it a piece of work, and waits until it has taken it up."""

        async def look() -> bool:
            return item in await self.begun()

        await self.offer(item)
        await eventually(look, self.patience)

    async def ends(self, task: asyncio.Task[Done]) -> None:
        assert await ended(task, self.patience), f"the service was still running after {self.patience} s"

    def test_options(self) -> None:
        """SERVICE-OPTIONS-1: it says how it wants to be run."""

        async def body(service: Service) -> None:
            assert isinstance(service.options, ServiceOptions)
            assert service.options.lease in ("process", "home")

        self.run(body)

    def test_runs_until_cancelled(self) -> None:
        """SERVICE-RUN-1: it runs until it is cancelled, and then ends."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                task.cancel()
                await self.ends(task)
                assert task.cancelled() or task.exception() is None

        self.run(body)

    def test_works(self) -> None:
        """SERVICE-WORK-1: what it is given while it runs it does, one piece after the other."""

        async def body(service: Service) -> None:
            async with self.started(service):
                for item in ("one", "two", "three"):
                    await self.works(item)

        self.run(body)

    def test_health(self) -> None:
        """SERVICE-HEALTH-1: it is well while it runs, and neither before nor after; then it says why."""

        async def body(service: Service) -> None:
            await self.unwell(service)
            async with self.started(service):
                pass
            await self.unwell(service)

        self.run(body)

    def test_drain_ends(self) -> None:
        """SERVICE-DRAIN-1: asked to drain, it ends by itself."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                await service.drain(Done())
                await self.ends(task)
                assert task.exception() is None

        self.run(body)

    def test_drain_finishes(self) -> None:
        """SERVICE-DRAIN-2: what it had begun when it was asked to drain it finishes."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                await self.begins("one")
                await service.drain(Done())
                await ended(task, self.patience)
                assert "one" in await self.finished()

        self.run(body)

    def test_drain_takes_nothing_new(self) -> None:
        """SERVICE-DRAIN-3: what comes after it was asked to drain it does not begin."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                await self.begins("one")
                await service.drain(Done())
                await self.offer("two")
                await ended(task, self.patience)
                assert "two" not in await self.begun()

        self.run(body)

    def test_a_crash_is_told(self) -> None:
        """SERVICE-CRASH-1: where it cannot go on it raises, for whoever runs it to see."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                await self.crash()
                await self.ends(task)
                assert isinstance(task.exception(), Exception)

        self.run(body)

    def test_after_a_crash(self) -> None:
        """SERVICE-CRASH-2: after a crash it can be run again, and works."""

        async def body(service: Service) -> None:
            async with self.started(service) as task:
                await self.crash()
                await self.ends(task)
            async with self.started(service):
                await self.works("one")

        self.run(body)

    @pytest.mark.parametrize("steps", range(4))
    def test_cancelled_while_it_starts(self, steps: int) -> None:
        """SERVICE-START-1: cancelled while it starts, it leaves nothing behind that keeps it from starting again."""

        async def body(service: Service) -> None:
            task: asyncio.Task[Any] = asyncio.ensure_future(service.run(Done()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await ended(task, self.patience)
            async with self.started(service):
                pass

        self.run(body)
