"""``hermes plugins new``: what it writes works as it stands; what it cannot do, it says, and writes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.authoring.kinds import KINDS, drop_in, package_files
from hermes_testkit.authoring.new import write_new
from hermes_testkit.command import Hermes, Ran

QUICK = {"tool", "provider", "data"}
"""With the others it takes more than ten seconds."""
SHORT, LONG = "x", "a-name-as-long-as-one-may-get-to"
ROOT = Path(__file__).resolve().parents[2]


class Author:
    """Somebody with an environment of their own, who sees what is installed here, too."""

    def __init__(self, folder: Path) -> None:
        self.hermes = Hermes(folder)
        self.folder = self.hermes.workspace
        self.environment = folder / "environment"
        self._uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"
        subprocess.run([self._uv, "venv", "-q", "--python", sys.executable, self.environment], check=True)
        self.python = self.environment / "bin" / "python"
        site = next(self.environment.glob("lib/python*/site-packages"))
        (site / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")

    def new(self, *arguments: str) -> Ran:
        return self.hermes("plugins", "new", *arguments)

    def install(self, folder: Path) -> None:
        """As ``pip install -e``. The index of packages is not asked where uv has the build backend in its cache."""
        command = [self._uv, "pip", "install", "-q", "--no-deps", "--python", str(self.python), "-e", str(folder)]
        done = subprocess.run([*command, "--offline"], capture_output=True, text=True)
        if done.returncode:
            subprocess.run(command, check=True)

    def check(self, folder: Path) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code, and what is found, by check."""
        command = [self.python, "-m", "hermes.cli.main", "plugins", "check", str(folder), "--json"]
        done = subprocess.run(command, env=self.hermes.environ, capture_output=True, text=True, timeout=110)
        assert done.stdout, done.stderr
        return done.returncode, {found["check"]: found for found in json.loads(done.stdout)}


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.slow]) for kind in KINDS]
)
def test_a_new_plugin_passes_its_tests_and_every_check(author: Author, kind: str) -> None:
    assert author.new(kind, "my-own").code == 0
    folder = author.folder / "hermes-plugin-my-own"
    author.install(folder)
    code, found = author.check(folder)
    assert {name: each for name, each in found.items() if each["status"] != "ok"} == {}
    assert code == 0
    assert "passed" in found["tests"]["text"]


def test_the_next_steps_are_told(tmp_path: Path, hermes: Hermes) -> None:
    ran = hermes("plugins", "new", "tool", "dice")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "Made hermes-plugin-dice. Next:",
        "  cd hermes-plugin-dice && pip install -e .",
        "  python -m pytest",
        "  hermes plugins check .",
    ]


@pytest.mark.parametrize("name", [SHORT, LONG])
def test_new_code_is_in_order(tmp_path: Path, name: str) -> None:
    """By ruff's own rules with the package's settings, and by those of this repository."""
    for kind in KINDS:
        write_new(tmp_path / kind, package_files(kind, name, workspace=False))
    ruff = Path(sys.executable).parent / "ruff"
    for options in ([], ["--config", str(ROOT / "pyproject.toml")]):
        for command in (["format", "--check"], ["check"]):
            done = subprocess.run([ruff, *command, "--no-cache", *options, tmp_path], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_new_code_is_typed(tmp_path: Path) -> None:
    for kind in KINDS:
        write_new(tmp_path / kind, package_files(kind, f"my-{kind}", workspace=False))
    packages = [str(tmp_path / kind / "src") for kind in KINDS]
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = True\nmypy_path = {':'.join([str(ROOT / 'kernel' / 'src'), *packages])}\n")
    modules = [f"hermes_plugin_my_{kind.replace('-', '_')}" for kind in KINDS]
    command = [sys.executable, "-m", "mypy", "--config-file", config, "--follow-imports=silent"]
    command += [word for module in modules for word in ("-p", module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Hermes:
    """With one new drop-in of each kind."""
    hermes = Hermes(tmp_path_factory.mktemp("drop-ins"))
    for kind in KINDS:
        file, text = drop_in(kind, f"my-{kind}")
        write_new(hermes.home / "plugins", {file: text})
    return hermes


def test_drop_ins_are_found(home: Hermes) -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(home("plugins", "list", "--json").out)}
    for kind in KINDS:
        found = listed[f"my-{kind}"]
        assert (found["state"], found["problem"], found["source"]) == ("enabled", "", "home")
        assert found["provides"] or found["hooks"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_drop_in_passes_every_check(home: Hermes, kind: str) -> None:
    file = f"my-{kind}.yaml" if kind == "data" else f"my_{kind.replace('-', '_')}.py"
    checked = home("plugins", "check", str(home.home / "plugins" / file))
    assert (checked.code, checked.err) == (0, "")
    assert not [line for line in checked.out.splitlines() if line[0] not in "✓-"], checked.out


def test_a_drop_in_command_runs(hermes: Hermes) -> None:
    assert hermes("plugins", "new", "command", "how-many", "--drop-in").code == 0
    assert [path.name for path in (hermes.home / "plugins").iterdir()] == ["how_many.py"]
    assert list(hermes.workspace.iterdir()) == []
    ran = hermes("how-many")
    assert (ran.code, ran.out) == (0, "0 sessions\n"), ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tol", "dice"), 'There is no kind of plugin "tol". Did you mean "tool"?'),
        (("tool", "Dice_Roll"), '"Dice_Roll" is no name for a plugin. Did you mean "dice-roll"?'),
        (("tool", "hermes-plugin-Dice"), 'Did you mean "dice"?'),
        (("tool", "../dice"), "is no name for a plugin"),
        (("tool", "6"), "is no name for a plugin"),
        (("tool", "a" * 33), "is no name for a plugin"),
        (("tool", "files"), 'There is a plugin "files" already'),
        (("command", "doctor"), "There is a command hermes doctor already"),
        (("command", "demo"), "There is a command hermes demo already"),
    ],
)
def test_what_cannot_be_is_told(hermes: Hermes, arguments: tuple[str, ...], told: str) -> None:
    ran = hermes("plugins", "new", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert list(hermes.workspace.iterdir()) == []


def test_nothing_is_overwritten(hermes: Hermes) -> None:
    folder = hermes.workspace / "hermes-plugin-dice"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    ran = hermes("plugins", "new", "tool", "dice")
    assert ran.code == 2
    assert "is there already" in ran.err
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_no_drop_in_is_overwritten(hermes: Hermes) -> None:
    assert hermes("plugins", "new", "data", "mine", "--drop-in").code == 0
    file = hermes.home / "plugins" / "mine.yaml"
    file.write_text("name: another\nprovides: {providers: {another: {base_url: 'http://127.0.0.1:1'}}}\n")
    before = file.read_bytes()
    ran = hermes("plugins", "new", "data", "mine", "--drop-in")
    assert ran.code == 2
    assert "is there already" in ran.err
    assert file.read_bytes() == before
