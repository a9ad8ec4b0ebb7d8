"""What importing a plugin costs: in a fresh process each time, the kernel's contracts being there already."""

from __future__ import annotations

import re
import subprocess
import sys

import msgspec

from hermes import PluginError
from hermes.config.home import child_environment

from .subject import Subject

LIMIT_MS = 50.0
RUNS = 5
CARRIED = frozenset({"hermes", "msgspec", "pluggy", "typing_extensions"})
"""What every plugin may import: it is loaded with the kernel's contracts."""

PROGRAM = """
import json, os, pkgutil, sys, time
import hermes, hermes.contracts
from hermes.plugins.loader import load_module
for module in pkgutil.iter_modules(hermes.contracts.__path__, "hermes.contracts."):
    __import__(module.name)
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
name, search, location = sys.argv[1:]
sys.path[:0] = [search] if search else []
before, start = set(sys.modules), time.perf_counter()
if location:
    load_module(name, location if location.endswith(".py") else os.path.join(location, "__init__.py"))
else:
    __import__(name)
seconds = time.perf_counter() - start
found = sorted(name for name in set(sys.modules) - before if getattr(sys.modules[name], "__spec__", None))
json.dump({"seconds": seconds, "modules": found}, out)
out.flush()
os._exit(0)
"""


class _Measured(msgspec.Struct):
    seconds: float
    modules: list[str]


class Weight(msgspec.Struct):
    """``milliseconds``: the least of up to `RUNS`; ``foreign``: packages that are neither Python's nor the kernel's."""

    milliseconds: float
    modules: list[str]
    foreign: list[str]
    heaviest: list[tuple[str, float]]
    """The modules that take the most, by themselves, in milliseconds."""


def weigh(subject: Subject) -> Weight:
    """Raises PluginError: it cannot be imported."""
    first = _run(subject)[0]
    modules, fastest = first.modules, first.seconds * 1000
    for _ in range(RUNS - 1):
        if fastest > LIMIT_MS:  # the machine may have been busy
            fastest = min(fastest, _run(subject)[0].seconds * 1000)
    own = subject.module.partition(".")[0]
    top = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - CARRIED - {own}
    foreign = sorted(name for name in top if not name.startswith("_"))
    heaviest = _self_times(subject, modules) if foreign or fastest > LIMIT_MS else []
    return Weight(fastest, modules, foreign, heaviest)


def _run(subject: Subject, *options: str) -> tuple[_Measured, str]:
    command = [sys.executable, *options, "-c", PROGRAM, subject.module, subject.search, subject.location]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=child_environment())
    try:
        return msgspec.json.decode(done.stdout, type=_Measured), done.stderr
    except msgspec.DecodeError:
        told = done.stderr.strip().rpartition("\n")[2]
        raise PluginError(f"{subject.module} cannot be imported: {told}") from None


def _self_times(subject: Subject, modules: list[str]) -> list[tuple[str, float]]:
    _, told = _run(subject, "-X", "importtime")
    times = {
        name.strip(): int(own) / 1000
        for own, name in re.findall(r"(?m)^import time:\s+(\d+) \|\s+\d+ \|(.+)$", told)
        if name.strip() in modules
    }
    return sorted(times.items(), key=lambda pair: -pair[1])[:3]
