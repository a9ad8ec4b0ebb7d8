"""Whether a plugin's tests have the suite of each contract that it provides, and whether they pass."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from hermes.plugins.manifest import Manifest

from .report import Finding, finding
from .subject import Subject

TEST_SECONDS = 900.0
SUITES = {
    "context_engine": ("ContextEngineSuite",),
    "memory": ("MemorySuite",),
    "platform": ("PlatformSuite",),
    "secret_source": ("SecretSourceSuite",),
    "service": ("ServiceSuite",),
    "store": ("SessionStoreSuite",),
    "terminal": ("TerminalSuite",),
    "tools": ("ToolSuite",),
    "transport": ("ProviderSuite", "HttpProviderSuite"),
}
"""By what a manifest's ``provides`` calls it: any one of these will do."""


def suites(subject: Subject, manifest: Manifest) -> Finding:
    """Whether a test class inherits the suite of each contract. Read from the tests, without running them."""
    wanted = [contract for contract in SUITES if manifest.provides.get(contract)]
    if subject.kind in ("file", "data"):
        return Finding("suites", "skipped", "no tests lie beside a single file")
    inherited = _bases(subject.tests)
    missing = [f"{SUITES[contract][0]} for {contract}" for contract in wanted if inherited.isdisjoint(SUITES[contract])]
    if missing:
        advice = "inherit it in tests/, from hermes_testkit: see hermes_testkit's README"
        return Finding("suites", "failed", f"no conformance suite: {', '.join(missing)}", advice)
    if manifest.hooks and "HookSuite" not in inherited:
        advice = "inherit hermes_testkit.hook_suite.HookSuite in tests/"
        return Finding("suites", "warning", f"hooks without a HookSuite: {', '.join(manifest.hooks)}", advice)
    fine = f"a suite for {', '.join(wanted)}" if wanted else "none of its contracts has a suite"
    return Finding("suites", "ok", fine)


def _bases(files: Iterable[Path]) -> set[str]:
    bases = set()
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases |= {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return bases


def tests(subject: Subject, manifest: Manifest) -> Finding:
    """Runs them in a child process."""
    if subject.kind in ("file", "data"):
        return Finding("tests", "skipped", "no tests lie beside a single file")
    if not subject.tests:
        return Finding("tests", "failed", "there are none", "write tests/, with the suites of hermes-testkit")
    if subject.kind == "package" and not is_installed(subject, manifest.name):
        text = f'"{manifest.name}" is not installed from here, so its tests would not be about it'
        return Finding("tests", "failed", text, f"pip install -e {subject.root}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=subject.root, env=environ, capture_output=True, text=True, timeout=TEST_SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding("tests", "failed", f"they had not ended after {TEST_SECONDS:.0f} s", "give them deadlines")
    summary = _summary(f"{done.stdout}\n{done.stderr}")
    failed = [] if done.returncode == 0 else [summary or f"pytest ended with {done.returncode}"]
    return finding("tests", failed, summary, f"run them: cd {subject.root} && python -m pytest")


def _summary(text: str) -> str:
    found = re.findall(r"(?m)^=*\s?(\d+ (?:passed|failed|errors?|skipped)\b.*?)\s?=*$|^(no tests ran.*)$", text)
    return next(filter(None, found[-1]), "") if found else ""


def is_installed(subject: Subject, name: str) -> bool:
    """Whether the entry point leads to the code that is looked at."""
    from importlib.util import find_spec

    for entry in entry_points(group="hermes.plugins"):
        if entry.name == name:
            spec = find_spec(entry.module)
            place = Path(spec.origin).parent if spec is not None and spec.origin else None
            return place is not None and place.samefile(subject.manifest_file.parent)
    return False
