"""A log to write to, and apps that write to one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_plugin_audit.log import AuditLog

Records = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "audit"
    path.mkdir()
    return path


@pytest.fixture
def log(folder: Path) -> AuditLog:
    return AuditLog(folder, now=lambda: 1_800_000_000.5)


@pytest.fixture
def records() -> Records:
    """What the newest file of a log holds, line by line."""

    def read(folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]

    return read
