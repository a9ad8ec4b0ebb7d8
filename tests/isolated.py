"""Runs each package's tests with nothing installed but what the package declares.

A workspace hides dependencies that are used and not declared. A program, not a test module. Arguments: names of
packages; none: all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_TOOLS = ["pytest", "pytest-timeout", "hypothesis", "uv"]


def packages() -> dict[str, Path]:
    folders = [ROOT / "kernel", ROOT / "carrier", *sorted(ROOT.glob("plugins/*/*"))]
    folders = [folder for folder in folders if (folder / "pyproject.toml").is_file()]
    return {tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]: folder for folder in folders}


def requirements(folder: Path) -> list[str]:
    """The package, the testkit, and what the package's own tests say they need; ours as they are here."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    ours = {name: str(place) for name, place in packages().items()}
    needed = [ours.get(name, name) for name in project.get("dependency-groups", {}).get("test", [])]
    declared = {re.split(r"[<>=!~\[; ]", text)[0] for text in project["project"].get("dependencies", [])}
    needed += [place for name, place in ours.items() if name in declared]
    return [str(folder), str(ROOT / "testkit"), str(ROOT / "kernel"), *needed]


def main() -> int:
    uv = ROOT / ".venv" / "bin" / "uv"
    failed = []
    environ = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    for name, folder in packages().items():
        if (sys.argv[1:] and name not in sys.argv[1:]) or not (folder / "tests").is_dir():
            continue  # what is only data has no tests of its own
        with tempfile.TemporaryDirectory() as scratch:
            python = Path(scratch) / "bin" / "python"
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, scratch], check=True, env=environ)
            install = [uv, "pip", "install", "--quiet", "--python", python, *TEST_TOOLS, *requirements(folder)]
            subprocess.run(install, check=True, env=environ)
            tests = [python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", folder / "tests"]
            done = subprocess.run(tests, cwd=ROOT, env=environ)
            if done.returncode:
                failed.append(name)
    sys.stdout.write(f"isolated: failed: {failed}\n" if failed else "isolated: every package declares what it uses\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
