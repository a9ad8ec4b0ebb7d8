"""Several keys of one provider: which is used, and which rest because the provider said so."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from hermes.contracts.credential import Strategy
from hermes.contracts.host import Clock
from hermes.contracts.values import Value

RATE_LIMITED = 60.0
OUT_OF_MONEY = 24 * 3600.0
REFUSED = 24 * 3600.0
"""How long a key rests, in seconds, where the provider does not say."""


class Credential(NamedTuple):
    """``id`` names it in messages and in what is kept of its rests; ``source``: where it was found."""

    key: str
    source: str
    id: str = ""
    token: bool = False
    base_url: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.source!r})"


class Rest(Value, kw_only=True):
    """``until``: seconds since the epoch."""

    until: float
    reason: str


class Rests:
    """Which keys rest, in a file that all processes of the home read. Lost with it is only what was learnt."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._seen = 0
        self._rests: dict[str, Rest] = {}

    def of(self, credential_id: str) -> Rest | None:
        """None if the key may be used."""
        rest = self._read().get(credential_id)
        return rest if rest is not None and rest.until > self._clock.now() else None

    def lay(self, credential_id: str, seconds: float, reason: str) -> None:
        now = self._clock.now()
        with self._changed() as rests:
            rests[credential_id] = Rest(until=now + seconds, reason=reason)

    def end(self, credential_ids: Sequence[str]) -> None:
        with self._changed() as rests:
            for name in credential_ids:
                rests.pop(name, None)

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Rest]]:
        """Those that are not over, to be changed; no other process changes them meanwhile."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._path.with_suffix(".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self._clock.now()
            rests = {name: rest for name, rest in self._read().items() if rest.until > now}
            yield rests
            self._write(rests)

    def _read(self) -> dict[str, Rest]:
        try:
            seen = os.stat(self._path).st_mtime_ns
            if seen != self._seen:
                self._rests = msgspec.json.decode(self._path.read_bytes(), type=dict[str, Rest])
                self._seen = seen
        except FileNotFoundError:
            self._rests = {}
        except msgspec.DecodeError:
            self._rests, self._seen = {}, seen  # half a file of a crash: every key is tried again
        return self._rests

    def _write(self, rests: dict[str, Rest]) -> None:
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        new.write_bytes(msgspec.json.encode(rests))
        os.replace(new, self._path)
        self._rests = rests


class Pools:
    """Chooses among the keys of a provider, for a whole process."""

    def __init__(self, rests: Rests, jitter: Callable[[], float]) -> None:
        self.rests = rests
        self._jitter = jitter
        self._used: Counter[str] = Counter()
        self._last: dict[str, str] = {}

    def choose(self, provider: str, keys: Sequence[Credential], strategy: Strategy) -> Credential | None:
        """One of those that do not rest; None if all do. The only one does not rest, whatever it was told."""
        ready = [key for key in keys if len(keys) == 1 or self.rests.of(key.id) is None]
        if not ready:
            return None
        chosen = self._by(strategy, provider, keys, ready)
        self._used[chosen.id] += 1
        self._last[provider] = chosen.id
        return chosen

    def _by(
        self, strategy: Strategy, provider: str, keys: Sequence[Credential], ready: Sequence[Credential]
    ) -> Credential:
        match strategy:
            case "fill_first":
                return ready[0]
            case "random":
                return ready[min(int(self._jitter() * len(ready)), len(ready) - 1)]
            case "least_used":
                return min(ready, key=lambda key: self._used[key.id])
            case "round_robin":
                order = [key.id for key in keys]
                last = self._last.get(provider)
                after = order.index(last) + 1 if last in order else int(self._jitter() * len(order))
                turn = {name: place for place, name in enumerate([*order[after:], *order[:after]])}
                return min(ready, key=lambda key: turn[key.id])
