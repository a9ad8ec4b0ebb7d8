"""Imports a plugin's module from wherever it lies."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from hermes.contracts.errors import PluginError

from .indexed import IndexedPlugin


def load_module(name: str, file: str) -> ModuleType:
    """Imports a file, or a folder's ``__init__.py``, under a name that no installed package has."""
    if name in sys.modules:
        return sys.modules[name]
    folder = [file.removesuffix("__init__.py")] if file.endswith("__init__.py") else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folder)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def plugin_module(plugin: IndexedPlugin) -> ModuleType | None:
    """The plugin's own module; None for one that is only data. What it prints goes to standard error."""
    if not plugin.module:
        return None
    with contextlib.redirect_stdout(sys.stderr):
        if plugin.source == "installed":
            return importlib.import_module(plugin.module)
        place = plugin.place
        return load_module(plugin.module, place if place.endswith(".py") else os.path.join(place, "__init__.py"))


def load_foreign(loader: IndexedPlugin, plugin: IndexedPlugin) -> Any:
    """What the plugin that knows the format makes of one of that format: an object with hooks."""
    make = load_target(loader, plugin.loader)
    with contextlib.redirect_stdout(sys.stderr):
        return make(plugin.path)


def own_module(plugin: IndexedPlugin, module: str) -> str:
    """The name by which a module of the plugin is imported. In a folder it is not the one that is written down."""
    written = f"hermes_plugin_{plugin.name.replace('-', '_')}"
    if plugin.source in ("home", "project") and (module == written or module.startswith(f"{written}.")):
        return plugin.module + module.removeprefix(written)
    return module


def load_target(plugin: IndexedPlugin, target: str) -> Any:
    """What ``module:attribute`` of a manifest names. In a home or project, the module's name is the plugin's own.

    Raises:
        PluginError: it is in no module of the plugin's.
    """
    module, _, attribute = target.partition(":")
    plugin_module(plugin)
    module = own_module(plugin, module)
    if not plugin.module or (module != plugin.module and not module.startswith(f"{plugin.module}.")):
        raise PluginError(f'"{target}" is not in the package of the plugin "{plugin.name}".', plugin=plugin.name)
    with contextlib.redirect_stdout(sys.stderr):
        return getattr(importlib.import_module(module), attribute)
