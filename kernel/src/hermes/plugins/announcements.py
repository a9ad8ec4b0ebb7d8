"""What programs on one home tell each other of plugins, through files in its folder ``run``."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

PREFIX = "given-up-"


def ask_for_reload(run: Path, names: list[str]) -> None:
    """Tells all programs on this home to load these plugins again, before their next turn.

    ``run``: the home's folder for what concerns running programs.
    """
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = run / f"reload.{os.getpid()}"
    scratch.write_bytes(msgspec.json.encode(names))
    os.replace(scratch, run / "reload.json")


class GivenUp:
    """The word of this process. ``run``: the home's folder for what concerns running programs."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._file = run / f"{PREFIX}{os.getpid()}.json"
        self._why: dict[str, str] = {}

    def add(self, plugin: str, why: str) -> None:
        self._why[plugin] = why
        self._write()

    def take_back(self, plugin: str) -> None:
        if self._why.pop(plugin, None) is not None:
            self._write()

    def close(self) -> None:
        if self._why:
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self._file.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(self._why))
        os.replace(scratch, self._file)


def read_given_up(run: Path) -> dict[str, str]:
    """Plugin → why, and which process says so; of processes that live."""
    found = {}
    for file in sorted(run.glob(f"{PREFIX}*.json")):
        pid = file.stem.removeprefix(PREFIX)
        try:
            os.kill(int(pid), 0)
            told = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
        except (ValueError, OSError, msgspec.DecodeError):
            continue  # the process is gone, or the file with it
        found.update({plugin: f"{why} (in process {pid})" for plugin, why in told.items()})
    return found
