"""The keyring is a source of secrets as any other. A plugin host has no way to the session's keyring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hermes_testkit.secret_source_suite import SecretSourceSuite


class TestKeyring(SecretSourceSuite):
    plugin = "keyring"
    name = "keyring"
    places = ("in_process",)

    @pytest.fixture(autouse=True)
    def _system(self, _stand: Any, make_keyring: Any, use_keyring: Any) -> None:
        self.system = make_keyring(self.folder / "keyring.json")
        use_keyring(self.system)

    def hold(self, secrets: Mapping[str, str], user: str = "") -> None:
        self.system.write({"hermes": dict(secrets)})

    def spoil(self) -> None:
        self.system.broken = "Failed to unlock the collection!"
