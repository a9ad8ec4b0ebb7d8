"""The hostile plugins as data, and the table of them for the docs.

Run it to print the table: ``python tests/hostile/corpus.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

HERE = Path(__file__).resolve().parent


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds in one of the two places. Patterns are searched for; seconds are the most that may pass.

    ``contained`` False: nothing can be done there, ``why`` says so; only what is listed is checked, and without ``run``
    it is not tried at all, because what it would spoil is the machine's.
    """

    contained: bool = True
    run: bool = True
    why: str = ""
    exit: int = 0
    outcomes: list[str] = []
    """Of the turns, as patterns; empty: done, or denied where the plugin is a guard."""
    results: list[str] = []
    """Each is found in a result of the first turn's calls."""
    told: str = ""
    """Found in a notice to the user."""
    tells: int | None = None
    """Notices that name the plugin; None: one if ``told``, else none; -1: at least one."""
    guards: bool = False
    """The plugin is a guard that cannot judge: all is denied by its name."""
    strict: bool = False
    """Another guard denies all."""
    message: str = ""
    """What becomes of a message that a platform received."""
    failed: str = ""
    """Why its host is given up."""
    canaries: str = ""
    """``read``, ``written`` or ``both``: what is not the plugin's was reached."""
    reached: bool = False
    """A listener outside was reached."""
    unseen: str = ""
    """What a listener that may be reached must not see."""
    leftovers: bool = False
    """Processes are left."""
    shown: bool = True
    prompt: int = 0
    """The most characters of the next request; 0: not looked at."""
    index: float = 12.0
    first: float = 12.0
    second: float = 12.0
    close: float = 4.0


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hostile plugin. ``source`` is a single file, ``files`` a folder; ``prelude.txt`` stands before all code."""

    name: str
    family: str
    tries: str
    source: str = ""
    files: dict[str, str] = {}
    manifest: dict[str, Any] = {}
    config: dict[str, Any] = {}
    calls: list[list[str]] = []
    spec: dict[str, Any] = {}
    others: list[str] = []
    """Installed plugins that are enabled beside it."""
    plugin: str = "bad"
    slow: bool = False
    strict: bool = False
    """A guard that denies all is there as well."""
    confined: bool = False
    """It is only tried where a sandbox holds it."""
    isolated: Held
    in_process: Held


class _Loader(yaml.SafeLoader):
    """YAML in which ``!python`` is text that is made by an expression."""


_Loader.add_constructor("!python", lambda loader, node: eval(node.value))


def load() -> list[Entry]:
    """Every entry, by family."""
    found = []
    for file in sorted(HERE.glob("*.yaml")):
        for name, tree in yaml.load(file.read_text(encoding="utf-8"), _Loader).items():
            found.append(msgspec.convert({"name": name, "family": file.stem, **tree}, Entry))
    return found


def table() -> str:
    """What each tries, and whether it is contained, as Markdown."""
    lines = ["| it tries to | isolated | in Hermes's process |", "|---|---|---|"]
    for entry in load():
        lines.append(f"| {entry.tries} | {_told(entry.isolated)} | {_told(entry.in_process)} |")
    return "\n".join(lines)


def _told(held: Held) -> str:
    word = "contained" if held.contained else "**not contained**"
    return f"{word}: {held.why}" if held.why else word


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
