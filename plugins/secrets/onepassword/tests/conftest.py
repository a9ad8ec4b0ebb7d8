"""A program that behaves as ``op`` is documented to, on a vault that is a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

OP = r"""
import json, os, sys, time
here = {here!r}
state = json.load(open(os.path.join(here, "vault.json"), encoding="utf-8"))
with open(os.path.join(here, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\n")

def fail(reference, why):
    sys.stderr.write(f"[ERROR] 2026/07/20 20:55:23 could not read secret '{{reference}}': {{why}}\n")
    sys.exit(1)

arguments = sys.argv[1:]
reference = arguments[-1]
if arguments[:2] != ["read", "--no-newline"]:
    fail(reference, "unknown flag")
if state.get("hang"):
    open(os.path.join(here, "hanging"), "w").write(str(os.getpid()))
    time.sleep(600)
if os.environ.get("OP_SERVICE_ACCOUNT_TOKEN") != "ops_token":
    fail(reference, "error initializing client: (401) Unauthorized: " + os.environ.get("OP_SERVICE_ACCOUNT_TOKEN", ""))
if state.get("problem"):
    fail(reference, state["problem"])
vault, item, field = reference.removeprefix("op://").split("/")
if item not in state["items"]:
    fail(reference, f'could not get item {{vault}}/{{item}}: "{{item}}" isn\'t an item in the "{{vault}}" vault.')
sys.stdout.buffer.write(bytes.fromhex(state["items"][item]))
"""


class Vault:
    """What ``op`` answers; `put` puts it into ``programs``."""

    def __init__(self, programs: Path, state: Path) -> None:
        self.programs, self.state = programs, state

    def put(self) -> None:
        self.programs.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(parents=True, exist_ok=True)
        program = self.programs / "op"
        program.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{OP.format(here=str(self.state))}")
        program.chmod(0o755)

    def hold(self, secrets: Mapping[str, str | bytes], **more: Any) -> None:
        """Items by their names; each has one field, ``credential``."""
        items = {name: (value if isinstance(value, bytes) else value.encode()).hex() for name, value in secrets.items()}
        (self.state / "vault.json").write_text(json.dumps({"items": items, **more}))

    def calls(self) -> list[dict[str, Any]]:
        file = self.state / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def make_vault() -> type[Vault]:
    """Called with a folder for programs and one for what they know."""
    return Vault


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """With ``op`` on PATH."""
    made = Vault(tmp_path / "programs", tmp_path / "vault")
    made.put()
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made
