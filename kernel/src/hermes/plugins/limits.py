"""What a plugin that is not trusted may claim of providers: no key that is not its own."""

from __future__ import annotations

import msgspec

from hermes.contracts.provider import ProviderSpec

from .indexed import IndexedPlugin

LATER = 10_000
"""Added to the priority of providers of others: a key that is found does not choose them before ours."""


def limited(plugin: IndexedPlugin, spec: ProviderSpec) -> ProviderSpec:
    """The provider with only those keys that its plugin may read, and no other variable for its address.

    A manifest asks for keys with ``permissions.secrets``; what comes with Hermes and the user's own files need not.
    """
    if plugin.first_party or not plugin.restricted:
        return spec
    names = [spec.key_env] if isinstance(spec.key_env, str) else spec.key_env
    allowed = [name for name in names if name in plugin.permissions.secrets]
    address = spec.base_url_env if spec.base_url_env.endswith("_BASE_URL") else ""
    return msgspec.structs.replace(spec, key_env=allowed, base_url_env=address, priority=max(spec.priority, 0) + LATER)
