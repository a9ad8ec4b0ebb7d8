"""Runs git, uv and pip: with the person's own settings for them, and without anything secret of Hermes's."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hermes.config.home import child_environment, host_environment
from hermes.contracts.errors import PluginError

SECONDS = 600
MAX_FILE = 512 * 1024 * 1024
_SETTINGS = ("UV_", "PIP_", "SSH_A", "SSL_", "GIT_SSH", "GIT_SSL", "GIT_CONFIG", "NETRC")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


def run(
    command: Sequence[str], what: str, *, folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """What the program printed. ``what``: the sentence's beginning if it fails, such as "The repository".

    Raises:
        PluginError: it failed, hung, or is not there; with the last lines it said.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**_environment(), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            preexec_fn=_limit,
        )
    except FileNotFoundError:
        raise PluginError(f"{what} needs the program {command[0]}.", hint=f"Install {command[0]}.") from None
    except subprocess.TimeoutExpired:
        raise PluginError(f"{what} took longer than {SECONDS} s.", hint="Nothing was changed. Try again.") from None
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()][-4:]
        raise PluginError(f"{what} failed: {' '.join(said) or done.returncode}", hint="Nothing was changed.")
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in host_environment().items()
        if name.startswith(_SETTINGS) or name.lower() in _PROXIES
    }
    return {**child_environment(), **kept}


def _limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted = MAX_FILE if most == resource.RLIM_INFINITY else min(MAX_FILE, most)
    now, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wanted if now == resource.RLIM_INFINITY else min(now, wanted), most))


def find_uv() -> str | None:
    """The program uv, beside Hermes's Python or on the path."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def have_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None
