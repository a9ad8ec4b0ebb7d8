"""Searching by the search programs that a terminal has: rg, or else grep and find."""

from __future__ import annotations

import fnmatch
import re
from shlex import quote
from typing import Literal

Mode = Literal["content", "files", "count"]

MAX_MATCH = 300
"""Characters of a line that are shown."""
MAX_LIMIT = 500

# Named, not given as '.*': a pattern that fits "." leaves out everything when the path is ".".
SKIPPED = (".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".tox", ".mypy_cache", ".ruff_cache")

_MATCH = re.compile(r"^(?P<path>.+?):(?P<line>\d+):")


def command(pattern: str, path: str, glob: str, mode: Mode, context: int, limit: int) -> str:
    """The shell command; its output is lines, its status that of grep: 0 found, 1 nothing, 2 an error."""
    lines = (limit + 1) * (2 * context + 2) if mode == "content" else limit + 1
    if mode == "count" or "/" in glob:
        lines = 100_000  # What is found is counted, or sorted out, only afterwards.
    return (
        "set -o pipefail; if command -v rg >/dev/null 2>&1; then\n"
        f"{_rg(pattern, path, glob, mode, context)} | head -n {lines}\n"
        f"else\n{_grep(pattern, path, glob, mode, context)} | head -n {lines}\nfi"
    )


def _rg(pattern: str, path: str, glob: str, mode: Mode, context: int) -> str:
    skipped = " ".join(f"-g {quote('!' + name)}" for name in SKIPPED)
    common = f"rg --no-config --no-messages --color=never --hidden {skipped}" + (f" -g {quote(glob)}" if glob else "")
    target = f"-e {quote(pattern)} -- {quote(path)}"
    if mode == "files":
        return f"{common} --sortr=modified " + (f"-l {target}" if pattern else f"--files -- {quote(path)}")
    if mode == "count":
        return f"{common} -c --with-filename {target}"
    return f"{common} -n --no-heading --with-filename{_around(context)} {target}"


def _grep(pattern: str, path: str, glob: str, mode: Mode, context: int) -> str:
    name = glob.rsplit("/", 1)[-1]
    skipped = " ".join(f"--exclude-dir={quote(directory)}" for directory in SKIPPED)
    included = f" --include={quote(name)}" if name else ""
    # Perl's syntax where grep has it: it knows \d and \b, as rg does.
    flags = "$(if printf x | grep -qP x 2>/dev/null; then printf %s -P; else printf %s -E; fi)"
    common = f"grep -rsI --color=never {flags} {skipped}{included}"
    target = f"-e {quote(pattern)} -- {quote(path)}"
    newest = "xargs -0 -r ls -1td --"
    if mode == "files" and pattern:
        return f"{common} -lZ {target} | {newest}"
    if mode == "files":
        pruned = " -o ".join(f"-name {quote(directory)}" for directory in SKIPPED)
        named = f" -name {quote(name)}" if name else ""
        return f"find {quote(path)} -type d \\( {pruned} \\) -prune -o -type f{named} -print0 2>/dev/null | {newest}"
    if mode == "count":
        return f"{common} -cH {target} | grep -v ':0$'"
    # What comes around a match cannot be told from a match elsewhere when paths are sorted out only afterwards.
    return f"{common} -nH{_around(0 if '/' in glob else context)} {target}"


def _around(context: int) -> str:
    return f" -C {context}" if context else ""


def present(output: str, *, mode: Mode, glob: str, context: int, limit: int) -> str:
    """The answer of `command` as a model reads it; blank when nothing was found."""
    lines = [line.removeprefix("./") for line in output.splitlines()]
    if mode == "count":
        return _counts([line for line in lines if _fits(line.rpartition(":")[0], glob)], limit)
    if mode == "files":
        lines = [line for line in lines if _fits(line, glob)]
        more = [f"[the first {limit}; there are more]"] if len(lines) > limit else []
        return "\n".join(lines[:limit] + more)
    if not context:
        lines.sort(key=lambda line: line.partition(":")[0])
    return _matches(lines, glob, limit)


def _fits(path: str, glob: str) -> bool:
    """Whether a path fits a glob with directories in it; grep and find are given the last part only."""
    if "/" not in glob:
        return True
    pattern = glob.lstrip("/").replace("**/", "*").replace("**", "*")
    return fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, f"*/{pattern}")


def _matches(lines: list[str], glob: str, limit: int) -> str:
    shown: list[str] = []
    count = 0
    for line in lines:
        match = _MATCH.match(line)
        if match and not _fits(match["path"], glob):
            continue
        count += match is not None
        if count > limit:
            shown.append(f"[the first {limit} matches; there are more]")
            break
        shown.append(line if len(line) <= MAX_MATCH else f"{line[:MAX_MATCH]} […]")
    return "\n".join(shown) if count else ""


def _counts(lines: list[str], limit: int) -> str:
    counts = sorted(((int(number), path) for path, _, number in (line.rpartition(":") for line in lines)), reverse=True)
    if not counts:
        return ""
    total = sum(number for number, _ in counts)
    more = f"\n[the first {limit} of {len(counts)} files]" if len(counts) > limit else ""
    return f"{total} in {len(counts)} files\n" + "\n".join(f"{path}: {n}" for n, path in counts[:limit]) + more
