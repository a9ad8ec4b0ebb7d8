"""Secrets from 1Password; see `source`."""

from __future__ import annotations

from typing import Any

from hermes import PluginContext, Provision, hookimpl


def _make(ctx: PluginContext) -> Any:
    from .source import OnePassword

    return OnePassword(ctx)


@hookimpl
def provide() -> list[Provision]:
    return [Provision("secret_source", "onepassword", _make)]
