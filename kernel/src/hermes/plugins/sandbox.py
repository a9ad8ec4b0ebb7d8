"""Where isolated plugins run: a bubblewrap sandbox with what their permissions name, and nothing else.

Inside there are the interpreter and its libraries, the plugins' code, the folders of ``permissions.paths``, read-only
where they say so, and the plugins' own data; an empty ``/tmp``; no network but what the egress proxy lets through.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import platformdirs

from hermes.config.home import child_environment, host_environment

from .manifest import Permissions

TMP_BYTES = 256 * 1024 * 1024
EGRESS_SOCKET = "/run/hermes/egress.sock"
EGRESS_PORT = 3128
SYSTEM = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/mime.types",
)
"""What programs need to start, with nothing of anybody's in it."""
DNS = ("/etc/resolv.conf", "/etc/hosts")

BOOTSTRAP = """
import gc, sys
gc.disable()
sys.path[:] = sys.argv.pop(1).split("\\n")
__import__(sys.argv[1], fromlist="*").main()
"""
"""Calls a module's ``main``. ``sys.path`` is given, not made by ``site``: no plugin's ``.pth`` file is run. What is
imported by then is not looked through for garbage, which is a tenth of the time that it takes.
"""


@functools.cache
def bubblewrap() -> str:
    """The program, if it is here and works; blank if not. Found out once for each time that it is installed."""
    program = shutil.which("bwrap") or ""
    return program if program and _works(program) else ""


def _works(program: str) -> bool:
    """Whether this user may use it. Asking it costs as much as starting it: the answer is kept."""
    found = os.stat(program)
    boot = Path("/proc/sys/kernel/random/boot_id")
    asked = f"{program} {found.st_mtime_ns} {os.getuid()} {boot.read_text().strip() if boot.exists() else ''}"
    kept = platformdirs.user_cache_path("hermes", appauthor=False) / "bubblewrap"
    with contextlib.suppress(OSError):
        known, _, answer = kept.read_text().rpartition(" ")
        if known == asked:
            return answer == "works"
    works = _try(program)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{asked} {'works' if works else 'fails'}")
    return works


