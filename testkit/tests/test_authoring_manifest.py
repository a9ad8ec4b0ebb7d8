"""``hermes plugins manifest``: what a manifest says is compared with what the code does, and mended in place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hermes import PluginError
from hermes_testkit.authoring.edit import set_header_values, set_values
from hermes_testkit.command import Hermes

MANIFEST = """\
# The plugin of the house.
name: house
api: 1
description: "Does this and that."   # said to people
provides:
  memory: [house]
  tools:
    - hermes_plugin_house.tools    # the tools
  commands:
    house: {help: "Do it.", target: "hermes_plugin_house.commands:house"}
hooks: [pre_tool_call]  # a guard
contracts: {rooms: "hermes_plugin_house.rooms:Rooms"}
"""
CODE = {
    "plugin.yaml": MANIFEST,
    "__init__.py": """\
from hermes import PluginContext, Provision, hookimpl

@hookimpl
def pre_tool_call(call):
    return None

@hookimpl
async def provide(ctx: PluginContext):
    name = (await ctx.config()).get("name", "house")
    return [Provision("memory", name, object)]
""",
    "tools.py": '''\
from hermes import tool

@tool(risk="read", effects="none")
def open_door(number: int) -> str:
    """Open a door."""
    return "open"
''',
    "commands.py": "import click\n\n@click.command()\ndef house():\n    pass\n",
    "rooms.py": "from typing import Protocol\n\nclass Rooms(Protocol):\n    pass\n",
}


@pytest.fixture
def house(hermes: Hermes) -> Path:
    """A folder with a plugin.yaml that says what the code does."""
    folder = hermes.workspace / "house"
    folder.mkdir()
    for name, text in CODE.items():
        (folder / name).write_text(text)
    return folder


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_true_manifest_is_left_alone(hermes: Hermes, house: Path) -> None:
    ran = hermes("plugins", "manifest", str(house), "--write")
    assert (ran.code, ran.out) == (0, "")
    assert "says what the code does" in ran.err
    assert (house / "plugin.yaml").read_text() == MANIFEST


@pytest.mark.parametrize(
    ("file", "old", "new", "told", "line"),
    [
        (
            "__init__.py",
            "def pre_tool_call(call)",
            "def on_message(message)",
            "hooks: on_message is implemented and not listed; pre_tool_call is listed and not implemented",
            "hooks: [on_message]  # a guard",
        ),
        (
            "__init__.py",
            "@hookimpl\ndef pre_tool_call",
            "@hookimpl\ndef on_event(event):\n    pass\n\n@hookimpl\ndef pre_tool_call",
            "hooks: on_event is implemented and not listed",
            "hooks: [pre_tool_call, on_event]  # a guard",
        ),
        (
            "__init__.py",
            '"memory", name',
            '"memory", "cottage"',
            "provides.memory: the manifest has ['house'], provide() gives ['cottage']",
            "  memory: [cottage]",
        ),
        (
            "plugin.yaml",
            "    - hermes_plugin_house.tools    # the tools\n",
            "    []\n",
            "provides.tools: hermes_plugin_house.tools has tools and is not listed",
            "    [hermes_plugin_house.tools]",
        ),
    ],
)
def test_a_difference_is_told_shown_and_mended(
    hermes: Hermes, house: Path, file: str, old: str, new: str, told: str, line: str
) -> None:
    change(house / file, old, new)
    before = (house / "plugin.yaml").read_text()

    ran = hermes("plugins", "manifest", str(house))
    assert ran.code == 1
    assert told in ran.err.splitlines()
    assert f"+{line}" in ran.out.splitlines()
    assert (house / "plugin.yaml").read_text() == before

    assert hermes("plugins", "manifest", str(house), "--write").code == 0
    after = (house / "plugin.yaml").read_text()
    assert line in after.splitlines()
    kept = [each for each in before.splitlines() if not each.strip().startswith(("hooks:", "memory:", "[]"))]
    assert [each for each in after.splitlines() if each in kept] == kept
    assert hermes("plugins", "manifest", str(house)).code == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("commands.py", "def house", "def cottage", "provides.commands.house: hermes_plugin_house.commands:house"),
        ("rooms.py", "class Rooms", "class Halls", "contracts.rooms: hermes_plugin_house.rooms:Rooms"),
        ("tools.py", "from hermes", "from nowhere", "provides.tools: hermes_plugin_house.tools: ModuleNotFoundError"),
        ("__init__.py", "object)]", "object), 7]", "provide(): PluginError: it gave 7, which is no Provision"),
    ],
)
def test_wrong_code_is_told_and_not_written_about(
    hermes: Hermes, house: Path, file: str, old: str, new: str, told: str
) -> None:
    change(house / file, old, new)
    ran = hermes("plugins", "manifest", str(house), "--write")
    assert ran.code == 1
    assert told in ran.err
    assert (house / "plugin.yaml").read_text() == MANIFEST


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nowhere_at_all\n", "hermes_plugin_house cannot be imported: ModuleNotFoundError"),
        ("import os\nos._exit(7)\n", "importing hermes_plugin_house ended the process with 7"),
        ("raise SystemExit('no')\n", "hermes_plugin_house cannot be imported: SystemExit: no"),
    ],
)
def test_a_plugin_that_cannot_be_imported(hermes: Hermes, house: Path, code: str, told: str) -> None:
    (house / "__init__.py").write_text(code)
    ran = hermes("plugins", "manifest", str(house))
    assert (ran.code, ran.out) == (1, "")
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_what_a_plugin_prints_is_no_part_of_the_answer(hermes: Hermes, house: Path) -> None:
    (house / "__init__.py").write_text(f"import os\nprint('{{}}')\nos.write(1, b'{{}}')\n{CODE['__init__.py']}")
    assert hermes("plugins", "manifest", str(house)).code == 0


def test_schemas_are_written_and_kept_true(hermes: Hermes, house: Path) -> None:
    """With them in the manifest, no code is run to list the tools."""
    ran = hermes("plugins", "manifest", str(house), "--schemas", "--write")
    assert ran.code == 0, ran.err
    entry = yaml.safe_load((house / "plugin.yaml").read_text())["provides"]["tools"]["open_door"]
    assert entry["parameters"]["properties"] == {"number": {"type": "integer"}}
    assert entry["target"] == "hermes_plugin_house.tools:open_door"
    assert hermes("plugins", "manifest", str(house)).code == 0

    change(house / "tools.py", "number: int", "number: str")
    ran = hermes("plugins", "manifest", str(house), "--write")
    assert "provides.tools: open_door is not as in the code" in ran.err
    entry = yaml.safe_load((house / "plugin.yaml").read_text())["provides"]["tools"]["open_door"]
    assert entry["parameters"]["properties"] == {"number": {"type": "string"}}


def test_a_plugin_with_its_schemas_works(hermes: Hermes, house: Path) -> None:
    assert hermes("plugins", "manifest", str(house), "--schemas", "--write").code == 0
    (hermes.home / "plugins").mkdir(exist_ok=True)
    house.rename(hermes.home / "plugins" / "house")
    ran = hermes("plugins", "info", "house")
    assert 'provides: {"memory": ["house"], "commands": ["house"], "tools": ["open_door"]}' in ran.out, ran


SINGLE = """\
# /// hermes
# name: bell
# description: Rings.   # often
# provides:
#   service: [bell]
# ///
from hermes import Provision, hookimpl

