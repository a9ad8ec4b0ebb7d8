"""A service that behaves passes its suite, here and in a plugin host; one that breaks a behaviour fails that one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.service_suite import ServiceSuite

REFERENCE = Path(__file__).parent / "reference" / "ticker"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}
CODE = SOURCES["__init__.py"]


class Ticker(ServiceSuite):
    plugin = "ticker"
    name = "ticker"
    files = SOURCES

    @property
    def work(self) -> Path:
        return self.home / "plugin-data" / "ticker"

    async def offer(self, item: str) -> None:
        (self.work / "inbox" / item).touch()

    async def begun(self) -> Sequence[str]:
        return [file.name for folder in ("working", "done") for file in (self.work / folder).iterdir()]

    async def finished(self) -> Sequence[str]:
        return [file.name for file in (self.work / "done").iterdir()]

    async def crash(self) -> None:
        await self.offer("crash")


class TestTicker(Ticker):
    pass


LOOP = "while not self._draining:\n                await self._tick()"
SLEEPS = "for _ in range(TICKS):\n                await self._clock.sleep(TICK)\n"
WRONG = {
    "no options": ('options = ServiceOptions(lease="home")', "options = None", "SERVICE-OPTIONS-1"),
    "does not hear the first time": (
        LOOP,
        "import asyncio\n            deaf = True\n            while not self._draining:\n                try:\n"
        "                    await self._tick()\n                except asyncio.CancelledError:\n"
        "                    if not deaf:\n                        raise\n                    deaf = False",
        "SERVICE-RUN-1",
    ),
    "forgets the third": (
        "iterdir())[:1]:",
        "iterdir())[: 1 if len(list((self._folder / 'done').iterdir())) < 2 else 0]:",
        "SERVICE-WORK-1",
    ),
    "well for ever": ("finally:\n            self._running = False", "finally:\n            pass", "SERVICE-HEALTH-1"),
    "stays when drained": (
        LOOP,
        "while True:\n                await (self._clock.sleep(TICK) if self._draining else self._tick())",
        "SERVICE-DRAIN-1",
    ),
    "drops its work": (
        SLEEPS,
        f"{SLEEPS}                if self._draining:\n                    return\n",
        "SERVICE-DRAIN-2",
    ),
    "takes one more": (LOOP, f"{LOOP}\n            await self._tick()", "SERVICE-DRAIN-3"),
    "hides a crash": ("finally:", "except RuntimeError:\n            pass\n        finally:", "SERVICE-CRASH-1"),
    "stays broken": (
        "self._draining = False\n        for",
        "if getattr(self, '_broken', False):\n            raise OSError\n        self._draining = False\n        for",
        "SERVICE-CRASH-2",
    ),
    "leaves a lock": (
        "self._running = True\n",
        "(self._folder / 'lock').mkdir()\n        await self._clock.sleep(0)\n        (self._folder / 'lock').rmdir()\n"
        "        self._running = True\n",
        "SERVICE-START-1",
    ),
}
MORE = {
    "stays broken": ('raise RuntimeError("crash")', 'self._broken = True\n                raise RuntimeError("crash")')
}
"""A second piece, where one is not enough."""


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    piece, replacement, expected = WRONG[wrong]
    code = CODE
    for old, new in filter(None, [(piece, replacement), MORE.get(wrong)]):
        assert code.count(old) == 1
        code = code.replace(old, new)
    suite = type("Wrong", (Ticker,), {"files": {**SOURCES, "__init__.py": code}, "patience": 0.3})
    assert set(failures(suite, tmp_path)) == {expected}


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    assert {expected for _, _, expected in WRONG.values()} == set(behaviours(ServiceSuite))


def test_what_the_suite_is_not_told_is_skipped(tmp_path: Path) -> None:
    class Untold(ServiceSuite):
        plugin, name, files = "ticker", "ticker", SOURCES

    suite = Untold()
    suite.stand_at("in_process", tmp_path)
    with pytest.raises(pytest.skip.Exception, match="Untold has no offer"):
        suite.test_works()