def _try(program: str) -> bool:
    try:
        done = subprocess.run(
            [program, "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def enforcement() -> str:
    """What of the permissions this machine can enforce, in a sentence; blank if all."""
    if bubblewrap():
        return ""
    if sys.platform != "linux":
        return f"Permissions cannot be enforced on this system: {_UNCONFINED}."
    return (
        f"Permissions are not enforced here, because bubblewrap is missing or may not be used: {_UNCONFINED}. "
        "Install it with: apt install bubblewrap"
    )


_UNCONFINED = "isolated plugins run in a process of their own, with your rights"


class Sandbox:
    """The surroundings of one plugin host.

    ``code``: folders and files that hold the plugins' code, put in front of ``sys.path`` where they are folders for it.
    ``data``: the plugins' own folders. ``egress``: the proxy's socket, if the plugins may reach some hosts.
    """

    def __init__(
        self,
        permissions: Permissions,
        *,
        code: Sequence[str] = (),
        path: Sequence[str] = (),
        data: Sequence[Path] = (),
        workspace: str = "",
        egress: str = "",
    ) -> None:
        self._permissions = permissions
        self._code = code
        self._path = [*path, *_libraries(), *sorted({_import_root(place) for place in code} - {""})]
        self._data = data
        self._workspace = workspace
        self._egress = egress

    def command(self, module: str, *arguments: str, terminal: bool = False) -> list[str]:
        """What starts a module of Python inside. ``terminal``: it keeps the user's terminal."""
        python = [
            os.path.realpath(sys.executable),
            "-I",
            "-S",
            "-B",
            "-c",
            BOOTSTRAP,
            "\n".join(self._path),
            module,
            *arguments,
        ]
        program = bubblewrap()
        if not program:
            return python
        return [program, *self._options(terminal), "--", *python]

    def environment(self) -> dict[str, str]:
        """The variables inside: what a program needs, and those of the permissions."""
        ours = host_environment()
        plain = {name: ours[name] for name in ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "COLUMNS") if name in ours}
        asked = {name: ours[name] for name in self._permissions.env if name in ours}
        home = str(self._data[0]) if self._data else "/tmp"
        found = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "TMPDIR": "/tmp", **plain, **asked}
        if not bubblewrap():
            found["PATH"] = ours.get("PATH", found["PATH"])
            found.pop("TMPDIR")
        if self._egress:
            proxy = f"http://127.0.0.1:{EGRESS_PORT}"
            found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), proxy)
            found["NO_PROXY"] = found["no_proxy"] = ""
        return found

    def _options(self, terminal: bool) -> Iterator[str]:
        yield from ("--unshare-all", "--die-with-parent", "--hostname", "plugin", "--cap-drop", "ALL")
        if "*" in self._permissions.network:
            yield "--share-net"
        if not terminal:
            yield "--new-session"
        yield from ("--proc", "/proc", "--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp")
        yield from ("--size", str(TMP_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev")
        shown = self._shown()
        for path in sorted(shown, key=lambda path: path.count("/")):
            yield from ("--ro-bind-try", path, path)
        for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
            if os.path.islink(path):
                yield from ("--symlink", os.readlink(path), path)
        for program in self._permissions.programs:
            if found := shutil.which(program):
                yield from ("--ro-bind", os.path.realpath(found), f"/usr/bin/{os.path.basename(program)}")
        for folder in self._data:
            yield from ("--bind", str(folder), str(folder))
        yield from self._granted()
        if self._egress:
            yield from ("--bind", self._egress, EGRESS_SOCKET)
        yield from ("--remount-ro", "/")
        yield from ("--chdir", self._workspace if "workspace" in self._permissions.paths else "/tmp")

    def _shown(self) -> set[str]:
        """The interpreter, its libraries, what is on ``sys.path``, and the plugins' code."""
        python = {os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
        if sys.base_prefix not in ("/usr", "/usr/local", "/"):
            python |= {sys.base_prefix}
        system = {path for path in SYSTEM if not os.path.islink(path)}
        if "*" in self._permissions.network:
            system |= set(DNS)
        wanted = {path for path in (*python, *system, *self._path, *self._code) if os.path.exists(path)}
        return {path for path in wanted if not any(path.startswith(f"{other}/") for other in wanted)}

    def _granted(self) -> Iterator[str]:
        for path, writable in granted_paths(self._permissions.paths, self._workspace):
            yield from ("--bind-try" if writable else "--ro-bind-try", path, path)


def _libraries() -> list[str]:
    """Of ``sys.path`` what holds libraries; not the folder that a script was started from."""
    import hermes

    prefixes = tuple(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix))
    ours = os.path.dirname(os.path.dirname(os.path.abspath(hermes.__file__)))
    names = ("site-packages", "dist-packages")
    kept = [
        entry
        for entry in sys.path
        if entry and (entry.startswith(prefixes) or os.path.basename(entry) in names or entry == ours)
    ]
    return kept if ours in kept else [*kept, ours]


def _import_root(place: str) -> str:
    """The folder of ``sys.path`` that holds an installed package; blank: it is loaded from its place."""
    parent = os.path.dirname(place)
    return parent if parent in sys.path else ""


def granted_paths(paths: Iterable[str], workspace: str) -> Iterator[tuple[str, bool]]:
    """Each path of the permissions as an absolute one, and whether it may be written."""
    for entry in paths:
        path, colon, mode = entry.rpartition(":")
        name, writable = (path, False) if colon and mode == "ro" else (entry, True)
        if name == "workspace":
            if workspace:
                yield os.path.realpath(workspace), writable
        else:
            yield os.path.realpath(os.path.expanduser(name)), writable


def explain(permissions: Permissions) -> list[str]:
    """The permissions as sentences for a person."""
    told = []
    for path, _, mode in ((entry.removesuffix(":ro"), "", entry.endswith(":ro")) for entry in permissions.paths):
        place = "the folder you work in" if path == "workspace" else path
        told.append(f"{'read' if mode else 'read and change'} {place}")
    if "*" in permissions.network:
        told.append("reach any address on the network, this machine's own services included")
    elif permissions.network:
        told.append(f"reach {', '.join(permissions.network)} over the network")
    if permissions.programs:
        told.append(f"run {', '.join(permissions.programs)}")
    if permissions.env:
        told.append(f"see the variables {', '.join(permissions.env)}")
    if permissions.secrets:
        told.append(f"read the secrets {', '.join(permissions.secrets)}")
    told += [_CALLS[call] for call in permissions.calls if call in _CALLS]
    return told


_CALLS: Mapping[str, str] = {
    "llm": "ask a model, at your cost",
    "call_tool": "call other plugins' tools, judged as the model's calls are",
    "sessions": "read all your sessions",
    "inject": "put messages into your sessions",
    "ask": "ask you questions",
    "terminal": "run any command in the session's terminal, unjudged",
    "provider": "use what other plugins provide",
    "load_foreign": "bring other plugins with it",
}
