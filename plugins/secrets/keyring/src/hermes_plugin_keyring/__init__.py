"""Secrets from the keyring of the system; see `source`."""

from __future__ import annotations

from typing import Any

from hermes import PluginContext, Provision, hookimpl


def _make(ctx: PluginContext) -> Any:
    from .source import Keyring

    return Keyring(ctx)


@hookimpl
def provide() -> list[Provision]:
    return [Provision("secret_source", "keyring", _make)]
