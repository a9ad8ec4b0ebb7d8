"""What a plugin's source reaches for, read without running it: network, programs, variables, files, the kernel."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from hermes.plugins.manifest import CALLS, Permissions

NETWORK = {
    "aiohttp", "ftplib", "grpc", "http", "httpx", "httpx2", "imaplib", "paramiko", "poplib", "requests", "smtplib",
    "socket", "ssl", "telnetlib", "urllib", "urllib3", "websocket", "websockets", "xmlrpc",
}  # fmt: skip
HARMLESS = frozenset({"urllib.parse", "http.HTTPStatus"})
NETWORK_CALLS = frozenset({"asyncio.open_connection", "asyncio.start_server"})
PROGRAMS = frozenset({"subprocess", "pty", "pexpect"})
PROGRAM_CALLS = {
    "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.posix_spawn", "os.fork",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell",
}  # fmt: skip
VARIABLES = frozenset({"os.environ", "os.getenv", "os.putenv"})
FILE_METHODS = frozenset({"write_text", "write_bytes", "read_text", "read_bytes", "unlink", "rmdir", "mkdir"})
KERNEL = {"call_tool": "call_tool", "llm": "llm", "ask": "ask", "terminal": "terminal", "provider": "provider"}
SESSIONS = {"find": "sessions", "history": "sessions", "search": "sessions", "inject": "inject"}


class Reach(ast.NodeVisitor):
    """Of one file. Each of the lists has what was seen and its line, such as ``socket (net.py:3)``."""

    def __init__(self, file: Path) -> None:
        self.network: list[str] = []
        self.programs: list[str] = []
        self.env: list[str] = []
        self.paths: list[str] = []
        self.calls: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self._file = file.name
        self._own_folder = False

    def _at(self, what: str, node: ast.AST) -> str:
        return f"{what} ({self._file}:{getattr(node, 'lineno', 0)})"

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(alias.name, alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level and node.module:
            for alias in node.names:
                self._imported(node.module, f"{node.module}.{alias.name}", node)

    def _imported(self, module: str, full: str, node: ast.AST) -> None:
        top = module.partition(".")[0]
        if HARMLESS & {module, full}:
            return
        if top in NETWORK or full in NETWORK_CALLS:
            self.network.append(self._at(full if full in NETWORK_CALLS else module, node))
        elif top in PROGRAMS or full in PROGRAM_CALLS:
            self.programs.append(self._at(full if full in PROGRAM_CALLS else module, node))
        elif full in VARIABLES:
            self.env.append(self._at(full, node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = ast.unparse(node) if isinstance(node.value, ast.Name) else ""
        if name in NETWORK_CALLS:
            self.network.append(self._at(name, node))
        elif name in PROGRAM_CALLS:
            self.programs.append(self._at(name, node))
        elif name in VARIABLES:
            self.env.append(self._at(name, node))
        self.generic_visit(node)

    def read(self, source: str) -> None:
        """Paths of a file that names ``data_dir`` are taken for such in the plugin's own folder."""
        self._own_folder = ".data_dir" in source
        self.visit(ast.parse(source))

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name) and function.id == "open" and not _in_own_folder(node):
            self.paths.append(self._at("open()", node))
        elif isinstance(function, ast.Attribute):
            self._method(function, node)
        self.generic_visit(node)

    def _method(self, function: ast.Attribute, node: ast.Call) -> None:
        owner = ast.unparse(function.value)
        if function.attr in FILE_METHODS and not self._own_folder and not _in_own_folder(node):
            self.paths.append(self._at(f".{function.attr}()", node))
        elif _is_context(owner) and function.attr in KERNEL:
            self.calls.setdefault(KERNEL[function.attr], self._at(f"ctx.{function.attr}", node))
            if function.attr == "provider" and node.args and ast.unparse(node.args[0]) == "'terminal'":
                self.calls.setdefault("terminal", self._at("a terminal's commands", node))
        elif _is_context(owner.removesuffix(".sessions")) and owner.endswith(".sessions") and function.attr in SESSIONS:
            self.calls.setdefault(SESSIONS[function.attr], self._at(f"ctx.sessions.{function.attr}", node))
        elif _is_context(owner) and function.attr == "secrets":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self.secrets.setdefault(argument.value, self._at(argument.value, node))


def _is_context(owner: str) -> bool:
    return owner.rpartition(".")[2] in ("ctx", "_ctx", "context", "_context")


def _in_own_folder(node: ast.Call) -> bool:
    """A plugin's own folder needs no permission. What is kept in a variable or in itself is taken for it, by name."""
    text = ast.unparse(node)
    return any(word in text for word in ("data_dir", "__file__", "importlib.resources", "files("))


def ungranted(files: Iterable[Path], granted: Permissions) -> dict[str, list[str]]:
    """What the files reach for and the manifest grants nothing of, by the permission that is missing."""
    found: dict[str, list[str]] = {"network": [], "programs": [], "env": [], "paths": [], "calls": [], "secrets": []}
    for file in files:
        reach = Reach(file)
        reach.read(file.read_text(encoding="utf-8"))
        for kind in ("network", "programs", "env", "paths"):
            if not getattr(granted, kind):
                found[kind] += getattr(reach, kind)
        found["calls"] += [where for call, where in reach.calls.items() if call in CALLS and call not in granted.calls]
        found["secrets"] += [where for name, where in reach.secrets.items() if name not in granted.secrets]
    return {kind: where for kind, where in found.items() if where}
