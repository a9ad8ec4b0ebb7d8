"""What a newcomer reads is true: commands and code of the pages are run, references and links lead somewhere."""

from __future__ import annotations

import html
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import yaml

from hermes import __version__
from hermes.cli.report import EXIT_OF_OUTCOME
from hermes.contracts import hookspecs
from hermes.plugins.manifest import header_of, parse_manifest
from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import ModelServer

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FIRST_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DECISIONS = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
WRITTEN = [*FIRST_PAGES, *sorted(DOCS.glob("*.md")), *sorted((DOCS / "decisions").glob("*.md"))]
READMES = [*sorted(ROOT.glob("plugins/*/*/README.md")), ROOT / "testkit" / "README.md"]
SKILLS = sorted(ROOT.glob("skills/*/*/SKILL.md"))
PAGES = [*WRITTEN, *sorted((DOCS / "reference").glob("*.md")), *READMES, *SKILLS]

BLOCK = re.compile(
    r"(?:^`(?P<file>[^`\n]+)`\n\n)?^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
ELSEWHERE = (
    "git clone ",
    "make ",
    "make\n",
    "pip install ",
    "export OPENAI_API_KEY=",
    ".ci/run",
    ". .venv/",
    ".venv/bin/",
)
"""Lines that are about the machine or the repository; what they name is checked, they are not run."""

SHELL_FUNCTIONS = """
hermes() { if [ -p /dev/stdin ]; then command hermes "$@"; else echo hello | command hermes "$@"; fi; }
"""
"""Where a page means a chat, somebody says hello."""


TO_BE_MADE = "plugins/tools/dice"
"""The reader's own, in CONTRIBUTING."""


class Block(NamedTuple):
    """A block of code. ``file``: what the page calls it, in a line of its own above it."""

    file: str
    language: str
    body: str


def blocks(page: Path, start: str = "", end: str = "") -> list[Block]:
    """Those of a page, or between two of its headings."""
    text = page.read_text(encoding="utf-8")
    if start:
        text = text[text.index(f"\n{start}\n") :]
        text = text[: text.index(f"\n{end}\n")] if end else text
    return [
        Block(match["file"] or "", match["language"], textwrap.dedent(match["body"])) for match in BLOCK.finditer(text)
    ]


def of_language(pages: list[Path], language: str) -> list[object]:
    return [
        pytest.param(page, block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in pages
        for number, block in enumerate(found for found in blocks(page) if found.language == language)
    ]


class Reader:
    """Somebody who does what a page says: an empty home in ``~/.hermes``, a key, and a model that answers."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.hermes = Hermes(folder)
        self.folder = self.hermes.workspace
        self.hermes.home = folder / ".hermes"
        environ = self.hermes.environ
        del environ["HERMES_HOME"]
        environ |= {"OPENAI_API_KEY": "a-key-for-the-tests", "OPENAI_BASE_URL": server.url, "EDITOR": "true"}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"

    def make_file(self, block: Block) -> Path:
        home = f"{self.hermes.home}/"
        file = self.folder / block.file.replace("~/.hermes/", home)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.body, encoding="utf-8")
        return file

    def type(self, commands: str, *, leave_out: tuple[str, ...] = ELSEWHERE) -> Ran:
        """In bash, as they stand, but for lines that begin so; ends with the first that fails."""
        lines = [line for line in commands.splitlines(keepends=True) if not line.startswith(leave_out or "\n")]
        return self._run(["bash", "-euo", "pipefail", "-c", SHELL_FUNCTIONS + "".join(lines)])

    def run_python(self, *arguments: str) -> Ran:
        return self._run(["python", *arguments])

    def _run(self, command: list[str]) -> Ran:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.hermes.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def plugins(self) -> dict[str, dict[str, object]]:
        listed = self.hermes("plugins", "list", "--json")
        assert listed.code == 0, listed
        return {plugin["name"]: plugin for plugin in json.loads(listed.out)}


@pytest.fixture
def reader(tmp_path: Path, model_server: ModelServer) -> Reader:
    subprocess.run(["git", "init", "-q", str(tmp_path / "workspace")], check=True)
    return Reader(tmp_path, model_server)


def make_environment(reader: Reader, folder: Path) -> None:
    """A throw-away environment that also sees what is installed here; what the reader installs goes into it.

    The index of packages is not asked where uv has the build backend in its cache, as it has after `make setup`.
    """
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    command = folder / "bin" / "hermes"
    command.write_text(f"#!{python}\nfrom hermes.cli.main import main\nmain()\n")
    command.chmod(0o755)
    environ = reader.hermes.environ
    environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{environ['PATH']}"
    environ["VIRTUAL_ENV"] = str(folder)
    kept = ("UV_", "PIP_", "SSL_", "XDG_CONFIG_")
    environ |= {name: value for name, value in os.environ.items() if name.startswith(kept)}
    environ["UV_CACHE_DIR"] = subprocess.check_output([uv, "cache", "dir"], text=True).strip()
    environ["XDG_CONFIG_HOME"] = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def test_contributing_can_be_followed_word_for_word(reader: Reader, tmp_path: Path) -> None:
    make_environment(reader, tmp_path / "environment")
    page = blocks(ROOT / "CONTRIBUTING.md", "## A plugin in ten minutes", "### A plugin of this repository")
    files = [block for block in page if block.file]
    assert len(files) == 6
    for block in files:
        reader.make_file(block)
    (commands,) = [block for block in page if block.language == "sh"]
    (printed,) = [block for block in page if block.language == "text"]

    assert not reader.hermes.home.exists()
    ran = reader.type(f"export UV_OFFLINE=1 PIP_NO_INDEX=1\n{commands.body}", leave_out=())
    if "may only be read from the cache" in ran.err:
        ran = reader.type(commands.body, leave_out=())

    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    assert re.search(r"^\d+ passed", ran.out, re.MULTILINE), ran.out
    assert 'provides: {"tools": ["roll_dice"]}' in ran.out
    assert all(line in f"{ran.err}\n{ran.out}".splitlines() for line in printed.body.splitlines()), ran
    found = json.loads(reader.type("hermes sessions search There they lie --json").out)
    (session,) = {hit["session_id"] for hit in found}
    messages = json.loads(reader.type(f"hermes sessions show {session} --json").out)["messages"]
    (result,) = [message["parts"][0] for message in messages if message["role"] == "tool"]
    assert result["content"] == [{"type": "text", "text": "5, 19"}]

    where = reader.run_python("-c", "import hermes_plugin_dice; print(hermes_plugin_dice.__file__)")
    assert where.out.startswith(str(tmp_path / "environment")), "the installed wheel is what was tried"
    checked = reader.type("hermes plugins check hermes-plugin-dice --no-tests")
    assert [line[:13].split() for line in checked.out.splitlines() if line[0] in "✗!"] == [["✗", "readme"]], checked


def test_a_plugin_of_this_repository_looks_like_the_others() -> None:
    (_, lines) = [block for block in blocks(ROOT / "CONTRIBUTING.md") if block.language == "toml"]
    for manifest in ROOT.glob("plugins/*/*/pyproject.toml"):
        project = tomllib.loads(manifest.read_text())
        name = manifest.parent.name
        assert project["project"]["name"] == f"hermes-plugin-{name}"
        assert project["project"]["entry-points"]["hermes.plugins"] == {name: f"hermes_plugin_{name.replace('-', '_')}"}
        assert tomllib.loads(lines.body)["tool"]["uv"]["sources"].items() <= project["tool"]["uv"]["sources"].items()


@pytest.mark.parametrize(
    "page",
    [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), DOCS / "plugins.md"],
    ids=lambda page: page.name,
)
def test_drop_ins_work(page: Path, reader: Reader) -> None:
    named = [block for block in blocks(page) if block.file.startswith("~/.hermes/plugins/")]
    assert named
    for block in named:
        reader.make_file(block)
    plugins = reader.plugins()
    for block in named:
        name = Path(block.file).stem.replace("_", "-")
        assert (plugins[name]["state"], plugins[name]["problem"]) == ("enabled", ""), plugins[name]
        found = plugins[name]
        assert found["hooks"] or found["provides"], f"{block.file} does nothing"


@pytest.mark.parametrize(("page", "block"), of_language([*WRITTEN, *SKILLS], "python"))
def test_python_runs(page: Path, block: Block, reader: Reader) -> None:
    """A test passes, a program runs to its end, and all else is a plugin that can be used."""
    if block.file.startswith("test_"):
        ran = reader.run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(reader.make_file(block)))
        assert ran.code == 0, ran.out
    elif "asyncio.run(" in block.body:
        assert reader.run_python(str(reader.make_file(block._replace(file="program.py")))) == Ran(0, "OK", "")
    elif not block.file:
        reader.make_file(block._replace(file="~/.hermes/plugins/block.py"))
        name = (header_of(block.body) or {}).get("name", "block")
        assert reader.plugins()[name]["state"] == "enabled"
    else:
        compile(block.body, block.file, "exec")


@pytest.mark.parametrize(("page", "block"), of_language([*WRITTEN, *SKILLS], "yaml"))
def test_yaml_is_what_the_page_says(page: Path, block: Block, reader: Reader) -> None:
    """A manifest, a cassette, or settings."""
    tree = yaml.safe_load(block.body)
    if isinstance(tree, list):
        from hermes_plugin_replay.cassette import load_cassette

        assert load_cassette(reader.make_file(block))
    elif "name" in tree:
        assert parse_manifest(tree, str(page)).name == tree["name"]
    else:
        reader.make_file(block._replace(file="~/.hermes/config.yaml"))
        checked = reader.hermes("config", "check")
        assert checked.code == 0, checked.err


@pytest.mark.parametrize(
    "page", [path for path in [*WRITTEN, *SKILLS] if any(block.language == "sh" for block in blocks(path))],
    ids=lambda page: page.name,
)  # fmt: skip
def test_commands_run(page: Path, reader: Reader) -> None:
    """All of a page's commands one block after the other, with the files that the page names."""
    for block in blocks(page, "## A drop-in" if page.name == "CONTRIBUTING.md" else ""):
        if block.language == "sh":
            ran = reader.type(block.body)
            assert ran.code == 0, f"{block.body}\n{ran.out}\n{ran.err}"
        elif block.file and not block.file.endswith(("clock.py", "count_calls.py")):
            reader.make_file(block)


def test_what_pages_call_is_there() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for page in [*WRITTEN, *READMES]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?m)(?:^|`)make ([a-z-]+)", text):
            assert target in targets, f"{page.name}: make {target}"
        for path in re.findall(r"`((?:\.ci|kernel|plugins|testkit|tests|docs|benchmarks)/[\w./-]+)`", text):
            known = path == TO_BE_MADE or (ROOT / path).exists() or (page.parent / path).exists()
            assert known, f"{page.name}: {path}"


def test_settings_named_in_pages_are_settings() -> None:
    reference = (DOCS / "reference" / "config.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"(?m)^## `(\w+)`$", reference))
    for page in WRITTEN:
        for name in re.findall(r"`(\w+\.[\w.]+\w)`", page.read_text(encoding="utf-8")):
            if name.partition(".")[0] in sections and not name.endswith((".py", ".md", ".yaml", ".log")):
                assert f"`{name}`" in reference or f"`{name}." in reference, f"{page.name}: {name}"


def test_reference_pages_are_those_of_the_code() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def hooks() -> list[str]:
    return [name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")]


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    page = (DOCS / "reference" / "hooks.md").read_text(encoding="utf-8")
    section = re.search(rf"(?ms)^## `{hook}`\n(.*?)^#", page)
    assert section, "the hook has no section"
    assert re.search(r"(?m)^- on failure: \w", section[1])
    for argument, parameter in inspect.signature(getattr(hookspecs, hook)).parameters.items():
        assert re.search(rf"(?m)^- `{argument}`: \S", section[1]), f"{hook} does not tell of {argument}"
        for name in re.findall(r"\w+", str(parameter.annotation)):
            assert name in ("str", "Event") or f"\n## `{name}`\n" in page, f"{name} is not described"


def test_exit_codes_are_those_of_the_code() -> None:
    told = set(re.findall(r"(?m)^\| (\d+) \| \w", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert told == {str(code) for code in EXIT_OF_OUTCOME.values()} | {"2", "4"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
    ):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(file), f"{target}: there is no such heading"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decisions_say_what_why_and_what_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.+)$", text) == ["What", "Why", "Rejected"]
    assert f"]({page.name})" in (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"(?m)^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text)
    assert versions[0] == ("Unreleased", "")
    assert __version__ in [version for version, day in versions if day]


def recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_demo", DOCS / "record_demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["record_demo"] = module
    spec.loader.exec_module(module)
    return module


def test_the_picture_shows_what_the_demo_prints(tmp_path: Path) -> None:
    record_demo = recorder()
    command = [sys.executable, "-m", "hermes.cli.main", "demo", "--folder", str(tmp_path / "hermes" / ".demo")]
    text = record_demo.record(command, tmp_path, cwd=tmp_path)
    lines = [*record_demo.parse("$ "), *record_demo.parse("make demo"), *record_demo.parse(text)]
    drawn = texts_of(record_demo.draw(lines, "demo"))
    assert drawn == texts_of((DOCS / "demo.svg").read_text(encoding="utf-8")), "draw it: python docs/record_demo.py"


def texts_of(svg: str) -> list[str]:
    """What can be read, but for what differs from run to run: ids, and which of two tools at once ends first."""
    found = [html.unescape(text) for text in re.findall(r">([^<]*)</text>", svg)]
    texts = [re.sub(r"\d{8}_\d{6}_[0-9a-f]{6}", "ID", text).replace(os.uname().sysname, "Linux") for text in found]
    return sorted(texts)
