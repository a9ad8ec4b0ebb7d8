"""Programs that behave as ``bws`` and ``bw`` are documented to, on a vault that is a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

BWS = r"""
import json, os, sys, time
here = {here!r}
state = json.load(open(os.path.join(here, "vault.json")))
with open(os.path.join(here, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\n")

def fail(text, hint):
    sys.stderr.write(f"Error: {{text}}\nHint: {{hint}}\n")
    sys.exit(1)

if state.get("hang"):
    open(os.path.join(here, "hanging"), "w").write(str(os.getpid()))
    time.sleep(600)
token = os.environ.get("BWS_ACCESS_TOKEN", "").strip()
if not token:
    fail("No access token provided.", "Pass --access-token or set BWS_ACCESS_TOKEN.")
if state.get("problem"):
    fail(state["problem"], "Create a new access token in the Bitwarden web app.")
arguments = sys.argv[1:]
if arguments[:4] != ["secret", "list", "--output", "json"]:
    fail("unrecognized arguments " + " ".join(arguments), "bws --help")
project = arguments[arguments.index("--") + 1] if "--" in arguments else ""
if state.get("raw") is not None:
    sys.stdout.write(state["raw"])
    sys.exit(0)
rows = [row for row in state["secrets"] if not project or row["projectId"] == project]
sys.stdout.write(json.dumps(rows, indent=2) + "\n")
"""
BW = r"""
import json, os, sys
here = {here!r}
state = json.load(open(os.path.join(here, "vault.json")))
with open(os.path.join(here, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\n")
if not os.environ.get("BW_SESSION"):
    sys.stderr.write("You are not logged in.\n")
    sys.exit(1)
if os.environ["BW_SESSION"] != "open":
    sys.stderr.write("Vault is locked.\n")
    sys.exit(1)
match sys.argv[1:]:
    case ["--nointeraction", "list", "folders"]:
        print(json.dumps(state["folders"]))
    case ["--nointeraction", "list", "items", "--folderid", folder]:
        print(json.dumps([item for item in state["items"] if item["folderId"] == folder]))
    case other:
        sys.stderr.write("Invalid command: " + " ".join(other))
        sys.exit(1)
"""


class Vault:
    """What the programs answer; `put` puts them into ``programs``."""

    def __init__(self, programs: Path, state: Path) -> None:
        self.programs, self.state = programs, state

    def put(self, name: str) -> None:
        self.programs.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(parents=True, exist_ok=True)
        program = self.programs / name
        code = {"bws": BWS, "bw": BW}[name].format(here=str(self.state))
        program.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{code}")
        program.chmod(0o755)

    def write(self, **state: Any) -> None:
        (self.state / "vault.json").write_text(json.dumps(state))

    def hold(self, secrets: Mapping[str, str], **more: Any) -> None:
        rows = [secret(key, value) for key, value in secrets.items()]
        self.write(secrets=rows, **more)

    def calls(self) -> list[dict[str, Any]]:
        file = self.state / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def secret(key: str, value: str, project: str = "p1") -> dict[str, Any]:
    """As ``bws`` prints one."""
    return {
        "id": "be8e0ad8-d545-4017-a55a-b02f014d4158",
        "organizationId": "10e8cbfa-7bd2-4361-bd6f-b02e013f9c41",
        "projectId": project,
        "key": key,
        "value": value,
        "note": "",
        "creationDate": "2026-01-05T20:00:00Z",
        "revisionDate": "2026-01-05T20:00:00Z",
    }


@pytest.fixture
def make_vault() -> type[Vault]:
    """Called with a folder for programs and one for what they know."""
    return Vault


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """With ``bws`` and ``bw`` on PATH."""
    made = Vault(tmp_path / "programs", tmp_path / "vault")
    made.put("bws")
    made.put("bw")
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made
