"""How often hooks fired, on which surface, and how they fared: kept in the store, over all processes of a home."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hermes.contracts.store import SessionStore, StateKey, StateValue

from .guard import HookStats, Implementation

OWNER, KEY = "@kernel", "hooks"
"""No plugin can have that name."""


class Count(msgspec.Struct):
    """``last``: seconds since the epoch; ``seconds``: of all calls together; ``error``: the last one."""

    fired: int = 0
    failed: int = 0
    last: float = 0.0
    seconds: float = 0.0
    error: str = ""

    def add(self, stats: HookStats) -> None:
        self.fired += stats.fired
        self.failed += stats.failed
        self.last = max(self.last, stats.last)
        self.seconds += stats.seconds
        self.error = stats.last_error or self.error


Counters = dict[str, dict[str, dict[str, Count]]]
"""Plugin → hook → surface → count."""


async def read_counters(store: SessionStore) -> Counters:
    found = await store.get_state(StateKey(plugin=OWNER, key=KEY))
    return msgspec.json.decode(found.value or b"{}", type=Counters)


async def keep_counters(store: SessionStore, implementations: Iterable[Implementation]) -> None:
    """Adds what was counted since the last time. Two processes that end at one moment may lose a few counts."""
    taken = [(found, found.take()) for found in implementations]
    if not any(counts for _, counts in taken):
        return
    counters = await read_counters(store)
    for found, counts in taken:
        for surface, stats in counts.items():
            hooks = counters.setdefault(found.plugin, {}).setdefault(found.hook, {})
            hooks.setdefault(surface, Count()).add(stats)
    value = msgspec.json.encode(counters).decode()
    await store.set_state(StateValue(plugin=OWNER, key=KEY, value=value))
