"""What a plugin requires and is not there, as data: nothing is tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

from .manifest import Requires


def lacking(requires: Requires, has_variable: Callable[[str], bool], settings: Mapping[str, Any]) -> list[str]:
    """A phrase for each thing that is missing, such as ``the program ffmpeg``.

    ``has_variable``: whether a variable or secret is set. ``settings``: all of them, as ``config.yaml`` has them.
    """
    found = [f"the program {name}" for name in requires.programs if shutil.which(name) is None]
    found += [f"the variable {name}" for name in requires.env if not has_variable(name)]
    found += [f"the setting {dotted}" for dotted in requires.config if _at(settings, dotted) in (None, "", [], {})]
    return found


def _at(settings: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings
