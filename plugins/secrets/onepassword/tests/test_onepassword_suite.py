"""1Password is a source of secrets as any other, in Hermes's process and in a plugin host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from hermes import App
from hermes_testkit.secret_source_suite import SecretSourceSuite


class TestOnePassword(SecretSourceSuite):
    plugin = "onepassword"
    name = "onepassword"

    @pytest.fixture(autouse=True)
    def _programs(self, _stand: Any, make_vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vault = make_vault(self.folder / "programs", self.home / "plugin-data" / "onepassword")
        monkeypatch.setenv("PATH", f"{self.vault.programs}:{os.environ['PATH']}")
        self.references: dict[str, str] = {}

    def app(self, *plugins: Any, **options: Any) -> App:
        return super().app(*plugins, **{"onepassword": {"references": self.references}, **options})

    def hold(self, secrets: Mapping[str, str], user: str = "") -> None:
        self.vault.put()
        self.vault.hold(secrets)
        self.references = {name: f"op://Work/{name}/credential" for name in secrets}
        (self.home / ".env").write_text("OP_SERVICE_ACCOUNT_TOKEN=ops_token\n")

    def spoil(self) -> None:
        self.vault.hold({}, problem="error initializing client: authorization timeout")
