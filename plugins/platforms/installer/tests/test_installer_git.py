"""Plugins from git: over files and over smart HTTP, at a branch, a tag or a commit; and repositories that mean harm."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


@pytest.fixture
def repository(make_git: Make, make_project: Make) -> Any:
    """``greeters/greet.git``, with 1.0 and 2.0 tagged."""
    git = make_git("greeters/greet.git")
    make_project(folder=git.folder)
    git.commit("v1.0")
    make_project(folder=git.folder, version="2.0")
    git.commit("v2.0")
    git("tag", "2.0-alone", "v1.0")
    return git


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[str]:
    """Every repository in ``repositories``, over smart HTTP."""
    backend = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-http-backend"
    if not backend.exists():
        pytest.skip("git has no http-backend here")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            environ = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(tmp_path / "repositories"),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            }
            done = subprocess.run([backend], input=body, env=environ, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_files_the_newest_commit_is_pinned(plugins: Any, repository: Any) -> None:
    plugins.done("install", f"file://{repository.folder}", "--yes")
    locked = plugins.lock.plugins["greet"]
    assert (locked.kind, locked.version, locked.commit) == ("git", "2.0", repository("rev-parse", "HEAD"))
    assert not list(plugins.home.rglob(".git"))


@pytest.mark.parametrize("ref", ["v1.0", "main~0", "COMMIT"])
def test_over_smart_http_a_ref_is_taken(plugins: Any, repository: Any, git_server: str, ref: str) -> None:
    if ref == "main~0":
        said = plugins.refused("install", f"git+{git_server}/greeters/greet.git@{ref}", "--yes")
        assert "failed" in said
        return
    first = repository("rev-parse", "v1.0")
    ref = first if ref == "COMMIT" else ref
    said = plugins.done("install", f"git+{git_server}/greeters/greet.git@{ref}", "--yes").err
    assert "without encryption" in said
    assert plugins.lock.plugins["greet"].commit == first


def test_owner_and_repository_are_found_under_the_configured_address(
    plugins: Any, repository: Any, git_server: str, make_project: Make
) -> None:
    plugins.hermes.configure({"installer": {"github": git_server}})
    make_project("inner", folder=repository.folder / "more" / "inner")
    repository.commit()
    said = plugins.refused("install", "greeters/greet", "--yes")
    assert "There are 2 plugins in greeters/greet" in said
    plugins.done("install", "greeters/greet/more/inner", "--yes")
    locked = plugins.lock.plugins["inner"]
    assert locked.source == "greeters/greet/more/inner"
    assert locked.url == f"{git_server}/greeters/greet.git#subdirectory=more/inner"
    plugins.done("install", "greeters/greet@v1.0", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"


def test_an_update_follows_the_branch_and_a_downgrade_has_to_be_asked_for(plugins: Any, repository: Any) -> None:
    plugins.hermes.configure({"installer": {"github": str(repository.folder.parent.parent)}})
    plugins.done("install", "greeters/greet", "--yes")
    repository("reset", "--quiet", "--hard", "v1.0")
    assert "--to 1.0" in plugins.refused("update", "greet", "--yes")
    plugins.done("update", "greet", "--to", "1.0", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    plugins.done("update", "greet", "--to", "2.0", "--yes")
    plugins.done("update", "greet", "--to", "2.0-alone", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    assert "2.9" in plugins.refused("update", "greet", "--to", "2.9", "--yes")
    repository("reset", "--quiet", "--hard", "v2.0")
    said = plugins.done("update", "greet", "--yes").err
    assert "version:    1.0 -> 2.0" in said
    assert "commit:" in said


def test_a_lock_fetches_the_commit_it_names(plugins: Any, repository: Any, git_server: str, tmp_path: Path) -> None:
    url = f"{git_server}/greeters/greet.git"
    plugins.done("install", f"git+{url}@v1.0", "--yes")
    lock = tmp_path / "saved.lock"
    lock.write_bytes((plugins.home / "plugins.lock").read_bytes())
    plugins.done("remove", "greet")
    plugins.done("install", "--locked", str(lock), "--yes")
    assert plugins.lock.plugins["greet"].version == "1.0"
    lock.write_text(lock.read_text().replace(repository("rev-parse", "v1.0"), repository("rev-parse", "v2.0")))
    assert "is not what the lock says: tree" in plugins.refused("install", "--locked", str(lock), "--yes")


def test_neither_hooks_nor_filters_nor_submodules_of_a_repository_act(
    plugins: Any, repository: Any, make_git: Make, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    inner = make_git("inner")
    inner.commit()
    for name in ("post-checkout", "post-merge", "reference-transaction"):
        hook = repository.folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {trace}\n")
        hook.chmod(0o755)
    (repository.folder / ".gitattributes").write_text("*.md filter=evil\n")
    (repository.folder / ".gitmodules").write_text(f'[submodule "i"]\n\tpath = i\n\turl = file://{inner.folder}\n')
    (repository.folder / ".lfsconfig").write_text("[lfs]\n\turl = http://127.0.0.1:1\n")
    repository.commit()
    plugins.done("install", f"file://{repository.folder}", "--yes")
    assert not trace.exists()


def test_a_link_out_of_a_repository_is_refused(plugins: Any, repository: Any) -> None:
    (repository.folder / "src" / "link").symlink_to("/etc/passwd")
    repository.commit()
    assert "leads outside" in plugins.refused("install", f"file://{repository.folder}", "--yes")


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [
        ("git+file:///nowhere/at/all.git", 1, "Fetching"),
        ("owner/repo@--upload-pack=evil", 2, "is no"),
        ("git+https://example.org/x.git@--upload-pack=evil", 2, "no branch, tag or commit"),
        ("git+ext::sh -c evil", 1, "failed"),
        ("https://user:secret@example.org/x.git", 2, "has a password in it"),
    ],
)
def test_addresses_that_are_none_are_refused(plugins: Any, source: str, code: int, told: str) -> None:
    said = plugins("install", source, "--yes")
    assert said.code in (code, 2), said
    assert told in said.err or said.code == 2
    assert "secret" not in said.err
    assert not (plugins.home / "packages").exists()


def test_a_ref_that_is_not_there_is_told(plugins: Any, repository: Any) -> None:
    said = plugins.refused("install", f"git+file://{repository.folder}@v9", "--yes")
    assert "v9" in said
