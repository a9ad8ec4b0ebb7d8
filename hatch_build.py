"""The extras of ``hermes-agent``: one for each plugin of the workspace that is not a default one, and the testkit.

What they name counts as coming with Hermes: its plugins run in Hermes's own process.

They are written into release builds only (``HERMES_RELEASE=1``): uv refuses a workspace member that the
root names without a source line, and a list of those is what this hook is there to avoid.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PluginExtras(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        extras: dict[str, list[str]] = {}
        if os.environ.get("HERMES_RELEASE"):
            defaults = {requirement.partition("==")[0] for requirement in metadata["dependencies"]}
            for manifest in sorted(Path(self.root).glob("plugins/*/*/pyproject.toml")):
                project = tomllib.loads(manifest.read_text())["project"]
                if project["name"] not in defaults:
                    extras[manifest.parent.name] = [f"{project['name']}=={project['version']}"]
            testkit = tomllib.loads(Path(self.root, "testkit", "pyproject.toml").read_text())["project"]
            extras["testkit"] = [f"{testkit['name']}=={testkit['version']}"]
        metadata["optional-dependencies"] = extras
