"""Every behaviour of every suite has an id and a sentence, the id is its own, and all are listed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from hermes_testkit.behaviours import BEHAVIOUR, behaviours, suites

SUITES = list(suites())


@pytest.mark.parametrize("suite", SUITES, ids=[suite.__name__ for suite in SUITES])
def test_every_test_has_an_id_and_a_sentence(suite: type) -> None:
    for name in (name for name in vars(suite) if name.startswith("test_")):
        found = BEHAVIOUR.match(getattr(suite, name).__doc__ or "")
        assert found, f"{suite.__name__}.{name} has no id"
        assert found["sentence"].endswith("."), name


def test_ids_are_unique() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for suite in SUITES:
        own = [name for name in vars(suite) if name.startswith("test_")]
        for name in own:
            found = BEHAVIOUR.match(getattr(suite, name).__doc__ or "")
            assert found
            owners[found["id"]].add(f"{suite.__name__}.{name}")
    assert {head: names for head, names in owners.items() if len(names) > 1} == {}


def test_all_are_listed() -> None:
    command = [sys.executable, "-m", "hermes_testkit.behaviours"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for suite in SUITES:
        assert suite.__name__ in listed
        for head, sentence in behaviours(suite).items():
            assert f"  {head}: {sentence}\n" in listed


def test_the_readme_names_every_suite() -> None:
    table = (Path(__file__).parents[1] / "README.md").read_text()
    for suite in SUITES:
        prefix = next(iter(behaviours(suite))).partition("-")[0]
        module = suite.__module__.rpartition(".")[2]
        assert re.search(rf"(?m)^\| `{suite.__name__}` \| `{module}` \|.*\| `{prefix}-…` \|$", table), suite.__name__
