"""Imports a plugin's module from wherever it lies."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


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
