"""Where a home is, and what lies in it. Together with its neighbours the only reader of the environment."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from hermes.contracts.errors import ConfigError

PROFILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Home:
    """The folder that everything of one user, or one profile, lives in. Made on first use, mode 0700."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.env_file = path / ".env"
        self.auth_file = path / "auth.json"
        self.users = path / "users"
        self.soul_file = path / "SOUL.md"
        self.plugins = path / "plugins"
        self.plugin_data = path / "plugin-data"
        self.packages = path / "packages"
        self.plugins_lock = path / "plugins.lock"
        self.run = path / "run"
        self.sessions = path / "sessions"
        self.logs = path / "logs"
        self.tool_results = path / "tool-results"

    def make(self) -> None:
        """Makes sure that it is there and can be used.

        Raises:
            ConfigError: it cannot be made, read or written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ConfigError(
                f"The home {self.path} is not a folder.", hint="Move that file away, or set HERMES_HOME to a folder."
            ) from None
        except OSError as error:
            raise ConfigError(
                f"The home {self.path} cannot be made: {error.strerror}.",
                hint="Set HERMES_HOME to a folder you can write to.",
            ) from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(
                f"The home {self.path} cannot be read and written by this user.",
                hint=f"Mend it with: chmod u+rwx {self.path} - or set HERMES_HOME to another folder.",
            )

    @property
    def cache(self) -> Path:
        """The home's own folder in the user's cache; may be lost at any time."""
        import platformdirs

        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return platformdirs.user_cache_path("hermes", appauthor=False) / digest


def find_home(environ: Mapping[str, str], profile: str = "") -> Home:
    """``HERMES_HOME`` or ``~/.hermes``; a profile is a home of its own, under ``profiles/``.

    Raises:
        ConfigError: the profile's name is not one, or there is no such profile.
    """
    root = Path(environ.get("HERMES_HOME") or os.path.expanduser("~/.hermes")).absolute()
    if not profile or profile == "default":
        return Home(root)
    if not PROFILE_NAME.fullmatch(profile):
        raise ConfigError(
            f"{profile!r} is no name for a profile.", hint="Use lower-case letters, digits, hyphens and underscores."
        )
    folder = root / "profiles" / profile
    if not folder.is_dir():
        raise ConfigError(f'There is no profile "{profile}".', hint=f"Make it with: mkdir -p {folder}")
    return Home(folder)


_HARMLESS = (
    "PATH",
    "HOME",
    "HERMES_HOME",
    "LANG",
    "LC_",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
    "PYTHON",
    "XDG_",
    "LD_LIBRARY_PATH",
)


def child_environment() -> dict[str, str]:
    """For children of the kernel's own: what a Python needs to start, and no secrets."""
    return {name: value for name, value in os.environ.items() if name.startswith(_HARMLESS)}


def host_environment() -> dict[str, str]:
    """The environment of this process, read here and nowhere else."""
    return dict(os.environ)
