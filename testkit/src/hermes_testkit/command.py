"""The command ``hermes``, run as a user runs it: a process of its own, with a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

BASE = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class Ran(NamedTuple):
    """How a command ended. ``code`` is negative for a signal."""

    code: int
    out: str
    err: str


class Hermes:
    """A home in ``folder``, and the command that uses it. The environment is this, and nothing of the caller's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.workspace = folder / "workspace"
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.environ = {
            **{name: os.environ[name] for name in BASE if name in os.environ},
            "HOME": str(folder),
            "HERMES_HOME": str(self.home),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def configure(self, settings: Mapping[str, object]) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        (self.home / "config.yaml").write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")

    def use(self, base_url: str, **settings: object) -> None:
        """Configures a provider ``fake`` at that address, with one model, and further settings."""
        provider = {"transport": "chat_completions", "base_url": base_url, "models": ["test-model"]}
        self.configure({"model": {"provider": "fake"}, "providers": {"fake": provider}, **settings})

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[str]:
        """The running command; standard input is closed unless ``options`` say otherwise."""
        settings: dict[str, object] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "cwd": self.workspace,
            "env": self.environ,
            **options,
        }
        command = [sys.executable, "-m", "hermes.cli.main", *arguments]
        return subprocess.Popen(command, **settings)  # type: ignore[call-overload, no-any-return]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> Ran:
        process = self.start(*arguments, **({} if stdin is None else {"stdin": subprocess.PIPE}))
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"hermes {' '.join(arguments)} hung\n{out}\n{err}") from None
        return Ran(process.returncode, out, err)
