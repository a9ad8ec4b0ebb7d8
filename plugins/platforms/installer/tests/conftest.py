"""Plugins to install, and the servers they come from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from hermes.plugins.lock import PluginsLock, read_lock
from hermes_testkit.command import Hermes, Ran

CODE = '''\
"""Greets."""

import pathlib

import click

pathlib.Path(__file__).with_name("was-imported").write_text("yes")


@click.command()
def greet():
    click.echo("hello")
'''

BACKEND = '''\
"""A build backend without dependencies, which leaves a trace that it was run."""

import pathlib
import zipfile

NAME = "{module}-{version}"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    pathlib.Path(r"{trace}").write_text("built")
    with zipfile.ZipFile(pathlib.Path(folder) / (NAME + "-py3-none-any.whl"), "w") as wheel:
        for path in sorted(pathlib.Path("src").rglob("*.*")):
            wheel.write(path, path.relative_to("src"))
        info = NAME + ".dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: {module}\\nVersion: {version}\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return NAME + "-py3-none-any.whl"
'''


class Project:
    """A plugin's project, as its author has it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.module = f"hermes_plugin_{name.replace('-', '_')}"
        self.trace = folder.parent / f"{name}-was-built"

    def write(self, version: str = "1.0", *, dependencies: list[str] | None = None, **manifest: object) -> Project:
        package = self.folder / "src" / self.module
        package.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyproject.toml").write_text(
            f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n\n'
            f'[project]\nname = "hermes-plugin-{self.name}"\nversion = "{version}"\nlicense = "MIT"\n'
            f"dependencies = {['hermes-kernel>=1.0', *(dependencies or [])]}\n"
        )
        backend = BACKEND.format(module=self.module, version=version, trace=self.trace)
        (self.folder / "backend.py").write_text(backend)
        (self.folder / "README.md").write_text(f"# {self.name}\n")
        target = f"{self.module}:greet"
        tree = {
            "name": self.name,
            "description": f"Greets as {self.name}.",
            "provides": {"commands": {f"greet-{self.name}": {"help": "Greet.", "target": target}}},
            **manifest,
        }
        (package / "plugin.yaml").write_text(yaml.safe_dump(tree))
        (package / "__init__.py").write_text(f"{CODE}\nVERSION = {version!r}\n")
        return self

    def wheel(self, into: Path, *, version: str = "1.0", requires: tuple[str, ...] = ()) -> Path:
        """Its wheel, made without running a build."""
        into.mkdir(parents=True, exist_ok=True)
        file = into / f"{self.module}-{version}-py3-none-any.whl"
        info = f"{self.module}-{version}.dist-info"
        lines = [f"Name: hermes-plugin-{self.name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
        record = []
        with zipfile.ZipFile(file, "w") as wheel:
            for path in sorted((self.folder / "src").rglob("*")):
                if path.is_file():
                    wheel.write(path, path.relative_to(self.folder / "src").as_posix())
                    record.append(path.relative_to(self.folder / "src").as_posix())
            wheel.writestr(f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", *lines, ""]))
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            names = [*record, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"]
            wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
        return file


class Server:
    """Serves a folder over HTTP, with ETags. ``asked``: path, status."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, int]] = []
        folder.mkdir(parents=True, exist_ok=True)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.split("?")[0].strip("/")
        if path.is_dir():
            links = "".join(f'<a href="{link}">{name}</a>' for name, link in listing(path))
            body, status = f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), 200
        else:
            body, status = (path.read_bytes(), 200) if path.is_file() else (b"", 404)
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            body, status = b"", 304
        self.asked.append((request.path, status))
        request.send_response(status)
        request.send_header("ETag", etag)
        request.send_header("Content-Type", "text/html" if path.is_dir() else "application/octet-stream")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def listing(folder: Path) -> Iterator[tuple[str, str]]:
    """As PEP 503 has it: names and links, with the hash of each file."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield path.name, f"{path.name}/"
        else:
            yield path.name, f"{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


class Git:
    """A repository with commits of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *arguments: str) -> str:
        names = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", *names, "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, tag: str = "") -> str:
        self("add", "--all", "--force")
        self("commit", "--quiet", "--allow-empty", "--message", tag or "more")
        if tag:
            self("tag", tag)
        return self("rev-parse", "HEAD")


class Plugins:
    """``hermes plugins …``, and what lies in the home."""

    def __init__(self, hermes: Hermes) -> None:
        self.hermes = hermes
        self.home = hermes.home
        no_settings = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        hermes.environ |= no_settings

    def __call__(self, *arguments: str, **options: Any) -> Ran:
        return self.hermes("plugins", *arguments, **options)

    def done(self, *arguments: str) -> Ran:
        ran = self(*arguments)
        assert ran.code == 0, ran
        return ran

    def refused(self, *arguments: str, code: int = 1) -> str:
        """What it said. The home is as it was."""
        before = self.snapshot()
        ran = self(*arguments)
        assert ran.code == code, ran
        assert "Traceback" not in ran.err
        assert self.snapshot() == before
        return " ".join(ran.err.split())

    @property
    def lock(self) -> PluginsLock:
        return read_lock(self.home / "plugins.lock")

    def snapshot(self) -> dict[str, bytes | None]:
        """Everything in the home, but for Python's caches."""
        return {
            str(path.relative_to(self.home)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.home.rglob("*"))
            if "__pycache__" not in path.parts and path.name != "was-imported"
        }


@pytest.fixture
def plugins(hermes: Hermes) -> Plugins:
    hermes.home.mkdir(mode=0o700)
    return Plugins(hermes)


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Makes a plugin's project: a name, then what `Project.write` takes."""

    def make(name: str = "greet", version: str = "1.0", *, folder: Path | None = None, **options: Any) -> Project:
        return Project(folder or tmp_path / "projects" / name, name).write(version, **options)

    return make


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "served")
    yield server
    server.close()


@pytest.fixture
def make_git(tmp_path: Path) -> Callable[[str], Git]:
    return lambda name: Git(tmp_path / "repositories" / name)
