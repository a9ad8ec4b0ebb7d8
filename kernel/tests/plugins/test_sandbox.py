"""What a plugin host finds around it: what its permissions name, and nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import hermes
from hermes.plugins.manifest import Permissions
from hermes.plugins.sandbox import Sandbox, bubblewrap, enforcement, explain, granted_paths

PROBE = """
import json, os, socket, sys

def main():
    found = {}
    exec(sys.stdin.read(), {"found": found, "os": os, "socket": socket, "sys": sys})
    print(json.dumps(found))
"""
FILL = """
def fill(place, megabytes):
    try:
        with open(place, "wb") as file:
            for _ in range(megabytes):
                file.write(b"x" * 1048576)
        return "filled"
    except OSError as error:
        return type(error).__name__
    finally:
        if os.path.exists(place):
            os.unlink(place)
"""

NONE = Permissions()
confined = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap is missing or may not be used here")
Probe = Callable[..., dict[str, Any]]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    """Runs a text inside a sandbox, and gives what it put into ``found``."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "probe.py").write_text(PROBE)

    def run(text: str, permissions: Permissions = NONE, **options: Any) -> dict[str, Any]:
        sandbox = Sandbox(permissions, code=[str(code)], path=[str(code)], **options)
        done = subprocess.run(
            sandbox.command("probe"),
            input=text,
            env=sandbox.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def readable(paths: Sequence[str]) -> str:
    return f"""
for path in {list(paths)!r}:
    try:
        found[path] = os.listdir(path) if os.path.isdir(path) else open(path).read()
    except OSError as error:
        found[path] = type(error).__name__
"""


def writable(paths: Sequence[str]) -> str:
    return f"""
for path in {list(paths)!r}:
    try:
        open(path, "w").write("changed")
        found[path] = "wrote"
    except OSError as error:
        found[path] = type(error).__name__
"""


@confined
def test_nothing_of_the_users_is_there(probe: Probe, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    places = [str(secret), str(Path.home() / ".profile"), "/etc/passwd", "/etc/shadow", "/var/log"]

    found = probe(readable(places) + 'found["home"] = os.listdir("/tmp")')

    assert {found[place] for place in places} == {"FileNotFoundError"}
    shown = (str(tmp_path), sys.prefix, str(Path(hermes.__file__).parent))
    assert all(any(f"{place}/".startswith(f"/tmp/{name}/") for place in shown) for name in found["home"])


@confined
def test_paths_are_given_as_the_permissions_say(probe: Probe, tmp_path: Path) -> None:
    read, write, work = (tmp_path / name for name in ("read", "write", "work"))
    for folder in (read, write, work):
        folder.mkdir()
        (folder / "a.txt").write_text("text")
    files = [str(folder / "a.txt") for folder in (read, write, work)]
    permissions = Permissions(paths=[f"{read}:ro", str(write), "workspace"])

    text = readable(files) + "old = dict(found)\n" + writable(files) + 'found["old"] = old; found["in"] = os.getcwd()'
    found = probe(text, permissions, workspace=str(work))

    assert set(found["old"].values()) == {"text"}
    assert [found[file] for file in files] == ["OSError", "wrote", "wrote"]
    assert [Path(file).read_text() for file in files] == ["text", "changed", "changed"]
    assert found["in"] == str(work)


@confined
def test_workspace_that_may_only_be_read(probe: Probe, tmp_path: Path) -> None:
    file = tmp_path / "work" / "a.txt"
    file.parent.mkdir()
    file.write_text("text")

    found = probe(writable([str(file)]), Permissions(paths=["workspace:ro"]), workspace=str(file.parent))

    assert (found[str(file)], file.read_text()) == ("OSError", "text")


@confined
def test_data_is_its_own_and_stays(probe: Probe, tmp_path: Path) -> None:
    own, other = tmp_path / "data" / "own", tmp_path / "data" / "other"
    for folder in (own, other):
        folder.mkdir(parents=True)
        (folder / "kept").write_text("kept")
    own_file, other_file = str(own / "new"), str(other / "kept")

    found = probe(writable([own_file]) + readable([other_file]) + 'found["home"] = os.environ["HOME"]', data=[own])

    assert found == {own_file: "wrote", other_file: "FileNotFoundError", "home": str(own)}
    assert (own / "new").read_text() == "changed"


@confined
def test_link_out_of_the_data_leads_nowhere(probe: Probe, tmp_path: Path) -> None:
    own, outside = tmp_path / "own", tmp_path / "outside"
    own.mkdir()
    outside.mkdir()
    (outside / "notes").write_text("mine")
    (own / "link").symlink_to(outside)

    found = probe(readable([str(own / "link" / "notes")]) + writable([str(own / "link" / "new")]), data=[own])

    assert set(found.values()) == {"FileNotFoundError"}
    assert sorted(os.listdir(outside)) == ["notes"]


@confined
def test_code_and_libraries_cannot_be_changed(probe: Probe, tmp_path: Path) -> None:
    import msgspec

    import hermes

    places = [str(tmp_path / "code" / "probe.py"), str(Path(hermes.__file__)), str(Path(msgspec.__file__))]
    before = [Path(place).read_bytes() for place in places]

    found = probe(writable(places))

    assert "wrote" not in found.values()
    assert [Path(place).read_bytes() for place in places] == before


@confined
def test_tmp_is_empty_and_bounded(probe: Probe, tmp_path: Path) -> None:
    found = probe(FILL + 'found["little"] = fill("/tmp/a", 10); found["much"] = fill("/tmp/b", 300)')

    assert found == {"little": "filled", "much": "OSError"}
    assert not Path("/tmp/a").exists()


@confined
@pytest.mark.parametrize("place", ["/a", "/dev/a", "/dev/shm/a", "/etc/a", "/usr/a", "/proc/a"])
def test_there_is_no_other_place_for_what_is_large(probe: Probe, place: str) -> None:
    found = probe(FILL + f'found["much"] = fill({place!r}, 300)')

    assert found["much"] != "filled"


@confined
def test_network_is_not_there(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.0)
        port = listener.getsockname()[1]
        found = probe(
            f"""
for name, address in (("near", ("127.0.0.1", {port})), ("far", ("192.0.2.1", 80))):
    try:
        socket.create_connection(address, timeout=5).close()
        found[name] = "reached"
    except OSError as error:
        found[name] = "not reached"
try:
    found["name"] = bool(socket.getaddrinfo("example.org", 80))
except OSError:
    found["name"] = "not found"
"""
        )
        with pytest.raises(BlockingIOError):
            listener.accept()

    assert found == {"near": "not reached", "far": "not reached", "name": "not found"}


@confined
def test_all_of_the_network_if_it_is_asked_for(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        text = f'socket.create_connection(("127.0.0.1", {port}), timeout=5).close(); found["reached"] = True'
        assert probe(text, Permissions(network=["*"])) == {"reached": True}
        listener.settimeout(5)
        listener.accept()[0].close()


@confined
def test_other_processes_are_not_seen(probe: Probe) -> None:
    found = probe('found["all"] = [name for name in os.listdir("/proc") if name.isdigit()]; found["own"] = os.getpid()')

    assert len(found["all"]) <= 3
    assert found["own"] < 10


@confined
def test_rights_are_dropped(probe: Probe) -> None:
    text = """
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs"):
        found[name] = int(value.strip(), 16)
"""
    assert probe(text) == {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "NoNewPrivs": 1}


@confined
def test_variables_are_those_that_are_asked_for(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ASKED_FOR", "given")
    monkeypatch.setenv("TZ", "UTC")

    found = probe("found.update(os.environ)", Permissions(env=["ASKED_FOR", "NOT_SET"]))

    assert (found["ASKED_FOR"], found["TZ"]) == ("given", "UTC")
    assert set(found) <= {
        "ASKED_FOR",
        "TZ",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TERM",
        "COLUMNS",
        "PATH",
        "HOME",
        "TMPDIR",
        "PWD",
    }


@confined
def test_programs_are_those_that_are_asked_for(probe: Probe) -> None:
    text = """
import shutil
for name in ("env", "sh", "cat"):
    found[name] = shutil.which(name)
"""
    assert probe(text, Permissions(programs=["cat", "no-such-program"])) == {
        "env": None,
        "sh": None,
        "cat": "/usr/bin/cat",
    }


@confined
def test_nothing_of_ours_is_open_inside(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with (tmp_path / "mine").open() as ours:
        os.set_inheritable(ours.fileno(), True)
        found = probe('found["open"] = sorted(int(name) for name in os.listdir("/proc/self/fd"))')

    assert [number for number in found["open"] if number > 2] == found["open"][3:4]  # the one that lists them


@confined
def test_sandbox_ends_with_who_started_it(tmp_path: Path) -> None:
    """The one that started it is killed; what runs inside goes with it."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "probe.py").write_text(PROBE)
    own = tmp_path / "own"
    own.mkdir()
    alive = own / "alive"
    os.mkfifo(alive)
    inside = f"import time\nhold = os.open({str(alive)!r}, os.O_WRONLY)\nos.write(hold, b'x')\ntime.sleep(600)"
    sandbox = Sandbox(Permissions(), code=[str(code)], path=[str(code)], data=[own])
    starter = (
        "import json, os, subprocess, sys\n"
        "command, env, text = json.load(sys.stdin)\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, text=True)\n"
        "child.stdin.write(text); child.stdin.close(); child.wait()"
    )
    process = subprocess.Popen(["python3", "-c", starter], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    with process:
        process.stdin.write(json.dumps([sandbox.command("probe"), sandbox.environment(), inside]))
        process.stdin.close()
        with alive.open("rb", buffering=0) as end:
            assert end.read(1) == b"x"
            process.kill()
            assert end.read(1) == b""


def test_without_bubblewrap_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bubblewrap.cache_clear()
    try:
        assert "bubblewrap is missing" in enforcement()
        assert "apt install bubblewrap" in enforcement()
        assert Sandbox(Permissions()).command("probe")[0] != "bwrap"
    finally:
        bubblewrap.cache_clear()


@confined
def test_with_bubblewrap_nothing_is_said() -> None:
    assert enforcement() == ""


@pytest.mark.parametrize(
    ("entry", "granted"),
    [
        ("workspace", [("/work", True)]),
        ("workspace:ro", [("/work", False)]),
        ("/srv/data", [("/srv/data", True)]),
        ("/srv/data:ro", [("/srv/data", False)]),
        ("/srv/a:b", [("/srv/a:b", True)]),
        ("/srv/../etc", [("/etc", True)]),
    ],
)
def test_how_paths_are_read(entry: str, granted: list[tuple[str, bool]]) -> None:
    assert list(granted_paths([entry], "/work")) == granted


def test_workspace_is_not_granted_where_there_is_none() -> None:
    assert list(granted_paths(["workspace"], "")) == []


def test_permissions_are_told_in_words() -> None:
    permissions = Permissions(
        paths=["workspace:ro", "/srv"],
        network=["api.example.org"],
        env=["A"],
        programs=["git"],
        secrets=["KEY"],
        calls=["call_tool", "terminal"],
    )

    assert explain(permissions) == [
        "read the folder you work in",
        "read and change /srv",
        "reach api.example.org over the network",
        "run git",
        "see the variables A",
        "read the secrets KEY",
        "call other plugins' tools, judged as the model's calls are",
        "run any command in the session's terminal, unjudged",
    ]
    assert explain(Permissions()) == []
    assert explain(Permissions(network=["*", "a.example"])) == [
        "reach any address on the network, this machine's own services included"
    ]