@hookimpl
def provide():
    return [Provision("service", "gong", object)]

@hookimpl
def on_event(event):
    pass
"""


def test_a_single_file_has_its_header_mended(hermes: Hermes) -> None:
    """Its hooks are found when it is indexed: they need not be listed."""
    file = hermes.workspace / "bell.py"
    file.write_text(SINGLE)
    assert hermes("plugins", "manifest", str(file), "--write").code == 0
    assert file.read_text() == SINGLE.replace("[bell]", "[gong]")


def test_a_single_file_without_a_header_is_given_one(hermes: Hermes) -> None:
    file = hermes.workspace / "bell.py"
    file.write_text(SINGLE[SINGLE.index("from hermes") :])
    assert hermes("plugins", "manifest", str(file), "--write").code == 0
    assert file.read_text().startswith("# /// hermes\n# name: bell\n# provides: {service: [gong]}\n# ///\nfrom hermes")
    assert hermes("plugins", "manifest", str(file)).code == 0


@pytest.mark.parametrize("path", ["nothing", "empty", "text.txt"])
def test_a_path_that_is_no_plugin(hermes: Hermes, path: str) -> None:
    (hermes.workspace / "empty").mkdir()
    (hermes.workspace / "text.txt").write_text("name: x")
    ran = hermes("plugins", "manifest", path)
    assert ran.code == 2
    assert "is no plugin" in ran.err


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("a: 1\n", ("hooks",), ["x"], "a: 1\nhooks: [x]\n"),
        ("a: 1", ("hooks",), ["x"], "a: 1\nhooks: [x]\n"),
        ("a: 1 # one\n# end\n", ("b", "c"), ["x"], "a: 1 # one\nb: {c: [x]}\n# end\n"),
        ("p:\n  a: 1\n\n  # why\n  b: 2\nz: 1\n", ("p", "c"), ["w"], "p:\n  a: 1\n\n  # why\n  b: 2\n  c: [w]\nz: 1\n"),
        ("p: {a: [x]}  # flow\n", ("p", "a"), ["y"], "p: {a: [y]}  # flow\n"),
        ("h:\n- a # one\n- b # two\n- c\nz: 1\n", ("h",), ["a", "c", "d"], "h:\n- a # one\n- c\n- d\nz: 1\n"),
        ("h:\n  - a\n  # why\n  - b\n", ("h",), ["c"], "h: [c]\n"),
        ("h:\nz: 1\n", ("h",), ["c"], "h: [c]\nz: 1\n"),
        ("h: []  # none\n", ("h",), ["ü"], "h: [ü]  # none\n"),
    ],
)  # fmt: skip
def test_a_value_is_changed_in_its_place(text: str, path: tuple[str, ...], value: list[str], expected: str) -> None:
    assert set_values(text, {path: value}) == expected


def test_what_cannot_be_changed_in_place_is_refused() -> None:
    with pytest.raises(PluginError, match="is no mapping"):
        set_values("provides: 7\n", {("provides", "memory"): ["x"]})
    with pytest.raises(PluginError, match="in place"):
        set_values("a: &x [1]\nb: *x\n", {("a",): ["y"]})
    with pytest.raises(PluginError, match="no `# /// hermes` block"):
        set_header_values("import os\n", {("hooks",): ["x"]})
