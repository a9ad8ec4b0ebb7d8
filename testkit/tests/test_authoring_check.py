"""``hermes plugins check``: each check finds what it is there to find, and this repository's plugins pass them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hermes_testkit.authoring.check import checks
from hermes_testkit.authoring.kinds import package_files
from hermes_testkit.authoring.new import write_new
from hermes_testkit.authoring.report import Finding
from hermes_testkit.authoring.subject import find_subject
from hermes_testkit.command import Hermes

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
CODE = "src/hermes_plugin_dice"


def package(folder: Path, kind: str = "tool") -> Path:
    write_new(folder / "dice", package_files(kind, "dice", workspace=False))
    return folder / "dice"


def found(folder: Path, **options: bool) -> dict[str, Finding]:
    return {finding.check: finding for finding in checks(find_subject(folder), **{"run_tests": False, **options})}


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_the_plugins_of_this_repository_pass(plugin: Path, hermes: Hermes) -> None:
    ran = hermes("plugins", "check", str(plugin), "--no-tests")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert "✗" not in ran.out


@pytest.mark.parametrize(
    ("file", "old", "new", "check", "told"),
    [
        (f"{CODE}/plugin.yaml", "api: 1", "api: 99", "manifest", "is for a newer Hermes"),
        (f"{CODE}/plugin.yaml", "api: 1", "apt: 1", "manifest", "unknown field `apt`"),
        (f"{CODE}/plugin.yaml", "name: dice", "name: [dice", "manifest", "is not YAML"),
        (f"{CODE}/plugin.yaml", "name: dice", "name: cards", "names", 'the distribution is "hermes-plugin-dice"'),
        ("pyproject.toml", '"hermes-plugin-dice"', '"dice"', "names", 'the distribution is "dice"'),
        ("pyproject.toml", 'dice = "hermes_', 'cards = "hermes_', "names", "the entry point of hermes.plugins is"),
        (f"{CODE}/plugin.yaml", "dice.tools]", "dice.tolls]", "code", "has tools and is not listed"),
        (f"{CODE}/tools.py", "import annotations", "import nothing", "code", "SyntaxError: future feature nothing"),
        (f"{CODE}/__init__.py", '"""Dice', 'import yaml\n"""Dice', "import", "it imports yaml at once"),
        (f"{CODE}/__init__.py", '"""Dice', 'import time\ntime.sleep(0.06)\n"""Dice', "import", "more than 50 ms"),
        ("README.md", "nstall", "nstil", "readme", "how to install it"),
        ("README.md", "onfigure", "hange", "readme", "how to configure it"),
        ("README.md", "```", "'''", "readme", "an example"),
        (f"{CODE}/plugin.yaml", '"Counts words in a text."', '""', "description", "the description has 0 characters"),
        (f"{CODE}/plugin.yaml", ', description: "Whether', ', title: "Whether', "settings", "ignore_case"),
        (f"{CODE}/tools.py", '"""Count how often a word is in a text."""', "", "tools", "dice_count"),
        ("tests/test_dice.py", "(ToolSuite)", "", "suites", "no conformance suite: ToolSuite for tools"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, file: str, old: str, new: str, check: str, told: str) -> None:
    folder = package(tmp_path)
    change(folder / file, old, new)
    finding = found(folder)[check]
    assert finding.status == "failed"
    assert told in finding.text
    assert finding.advice or check == "manifest"


def test_a_plugin_without_faults_has_none(tmp_path: Path) -> None:
    assert {finding.status for finding in found(package(tmp_path)).values()} == {"ok"}


def test_a_missing_readme_is_found(tmp_path: Path) -> None:
    folder = package(tmp_path)
    (folder / "README.md").unlink()
    assert found(folder)["readme"].text == "there is no README.md"


def test_a_guard_has_to_be_documented(tmp_path: Path) -> None:
    folder = package(tmp_path, "hook")
    assert found(folder)["readme"].status == "ok"
    change(folder / "README.md", "pre_tool_call", "one hook")
    assert "its guard pre_tool_call" in found(folder)["readme"].text


def test_hooks_without_a_suite_are_a_warning(tmp_path: Path) -> None:
    folder = package(tmp_path, "hook")
    change(folder / "tests" / "test_dice.py", "(HookSuite)", "")
    assert found(folder)["suites"].status == "warning"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import socket", "network: socket (reach.py:1)"),
        ("from urllib.request import urlopen", "network: urllib.request (reach.py:1)"),
        ("from asyncio import open_connection", "network: asyncio.open_connection (reach.py:1)"),
        ("def f():\n    import subprocess", "programs: subprocess (reach.py:2)"),
        ("import os\nos.system('ls')", "programs: os.system (reach.py:2)"),
        ("import os\nprint(os.environ)", "env: os.environ (reach.py:2)"),
        ("open('/etc/hosts')", "paths: open() (reach.py:1)"),
        ("from pathlib import Path\nPath('x').write_text('')", "paths: .write_text() (reach.py:2)"),
        ("async def f(ctx):\n    await ctx.call_tool('x', {})", "calls: ctx.call_tool (reach.py:2)"),
        ("async def f(ctx):\n    await ctx.sessions.find()", "calls: ctx.sessions.find (reach.py:2)"),
        ("async def f(self):\n    await self._ctx.provider('terminal', 'x')", "a terminal's commands"),
        ("async def f(ctx):\n    await ctx.secrets('MY_KEY')", "secrets: MY_KEY (reach.py:2)"),
    ],
)
def test_what_is_reached_for_without_asking_is_a_warning(tmp_path: Path, source: str, told: str) -> None:
    folder = package(tmp_path)
    (folder / CODE / "reach.py").write_text(source)
    finding = found(folder)["permissions"]
    assert finding.status == "warning"
    assert told in finding.text


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import quote",
        "import os\nprint(os.sep)",
        "def f(ctx):\n    return open(ctx.data_dir / 'notes')",
        "def f(ctx):\n    (ctx.data_dir / 'notes').write_text('')",
        "async def f(ctx):\n    await ctx.state.get('x')\n    await ctx.config()",
        "class Journal:\n    def history(self, sessions):\n        return sessions.find()",
    ],
)
def test_what_needs_no_permission_is_no_warning(tmp_path: Path, source: str) -> None:
    folder = package(tmp_path)
    (folder / CODE / "reach.py").write_text(source)
    assert found(folder)["permissions"].status == "ok"


def test_what_is_asked_for_is_no_warning(tmp_path: Path) -> None:
    folder = package(tmp_path)
    (folder / CODE / "reach.py").write_text("import socket\nasync def f(ctx):\n    await ctx.ask('x')\n")
    manifest = folder / CODE / "plugin.yaml"
    manifest.write_text(manifest.read_text() + "permissions: {network: [example.org], calls: [ask]}\n")
    assert found(folder)["permissions"].status == "ok"


def test_tests_of_what_is_not_installed_are_not_run(tmp_path: Path) -> None:
    finding = found(package(tmp_path), run_tests=True)["tests"]
    assert finding.status == "failed"
    assert "is not installed from here" in finding.text
    assert finding.advice.startswith("pip install -e ")


@pytest.mark.parametrize(
    ("test", "status", "text"),
    [
        ("def test_x(): pass", "ok", "1 passed"),
        ("def test_x(): assert 0", "failed", "1 failed"),
        ("def test_x(", "failed", "error"),
        ("", "failed", "no tests ran"),
    ],
)
def test_a_folders_tests_are_run(tmp_path: Path, test: str, status: str, text: str) -> None:
    folder = tmp_path / "bell"
    (folder / "tests").mkdir(parents=True)
    (folder / "plugin.yaml").write_text("name: bell\napi: 1\ndescription: Rings.\n")
    (folder / "__init__.py").write_text("")
    (folder / "tests" / "test_bell.py").write_text(test)
    finding = found(folder, run_tests=True)["tests"]
    assert finding.status == status
    assert text in finding.text


def test_a_line_a_check(hermes: Hermes) -> None:
    folder = package(hermes.workspace)
    change(folder / "README.md", "onfigure", "hange")
    ran = hermes("plugins", "check", "dice", "--no-tests")
    assert (ran.code, ran.err) == (1, "")
    lines = ran.out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "manifest", "names", "code", "import", "readme", "description", "settings", "tools", "permissions", "suites",
    ]  # fmt: skip
    assert [line for line in lines if not line.startswith("✓")] == [
        "✗ readme       README.md does not say how to configure it → add it, in a sentence or two"
    ]


def test_as_json(hermes: Hermes) -> None:
    package(hermes.workspace)
    ran = hermes("plugins", "check", "dice", "--no-tests", "--json")
    assert ran.code == 0
    assert {each["check"]: each["status"] for each in json.loads(ran.out)}["code"] == "ok"


def test_data_is_checked_too(hermes: Hermes) -> None:
    (hermes.workspace / "house.yaml").write_text(
        "name: house\ndescription: Ours.\nprovides: {providers: {house: {}}}\n"
    )
    ran = hermes("plugins", "check", "house.yaml")
    assert ran.code == 0, ran.out
    assert "! manifest     it does not say for which API it is → add: api: 1" in ran.out.splitlines()


def test_a_path_that_is_no_plugin(hermes: Hermes) -> None:
    ran = hermes("plugins", "check", "nowhere")
    assert (ran.code, ran.out) == (2, "")
    assert "is no plugin" in ran.err


def test_a_providers_key_has_to_be_asked_for(tmp_path: Path) -> None:
    """Else the plugin works for its author, whose own files may do all, and for nobody who installs it."""
    folder = package(tmp_path, "data")
    assert found(folder)["permissions"].status == "ok"
    change(folder / CODE / "plugin.yaml", "secrets: [DICE_API_KEY]", "secrets: []")
    finding = found(folder)["permissions"]
    assert (finding.status, finding.text) == ("warning", "secrets: DICE_API_KEY (key_env)")
