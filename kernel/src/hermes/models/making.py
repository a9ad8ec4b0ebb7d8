"""Puts the router together from what the app has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from hermes.config.home import Home
from hermes.config.schema import Settings
from hermes.contracts.credential import CatalogEntry, CatalogQuery, ModelCatalog, TokenRefresher
from hermes.contracts.errors import PluginError
from hermes.contracts.host import Clock
from hermes.contracts.provider import ProviderSpec
from hermes.logs.plain import log_failure
from hermes.plugins.manager import PluginManager
from hermes.plugins.manifest import RouteEntry

from .catalog import Catalog
from .credentials import Credentials, FindSecret
from .pool import Pools, Rests
from .router import Router
from .vault import Vault


def make_router(
    settings: Settings,
    home: Home,
    plugins: PluginManager,
    *,
    specs: Mapping[str, ProviderSpec],
    orders: Mapping[str, Sequence[RouteEntry]],
    vault: Vault,
    find_secret: FindSecret,
    learn: Callable[[str], None],
    clock: Clock,
    jitter: Callable[[], float],
    off: Mapping[str, str],
    variables: Mapping[str, str],
    log: logging.Logger,
) -> Router:
    """``learn`` is told of every key that is used, so that it is redacted. ``off`` and
    ``variables``: see `Routing`."""

    async def refresher() -> TokenRefresher:
        if not (names := plugins.names("token_refresher", trusted=True)):
            raise PluginError("No plugin renews tokens and reads the keyring.", hint="pip install hermes-plugin-auth")
        found: TokenRefresher = await plugins.provided("token_refresher", names[0])
        return found

    async def lookup(query: CatalogQuery) -> CatalogEntry | None:
        entry = None
        for name in plugins.names("model_catalog"):
            try:
                catalog: ModelCatalog = await plugins.provided("model_catalog", name)
                entry = await catalog.lookup(query)
            except Exception as error:  # noqa: BLE001 (the boundary: what a price is not known for is still answered)
                log_failure(log, f"the model catalog {name} could not be asked for {query.model}", error)
                continue
            if entry.info is not None:
                break
        return entry

    credentials = Credentials(
        find_secret,
        vault,
        Pools(Rests(home.run / "resting-keys.json", clock), jitter),
        strategies=settings.credential_pool_strategies,
        refresher=refresher,
        learn=learn,
        clock=clock,
    )
    own = {name for name, spec in settings.providers.items() if spec.models}
    catalog = Catalog(lambda: home.cache, lookup, clock, own)
    return Router(
        settings, specs, orders, plugins, credentials, catalog, clock=clock, jitter=jitter, off=off, variables=variables
    )
