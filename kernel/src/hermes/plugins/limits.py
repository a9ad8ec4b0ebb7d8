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
    allowed = plugin.permissions.secrets
    return msgspec.structs.replace(
        spec,
        key_env=_of(spec.key_env, allowed),
        base_url_env=spec.base_url_env if spec.base_url_env.endswith("_BASE_URL") else "",
        options_env={option: names for option, wanted in spec.options_env.items() if (names := _of(wanted, allowed))},
        header_env={header: name for header, name in spec.header_env.items() if name in allowed},
        body_env={member: name for member, name in spec.body_env.items() if name in allowed},
        priority=max(spec.priority, 0) + LATER,
    )


def _of(names: str | list[str], allowed: list[str]) -> list[str]:
    return [name for name in ([names] if isinstance(names, str) else names) if name in allowed]
