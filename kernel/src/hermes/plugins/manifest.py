"""The manifest of a plugin: what it provides, needs and may do, as data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, dataclass_transform

import msgspec

from hermes.contracts.errors import PluginError
from hermes.contracts.provider import ProviderSpec
from hermes.contracts.tool import ToolEntry

from .manifest_limits import MOST_BYTES, read_yaml_safely

if TYPE_CHECKING:
    from pathlib import Path

API = 1
"""The version of the contracts that this kernel speaks."""

GUARD_HOOKS = frozenset({"pre_tool_call", "on_message"})
ACTIVATION_HOOKS = frozenset({"provide", "register_tools"})
"""Called when a plugin is activated, whether its manifest names them or not."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    pass


class CommandEntry(Struct):
    """A click command, imported when it is invoked. ``target``: ``module:attribute``."""

    help: str
    target: str


CALLS = ("llm", "call_tool", "sessions", "inject", "ask", "terminal", "provider", "load_foreign")
"""What a plugin may ask of the kernel only if its manifest says so. All else of `PluginContext` is free."""


class OptionEntry(Struct):
    """An option that the plugin adds to chat commands; it sets keys of the plugin's section for one run.

    ``set`` are fixed values of a flag; ``value`` names the key that takes what the user gives.
    """

    help: str
    set: dict[str, Any] = {}
    value: str = ""
    metavar: str = ""


class Requires(Struct):
    """What has to be there. What is missing is told, not tried.

    ``packages``: requirements as pip takes them. Where Hermes's own environment does not meet them, the plugin gets
    an environment of its own, and runs in a plugin host.
    """

    env: list[str] = []
    programs: list[str] = []
    config: list[str] = []
    packages: list[str] = []


class ConfigSchema(Struct):
    """JSON Schema of the plugin's section. ``section``: a top-level name, else ``plugins.entries.<name>``."""

    section: str = ""
    properties: dict[str, dict[str, Any]] = {}

    def defaults(self) -> dict[str, Any]:
        return {key: schema["default"] for key, schema in self.properties.items() if "default" in schema}

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": self.properties, "additionalProperties": False}


class Permissions(Struct):
    """What the plugin may reach when it is isolated, and what it may ask of the kernel.

    ``paths``: ``workspace``, or folders and files, with ``:ro`` behind what may only be read. ``network``: host names,
    ``*.example.org``, with ``:port`` where it is not 443 or 80; ``*``: everything, without our proxy. ``calls``: of
    `CALLS`.
    """

    paths: list[str] = []
    network: list[str] = []
    env: list[str] = []
    programs: list[str] = []
    secrets: list[str] = []
    calls: list[str] = []

    def beyond(self, agreed: Permissions) -> Permissions:
        """What this asks for that ``agreed`` does not grant."""
        return Permissions(
            **{
                name: [wanted for wanted in getattr(self, name) if wanted not in getattr(agreed, name)]
                for name in self.__struct_fields__
            }
        )


class RouteEntry(Struct):
    """A place in an order of preference; ``*``: of all whom the order does not name.

    ``keys``: where its key is looked for even if the plugin is not there.
    """

    provider: str
    keys: list[str] = []


