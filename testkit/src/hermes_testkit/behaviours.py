"""The behaviours that the suites check: what they are, and which of them something fails.

``python -m hermes_testkit.behaviours`` lists them all.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

BEHAVIOUR = re.compile(r"(?P<id>[A-Z]+-[A-Z]+-\d+): (?P<sentence>.+)", re.DOTALL)


def suites() -> Iterator[type]:
    """Every suite of the testkit, by its module's name."""
    package = importlib.import_module(__package__)
    for found in pkgutil.iter_modules(package.__path__):
        if found.name.endswith("_suite"):
            module = importlib.import_module(f"{__package__}.{found.name}")
            for value in vars(module).values():
                if inspect.isclass(value) and value.__module__ == module.__name__ and _tests(value):
                    yield value


def behaviours(suite: type) -> Mapping[str, str]:
    """The ids of a suite's behaviours, inherited ones too, and the sentences that describe them."""
    return dict(filter(None, (described(suite, name) for name in _tests(suite))))


def described(suite: type, test: str) -> tuple[str, str] | None:
    """The id and the sentence of a test; an override has those of what it overrides. None: it has none."""
    for base in suite.__mro__:
        found = BEHAVIOUR.fullmatch(inspect.cleandoc(getattr(vars(base).get(test), "__doc__", None) or ""))
        if found:
            return found["id"], " ".join(found["sentence"].split())
    return None


def runs_of(suite: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every test of a suite, by name, with each combination of its parameters."""
    for name in _tests(suite):
        marks = [mark for mark in getattr(getattr(suite, name), "pytestmark", ()) if mark.name == "parametrize"]
        for values in product(*(_parameters(mark) for mark in marks)):
            yield name, {key: value for given in values for key, value in given.items()}


def failures(suite: type, folder: Path, *, place: str = "in_process") -> dict[str, BaseException]:
    """Runs a suite at one place, without pytest around it; gives the ids that fail, and why.

    ``suite``: one on `hermes_testkit.contract_suite.PlacedSuite`. ``folder`` is cleared before every test.
    """
    failed: dict[str, BaseException] = {}
    for name, arguments in runs_of(suite):
        subject: Any = suite()
        subject.stand_at(place, folder)
        try:
            getattr(subject, name)(**arguments)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 (whatever a test raises is the answer)
            failed.setdefault((described(suite, name) or (name, ""))[0], error)
    return failed


def _parameters(mark: pytest.Mark) -> list[dict[str, Any]]:
    names = mark.args[0]
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    return [dict(zip(names, value if len(names) > 1 else (value,), strict=True)) for value in mark.args[1]]


def _tests(suite: type) -> list[str]:
    return sorted(name for name in dir(suite) if name.startswith("test_"))


def main() -> None:
    for suite in suites():
        sys.stdout.write(f"\n{suite.__module__.rpartition('.')[2]}.{suite.__name__}\n")
        own = {name: sentence for name, sentence in behaviours(suite).items() if not _inherited(suite, name)}
        for head, sentence in sorted(own.items()):
            sys.stdout.write(f"  {head}: {sentence}\n")


def _inherited(suite: type, head: str) -> bool:
    return any(head in behaviours(base) for base in suite.__bases__)


if __name__ == "__main__":
    main()
