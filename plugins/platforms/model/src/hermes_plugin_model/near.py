"""Models that one which nobody knows was perhaps meant to be."""

from __future__ import annotations

from collections.abc import Iterable

from hermes import App
from hermes.contracts.errors import nearest_few
from hermes.models.catalog import known_models

ALIKE = 0.45
"""Lower than for other names: the ids of models are long, and differ in version more than in name."""


def known_ids(app: App, provider: str) -> list[str]:
    """Those that are known without asking: of its list, when it was last asked, and of the manifest or the settings."""
    spec, live = app.router.specs.get(provider), app.router.catalog.live(provider)
    listed = [info.id for info in live.models] if live else []
    told = [info.id for info in known_models(spec)] if spec else []
    return list(dict.fromkeys([*listed, *told]))


def nearest_models(model: str, ids: Iterable[str], *, most: int = 3) -> list[str]:
    """The ids that are most like it, of the same family before others: ``gpt-9`` is no ``o1``."""
    near = nearest_few(model.lower(), ids, most=10 * most, alike=ALIKE)
    family = _family(model)
    return sorted(near, key=lambda name: _family(name) != family)[:most]


async def nearest_anywhere(app: App, model: str, *, first: str, most: int = 3) -> list[str]:
    """The same among all providers whose key is found, as ``provider:model``; of two alike, ``first`` has it."""
    found = [name for name, _ in await app.router.keys_found(app.scope)]
    owners: dict[str, str] = {}
    for provider in dict.fromkeys([first, *found]):
        for name in known_ids(app, provider):
            owners.setdefault(name, provider)
    return [f"{owners[name]}:{name}" for name in nearest_models(model, owners, most=most)]


def _family(model: str) -> str:
    return model.lower().rpartition("/")[2].partition("-")[0]