class Manifest(Struct):
    name: str
    api: int = API
    version: str = ""
    description: str = ""
    provides: dict[str, Any] = {}
    """Contract → names; ``providers``, ``tools`` and ``commands`` have shapes of their own.

    A command may be ``group name``, such as ``plugins install``: then it joins a group that is there already.
    """
    contracts: dict[str, str] = {}
    """Contracts that this plugin defines for others: name → ``module:Protocol``."""
    hooks: list[str] = []
    options: dict[str, OptionEntry] = {}
    config: ConfigSchema = ConfigSchema()
    secret_patterns: list[str] = []
    requires: Requires = Requires()
    permissions: Permissions = Permissions()
    group: str = ""
    """Plugins of one group, with the same permissions and environment, share a plugin host."""
    required: bool = False

    @property
    def providers(self) -> dict[str, ProviderSpec]:
        return msgspec.convert(self.provides.get("providers", {}), dict[str, ProviderSpec])

    @property
    def routing(self) -> dict[str, list[RouteEntry]]:
        """Named orders of preference among the providers whose key is found."""
        return msgspec.convert(self.provides.get("routing", {}), dict[str, list[RouteEntry]])

    @property
    def packages(self) -> dict[str, dict[str, str]]:
        """Contract → name → the distribution that provides it, to be named where it is missing."""
        return msgspec.convert(self.provides.get("packages", {}), dict[str, dict[str, str]])

    @property
    def commands(self) -> dict[str, CommandEntry]:
        return msgspec.convert(self.provides.get("commands", {}), dict[str, CommandEntry])

    @property
    def tool_modules(self) -> list[str]:
        tools = self.provides.get("tools", [])
        return [] if isinstance(tools, dict) else list(tools)

    @property
    def tools(self) -> dict[str, ToolEntry]:
        """Tools whose schemas are in the manifest. Whatever it says, they are this plugin's."""
        tools = self.provides.get("tools", [])
        found = msgspec.convert(tools, dict[str, ToolEntry]) if isinstance(tools, dict) else {}
        return {
            name: msgspec.structs.replace(
                entry,
                name=name,
                plugin=self.name,
                options=msgspec.structs.replace(entry.options, toolset=entry.options.toolset or self.name),
            )
            for name, entry in found.items()
        }

    @property
    def is_guard(self) -> bool:
        return not GUARD_HOOKS.isdisjoint(self.hooks)

    def names(self, contract: str) -> list[str]:
        """Under which names it provides a contract."""
        found = self.provides.get(contract, [])
        return [str(name) for name in found] if isinstance(found, list) else []


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def parse_manifest(tree: Any, origin: str) -> Manifest:
    """Checks a manifest's shape.

    Raises:
        PluginError: it is no manifest; the sentence names ``origin`` and the field.
    """
    try:
        manifest = msgspec.convert(tree, Manifest)
        _ = manifest.providers, manifest.routing, manifest.packages, manifest.commands
        _ = manifest.tools, manifest.tool_modules
    except msgspec.ValidationError as error:
        name = str(tree.get("name", "")) if isinstance(tree, dict) else ""
        raise PluginError(f"{origin}: {error}", plugin=name, hint="Mend the manifest.") from None
    if not _NAME.fullmatch(manifest.name):
        raise PluginError(
            f"{origin}: {manifest.name!r} is no name for a plugin.", hint="Use lower-case letters, digits, - and _."
        )
    for wanted in manifest.permissions.calls:
        if wanted not in CALLS:
            raise PluginError(
                f"{origin}: permissions.calls: there is no call {wanted!r}.",
                plugin=manifest.name,
                hint=f"There are: {', '.join(CALLS)}.",
            )
    if manifest.api > API:
        raise PluginError(
            f'"{manifest.name}" is for a newer Hermes (plugin API {manifest.api}; this one speaks {API}).',
            plugin=manifest.name,
            hint="Upgrade Hermes: pip install --upgrade hermes-agent",
        )
    return manifest


_BLOCK = re.compile(r"(?m)^# /// hermes\s*$\n(?P<body>(?:^#(?:| .*)$\n)+?)^# ///\s*$")


def header_of(source: str) -> dict[str, Any] | None:
    """The manifest in a ``# /// hermes`` comment block, as YAML; None if there is no such block.

    Raises:
        PluginError: the block is no YAML mapping.
    """
    match = _BLOCK.search(source)
    if match is None:
        return None
    import yaml

    body = "\n".join(line[2:] for line in match["body"].splitlines())
    try:
        tree = read_yaml_safely(body)
    except yaml.YAMLError as error:
        raise PluginError(f"the `# /// hermes` block is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise PluginError("the `# /// hermes` block has to be `key: value` lines.")
    return tree


def read_manifest(path: Path) -> Manifest:
    """Reads a ``plugin.yaml``.

    Raises:
        PluginError: it cannot be read or is no manifest.
    """
    import yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            raise PluginError(f"{path} has more than {MOST_BYTES} bytes.", hint="A manifest is a page, not a book.")
        tree = read_yaml_safely(path.read_text(encoding="utf-8"))
    except PluginError as error:
        raise PluginError(f"{path}: {error}", hint=error.hint or "Mend or remove it.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PluginError(f"{path} cannot be read: {error}", hint="Mend or remove it.") from None
    return parse_manifest(tree, str(path))
