"""A small real host: configuration and state in plain dictionaries."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import StoreError
from hermes.contracts.host import Clock, ConfigQuery, ConfigSection, PluginContext
from hermes.contracts.scope import Scope
from hermes.contracts.store import StateKey, StateList, StateValue
from hermes.contracts.values import Done


class DictHost:
    def __init__(self, config: dict[str, Any]) -> None:
        self.values = config
        self.state: dict[str, str] = {}
        self.broken = False

    async def config(self, query: ConfigQuery) -> ConfigSection:
        return ConfigSection(values=self.values)

    async def get_state(self, key: StateKey) -> StateValue:
        if self.broken:
            raise StoreError("the disk is full")
        return StateValue(plugin=key.plugin, key=key.key, value=self.state.get(key.key))

    async def set_state(self, value: StateValue) -> Done:
        if self.broken:
            raise StoreError("the disk is full")
        if value.value is None:
            self.state.pop(value.key, None)
        else:
            self.state[value.key] = value.value
        return Done()

    async def list_state(self, key: StateKey) -> StateList:
        found = [name for name in self.state if name.startswith(key.key)]
        return StateList(
            values=tuple(StateValue(plugin=key.plugin, key=name, value=self.state[name]) for name in found)
        )


MakeContext = Callable[..., tuple[PluginContext, DictHost]]


@pytest.fixture
def make_ctx(tmp_path: Path) -> MakeContext:
    def make(**config: Any) -> tuple[PluginContext, DictHost]:
        host = DictHost(config)
        context = PluginContext(
            host,  # type: ignore[arg-type]
            "approvals",
            scope=Scope(home=str(tmp_path / "home")),
            log=logging.getLogger("approvals"),
            data_root=tmp_path / "data",
            clock=Clock(),
            spawn=lambda work, name: work.close(),
            on_unload=lambda undo: None,
            resolve=_nothing,
        )
        return context, host

    return make


async def _nothing(contract: str, name: str) -> Any:
    raise LookupError(name)
