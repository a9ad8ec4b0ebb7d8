"""What is not needed is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"click", "asyncio", "msgspec", "pluggy", "yaml", "sqlite3", "logging", "typing", "hermes.app"}
SDKS = {"openai", "anthropic", "google.genai", "boto3", "mcp", "pydantic", "httpx2", "rich", "textual"}


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that a run of the command imports."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HERMES_HOME": str(folder / "home")}
    command = [sys.executable, "-X", "importtime", "-m", "hermes.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_the_version_imports_nothing(tmp_path: Path) -> None:
    modules = imported(tmp_path, "--version")
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("hermes_plugin")}


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"], ["config", "path"]])
def test_listing_imports_no_plugin_and_no_agent(tmp_path: Path, arguments: list[str]) -> None:
    imported(tmp_path, *arguments)  # builds the index
    modules = imported(tmp_path, *arguments)
    assert not {name for name in modules if name.startswith("hermes_plugin")}
    assert not modules & (SDKS | {"hermes.app", "sqlite3", "asyncio"})


def test_settings_that_did_not_change_are_not_parsed_again(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.yaml").write_text("agent: {max_turns: 3}\n")
    imported(tmp_path, "plugins", "list")
    assert "yaml" not in imported(tmp_path, "plugins", "list")
