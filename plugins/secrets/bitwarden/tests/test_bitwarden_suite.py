"""Bitwarden's Secrets Manager is a source of secrets as any other, in Hermes's process and in a plugin host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from hermes_testkit.secret_source_suite import SecretSourceSuite


class TestBitwarden(SecretSourceSuite):
    plugin = "bitwarden"
    name = "bitwarden"

    @pytest.fixture(autouse=True)
    def _programs(self, _stand: Any, make_vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vault = make_vault(self.folder / "programs", self.home / "plugin-data" / "bitwarden")
        monkeypatch.setenv("PATH", f"{self.vault.programs}:{os.environ['PATH']}")

    def hold(self, secrets: Mapping[str, str], user: str = "") -> None:
        self.vault.put("bws")
        self.vault.hold(secrets)
        (self.home / ".env").write_text("BWS_ACCESS_TOKEN=0.token\n")

    def spoil(self) -> None:
        self.vault.write(problem="The access token is invalid, expired, or revoked.")
