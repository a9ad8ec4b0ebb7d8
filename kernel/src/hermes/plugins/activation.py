"""How a plugin comes to life: imported or loaded in its host, asked for what it provides, checked."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from hermes.contracts.errors import PluginError
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE, PROJECT
from hermes.contracts.host import PluginContext
from hermes.contracts.service import Provision
from hermes.contracts.tool import OPTIONS_ATTRIBUTE

from .guard import Contained, Implementation
from .manifest import ACTIVATION_HOOKS
from .plugin import Plugin, ToolMark


def hooks_in(subject: Any) -> dict[str, Callable[..., Any]]:
    """The functions of a module or object that are marked as hooks, by the hook's name."""
    found = {}
    for attribute in dir(subject):
        value = getattr(subject, attribute)
        if callable(value) and hasattr(value, HOOK_OPTIONS_ATTRIBUTE):
            found[getattr(value, f"{PROJECT}_impl", {}).get("specname") or attribute] = value
    return found


class Activation:
    """``load`` gives what has a plugin's hooks: its module, or what calls its host."""

    def __init__(
        self,
        load: Callable[[Plugin], Awaitable[Any]],
        make_context: Callable[[str], PluginContext],
        contained: Contained,
    ) -> None:
        self._load = load
        self._make_context = make_context
        self._contained = contained

    async def prepare(self, plugin: Plugin) -> None:
        """Fills in subject, provisions and tools. Nothing else of the program has changed by then.

        Raises:
            PluginError: what it provides cannot be had, or its manifest does not tell the truth.
        """
        plugin.subject = plugin.given if plugin.given is not None else await self._load(plugin)
        if plugin.subject is None:
            return
        hooks = hooks_in(plugin.subject)
        context = self._make_context(plugin.name)
        if "provide" in hooks:
            found = await self._call(plugin, "provide", hooks["provide"], context, {})
            self._take(plugin, found or ())
        if "register_tools" in hooks:
            await self._call(plugin, "register_tools", hooks["register_tools"], context, {"registry": plugin})
        for attribute in dir(plugin.subject) if plugin.given is not None else ():
            value = getattr(plugin.subject, attribute)
            if hasattr(value, OPTIONS_ATTRIBUTE):
                name, options = getattr(value, OPTIONS_ATTRIBUTE)
                plugin.tools[name] = ToolMark(value, "", options)
        if plugin.given is None and plugin.indexed.source != "foreign":
            _check_manifest(plugin, set(hooks) - ACTIVATION_HOOKS)

    async def _call(
        self,
        plugin: Plugin,
        hook: str,
        function: Callable[..., Any],
        context: PluginContext,
        values: Mapping[str, Any],
    ) -> Any:
        known = {*values, "ctx"}
        arguments = [name for name in inspect.signature(function).parameters if name in known]
        implementation = Implementation(plugin.name, hook, function, arguments, context)
        answer, succeeded = await self._contained.call(implementation, values)
        if not succeeded:
            raise PluginError(f"{hook}() failed: {implementation.last_error}", plugin=plugin.name)
        return answer

    def _take(self, plugin: Plugin, found: Iterable[Any]) -> None:
        for provision in found:
            if not isinstance(provision, Provision):
                raise PluginError(f"provide() gave {provision!r}, which is no Provision.", plugin=plugin.name)
            plugin.provisions[provision.contract, provision.name] = provision


def _check_manifest(plugin: Plugin, found: set[str]) -> None:
    """A manifest that does not tell the truth is refused: what it hides was not agreed to, and what it promises would
    be waited for in vain.
    """
    declared = set(plugin.indexed.manifest.hooks) - ACTIVATION_HOOKS
    for problem, hooks in (
        ("its code has hooks that its manifest does not name", found - declared),
        ("its manifest names hooks that its code does not have", declared - found),
    ):
        if hooks:
            raise PluginError(f"{problem}: {', '.join(sorted(hooks))}.", plugin=plugin.name)
