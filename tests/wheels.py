"""Builds every package as a wheel, installs them with plain pip and no index into a fresh environment, and tries it.

A program, not a test module: it needs a package index (for the third-party wheels) and half a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def third_party(uv: Path, hermes: Path, python: Path, folder: Path, environ: dict[str, str]) -> None:
    """A plugin of somebody else's, from `plugins new` to its tool's answer: found at once, and isolated."""
    run(hermes, "plugins", "new", "tool", "dice", env=environ, cwd=folder)
    package = folder / "hermes-plugin-dice"
    run(uv, "build", "--quiet", "--wheel", "--out-dir", folder / "dice", package)
    (wheel,) = (folder / "dice").glob("*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", package / "tests", env=environ, cwd=package)
    told = json.loads(run(hermes, "plugins", "info", "dice", "--json", env=environ))
    assert (told["state"], told["runs"]) == ("enabled", "isolated"), told
    (tool,) = told["provides"]["tools"]
    cassette = folder / "cassette.yaml"
    cassette.write_text(f"- events: [{{tool_call: {{name: {tool}, arguments: {{}}}}}}]\n- events: [{{text: There.}}]\n")
    events = run(hermes, "chat", "-q", "Roll", "-m", f"replay:{cassette}", "--json", env=environ, cwd=folder)
    assert any(json.loads(line)["type"] in ("tool_finished", "tool_refused") for line in events.splitlines()), events


def main() -> None:
    uv = ROOT / ".venv" / "bin" / "uv"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheels = folder / "wheels"
        environ = {**os.environ, "HERMES_RELEASE": "1"}
        run(uv, "build", "--quiet", "--all-packages", "--wheel", "--out-dir", wheels, cwd=ROOT, env=environ)
        locked = folder / "requirements.txt"
        locked.write_text(
            run(
                *(uv, "export", "--quiet", "--locked", "--no-dev", "--no-emit-workspace", "--no-hashes"),
                *("--package", "hermes-agent", "--package", "hermes-testkit"),
                cwd=ROOT,
            )
        )
        run(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "-r", locked, "-d", wheels)
        run(python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, "hermes-agent[testkit]")
        hermes = folder / "venv" / "bin" / "hermes"
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "HERMES_HOME": str(folder / "home")}
        assert run(hermes, "--version", env=environ).startswith("hermes 1.")
        plugins = json.loads(run(hermes, "plugins", "list", "--json", env=environ))
        assert all(plugin["state"] == "enabled" for plugin in plugins), plugins
        assert {plugin["runs"] for plugin in plugins} <= {"in Hermes", "data"}, plugins
        assert "hermes_skills" in run(python, "-c", "import hermes_skills; print(hermes_skills.__path__)", env=environ)
        shipped = run(
            python,
            "-c",
            "import hermes_skills, pathlib as p; "
            "print(sum(1 for _ in p.Path(list(hermes_skills.__path__)[0]).rglob('SKILL.md')))",
            env=environ,
        )
        assert int(shipped) == len(list((ROOT / "skills").rglob("SKILL.md"))), shipped
        run(hermes, "demo", env=environ, cwd=folder)
        found = json.loads(run(hermes, "sessions", "list", "--json", env=environ))
        assert found, "the demo's session is stored"
        third_party(uv, hermes, python, folder, environ)
    sys.stdout.write(f"wheels: {len(plugins)} plugins installed and working\n")


if __name__ == "__main__":
    main()
