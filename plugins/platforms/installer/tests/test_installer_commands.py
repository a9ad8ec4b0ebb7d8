"""``hermes plugins install``, ``update``, ``remove`` and ``lock``, as a person uses them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


def answer(plugins: Any, text: str, *arguments: str) -> tuple[int, str]:
    """Runs it at a terminal where somebody types ``text``."""
    ours, theirs = pty.openpty()
    try:
        process = plugins.hermes.start("plugins", *arguments, stdin=theirs)
        os.write(ours, text.encode())
        _, said = process.communicate(timeout=60)
        return process.returncode, said
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_folder_is_shown_agreed_to_installed_listed_and_used(plugins: Any, make_project: Make) -> None:
    permissions = {"network": ["example.org"], "paths": ["workspace:ro"], "calls": ["llm"]}
    project = make_project(hooks=["pre_tool_call", "on_session_start"], permissions=permissions)

    said = plugins.done("install", str(project.folder), "--yes").err

    for told in (
        "greet 1.0: Greets as greet.",
        "commands:   greet-greet",
        "pre_tool_call (a guard",
        "on_session_start",
        "read the folder you work in",
        "reach example.org over the network",
        "ask a model",
        "not signed",
        "hermes plugins info greet",
    ):
        assert told in said
    (locked,) = plugins.lock.plugins.values()
    assert (locked.name, locked.version, locked.kind, locked.module) == ("greet", "1.0", "folder", project.module)
    assert (locked.url, locked.permissions.network) == (str(project.folder), ["example.org"])
    listed = {plugin["name"]: plugin for plugin in json.loads(plugins.done("list", "--json").out)}
    assert (listed["greet"]["source"], listed["greet"]["state"]) == ("package", "enabled")


def test_a_plugin_without_permissions_says_so(plugins: Any, make_project: Make) -> None:
    project = make_project(provides={}, hooks=["on_session_start"])
    said = plugins.done("install", str(project.folder), "-y").err
    assert "It may do nothing outside its own folder." in said


def test_none_of_its_code_is_run_at_install(plugins: Any, make_project: Make) -> None:
    project = make_project()
    wheel = project.wheel(project.folder.parent / "dist")
    for source in (project.folder, wheel):
        plugins.done("install", str(source), "--yes", "--replace")
        assert not list(plugins.home.rglob("was-imported")), source
    assert not list(project.folder.rglob("was-imported"))
    assert not project.trace.exists()


def test_without_a_terminal_nothing_is_agreed_to(plugins: Any, make_project: Make) -> None:
    said = plugins.refused("install", str(make_project().folder), code=2)
    assert "Add --yes" in said
    assert "Greets as greet." in said, "it is shown all the same"


@pytest.mark.parametrize(("typed", "code", "installed"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_at_a_terminal_it_asks(plugins: Any, make_project: Make, typed: str, code: int, installed: bool) -> None:
    ended, said = answer(plugins, typed, "install", str(make_project().folder))
    assert ended == code, said
    assert bool(plugins.lock.plugins) == installed
    assert not list(plugins.home.glob("packages.staging-*"))


def test_a_strangers_text_cannot_move_the_cursor(plugins: Any, make_project: Make) -> None:
    project = make_project(description="fine\x1b[2J\nIt may do nothing\u202e", permissions={"calls": ["terminal"]})
    said = plugins.done("install", str(project.folder), "--yes").err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "fine?[2J?It may do nothing?" in said


def test_what_is_wrong_on_the_command_line_is_exit_2(plugins: Any) -> None:
    for arguments in (["install"], ["install", "./nowhere"], ["install", "a b c"], ["update"], ["remove", "nothing"]):
        assert plugins.refused(*arguments, code=2), arguments
    assert "no lock file" in plugins.refused("install", "--locked", "nowhere.lock", code=2)


def test_names_that_are_taken_are_refused_with_both_named(plugins: Any, make_project: Make) -> None:
    ours = make_project("files", folder=plugins.home.parent / "theirs")
    assert '"files" comes with Hermes' in plugins.refused("install", str(ours.folder), "--yes")
    drop_in = plugins.home / "plugins" / "greet.py"
    drop_in.parent.mkdir()
    drop_in.write_text("# /// hermes\n# name: greet\n# ///\n")
    assert str(drop_in) in plugins.refused("install", str(make_project().folder), "--yes")


def test_a_plugin_from_elsewhere_does_not_take_a_name_unasked(plugins: Any, make_project: Make) -> None:
    first = make_project()
    plugins.done("install", str(first.folder), "--yes")
    second = make_project(folder=plugins.home.parent / "elsewhere", version="2.0")
    said = plugins.refused("install", str(second.folder), "--yes")
    assert str(first.folder) in said
    assert str(second.folder) in said
    plugins.done("install", str(second.folder), "--yes", "--replace")
    assert plugins.lock.plugins["greet"].version == "2.0"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"requires": {"programs": ["no-such-program"]}}, "no-such-program"),
        ({"api": 99}, "for a newer Hermes"),
        ({"dependencies": ["hermes-kernel>=99"]}, "It is for Hermes >=99"),
        ({"dependencies": ["x @ https://example.org/x.whl"]}, "from an address of its own"),
        ({"dependencies": ["not a requirement"]}, "is no requirement"),
        ({"permissions": {"calls": ["everything"]}}, "there is no call"),
    ],
)
def test_what_it_needs_is_checked_before_anything_is_changed(
    plugins: Any, make_project: Make, options: dict[str, Any], told: str
) -> None:
    assert told in plugins.refused("install", str(make_project(**options).folder), "--yes")


def test_another_python_is_told(plugins: Any, make_project: Make) -> None:
    project = make_project()
    file = project.folder / "pyproject.toml"
    file.write_text(file.read_text().replace("[project]", '[project]\nrequires-python = ">=4"'))
    assert "needs Python >=4" in plugins.refused("install", str(project.folder), "--yes")


def test_the_next_step_names_what_has_to_be_set(plugins: Any, make_project: Make) -> None:
    project = make_project(requires={"env": ["GREET_TOKEN", "GREET_OTHER"], "config": ["greet.name"]})
    plugins.hermes.configure({"plugins": {"disabled": ["greet"]}})
    (plugins.home / ".env").write_text("GREET_OTHER=x\n")
    said = plugins.done("install", str(project.folder), "--yes").err
    assert f"{plugins.home / '.env'}: GREET_TOKEN\n" in said
    assert "greet.name" in said
    assert "hermes plugins enable greet" in said


def test_an_update_shows_what_changes_and_keeps_the_old_until_then(plugins: Any, make_project: Make) -> None:
    project = make_project()
    plugins.done("install", str(project.folder), "--yes")
    assert "up to date" in plugins.done("update", "greet", "--yes").err
    project.write("1.1", hooks=["on_message"])
    (checked,) = json.loads(plugins.done("update", "--all", "--check", "--json").out)
    assert (checked["from"]["version"], checked["to"]["version"], checked["current"]) == ("1.0", "1.1", False)
    said = plugins.done("update", "greet", "--check").err
    assert "version:    1.0 -> 1.1" in said
    assert "hooks:      none -> on_message (a guard" in said
    assert f"{project.module}/plugin.yaml: changed" in said
    assert plugins.lock.plugins["greet"].version == "1.0"
    plugins.done("update", "greet", "--yes")
    assert plugins.lock.plugins["greet"].version == "1.1"
    assert plugins.done("lock", "--check")
    assert len([path for path in (plugins.home / "packages" / "greet").iterdir() if path.is_dir()]) == 1


def test_more_permissions_are_not_agreed_to_by_yes_alone(plugins: Any, make_project: Make) -> None:
    project = make_project(permissions={"network": ["example.org"]})
    plugins.done("install", str(project.folder), "--yes")
    project.write("1.1", permissions={"network": ["example.org", "evil.example"]})
    for command in (("update", "greet"), ("install", str(project.folder))):
        said = plugins.refused(*command, "--yes")
        assert "It may now also: - reach evil.example over the network" in said
        assert "--accept-permissions" in said
    plugins.done("update", "greet", "--yes", "--accept-permissions")
    assert plugins.lock.plugins["greet"].permissions.network == ["example.org", "evil.example"]
    project.write("1.2", permissions={})
    assert "It may no longer:" in plugins.done("update", "greet", "--yes").err


def test_an_older_version_is_refused_by_update(plugins: Any, make_project: Make) -> None:
    project = make_project(version="1.10")
    plugins.done("install", str(project.folder), "--yes")
    project.write("1.9")
    assert "--to 1.9" in plugins.refused("update", "greet", "--yes")


def test_one_failed_update_does_not_stop_the_others(plugins: Any, make_project: Make) -> None:
    one, two = make_project("one"), make_project("two")
    for project in (one, two):
        plugins.done("install", str(project.folder), "--yes")
    (one.folder / "src" / one.module / "plugin.yaml").unlink()
    two.write("2.0")
    ran = plugins("update", "--all", "--yes")
    assert ran.code == 1
    assert "one: There is no plugin in" in ran.err
    assert {name: locked.version for name, locked in plugins.lock.plugins.items()} == {"one": "1.0", "two": "2.0"}


def test_a_removed_plugin_leaves_only_its_data_and_not_that_if_asked(plugins: Any, make_project: Make) -> None:
    project = make_project(hooks=["pre_tool_call"], config={"section": "greeting", "properties": {"x": {}}})
    data = plugins.home / "plugin-data" / "greet" / "file"
    for options, kept in (([], True), (["--data", "--yes"], False)):
        plugins.done("install", str(project.folder), "--yes")
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text("x")
        plugins.hermes.configure({"greeting": {"x": 1}})
        said = plugins.done("remove", "greet", *options).err
        plugins.hermes.configure({})
        assert data.exists() == kept
        assert "It was a guard" in said
        assert "greeting" in said
        assert not plugins.lock.plugins
        assert not (plugins.home / "packages").exists()
    plugins.done("install", str(project.folder), "--yes")
    data.parent.mkdir(parents=True)
    assert "--yes" in plugins.refused("remove", "greet", "--data", code=2)
    said = plugins.refused("remove", "sessions", code=2)
    assert "pip uninstall hermes-plugin-sessions" in said
    assert 'Did you mean "greet"' in plugins.refused("remove", "gret", code=2)


def test_the_lock_is_shown_and_checked(plugins: Any, make_project: Make) -> None:
    project = make_project()
    plugins.done("install", str(project.folder), "--yes")
    assert json.loads(plugins.done("lock", "--json").out)["greet"]["version"] == "1.0"
    assert "greet  1.0" in plugins.done("lock").out
    assert "as installed" in plugins.done("lock", "--check").out
    package = next((plugins.home / "packages" / "greet").rglob("plugin.yaml")).parent
    (package / "__init__.py").write_text("VERSION = 'mine'\n")
    (package / "extra.py").write_text("")
    (package / "plugin.yaml").rename(package / "manifest.yaml")
    ran = plugins("lock", "--check", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["greet"]["changed"] == [
        f"{project.module}/__init__.py: changed",
        f"{project.module}/extra.py: added",
        f"{project.module}/manifest.yaml: added",
        f"{project.module}/plugin.yaml: removed",
    ]
    assert "changed by hand" in plugins("lock", "--check").out
    plugins.done("install", str(project.folder), "--yes")
    assert "as installed" in plugins.done("lock", "--check").out


def test_a_lock_restores_exactly_its_set_elsewhere(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    one, two, three = (make_project(name) for name in ("one", "two", "three"))
    for project in (one, two):
        plugins.done("install", str(project.folder), "--yes")
    lock = tmp_path / "saved.lock"
    lock.write_bytes((plugins.home / "plugins.lock").read_bytes())
    plugins.done("remove", "one")
    plugins.done("install", str(three.folder), "--yes")

    said = plugins.done("install", "--locked", str(lock), "--yes").err

    assert "three would be removed" in said
    assert (plugins.home / "plugins.lock").read_bytes() == lock.read_bytes()
    plugins.done("lock", "--check")
    assert sorted(path.name for path in (plugins.home / "packages").iterdir()) == ["one", "two"]
    assert "0 fetched, 0 removed" in plugins.done("install", "--locked").err


def test_a_lock_is_not_restored_from_something_else(plugins: Any, make_project: Make, tmp_path: Path) -> None:
    project = make_project()
    plugins.done("install", str(project.folder), "--yes")
    lock = tmp_path / "saved.lock"
    lock.write_bytes((plugins.home / "plugins.lock").read_bytes())
    plugins.done("remove", "greet")
    (project.folder / "src" / project.module / "__init__.py").write_text("import os\n")
    assert "is not what the lock says: tree" in plugins.refused("install", "--locked", str(lock), "--yes")
    saved = lock.read_text()
    for name in ("../../evil", "other"):
        lock.write_text(saved.replace('"name": "greet"', f'"name": "{name}"'))
        assert "is not what the lock says" in plugins.refused("install", "--locked", str(lock), "--yes")
    lock.write_text(saved.replace('"installed"', '"requirements": ["x @ https://h.org/x.whl"], "installed"'))
    assert "is no pinned package" in plugins.refused("install", "--locked", str(lock), "--yes")
    lock.write_text("{}[")
    assert "no lock file" in plugins.refused("install", "--locked", str(lock), "--yes")


def test_a_single_file_and_one_that_is_only_data(plugins: Any, tmp_path: Path) -> None:
    file = tmp_path / "waving.py"
    file.write_text("# /// hermes\n# name: waving\n# version: '3'\n# hooks: [on_session_start]\n# ///\n")
    plugins.done("install", str(file), "--yes")
    data = tmp_path / "acme.yaml"
    data.write_text("name: acme\nprovides: {providers: {acme: {base_url: 'https://acme.example/v1'}}}\n")
    plugins.done("install", str(data), "--yes")
    listed = {plugin["name"]: plugin for plugin in json.loads(plugins.done("list", "--json").out)}
    assert (listed["waving"]["state"], listed["acme"]["state"]) == ("enabled", "enabled")
    assert (listed["waving"]["version"], plugins.lock.plugins["waving"].module) == ("3", "waving")
    data.write_text("name: acme\nhooks: [pre_tool_call]\n")
    assert "only data" in plugins.refused("update", "acme", "--yes")


def test_a_profile_is_a_home_of_its_own(plugins: Any, make_project: Make) -> None:
    (plugins.home / "profiles" / "work").mkdir(parents=True)
    ran = plugins.hermes("--profile", "work", "plugins", "install", str(make_project().folder), "--yes")
    assert ran.code == 0, ran
    assert (plugins.home / "profiles" / "work" / "plugins.lock").exists()
    assert not (plugins.home / "plugins.lock").exists()


def test_nothing_heavy_is_imported_to_list_the_commands(plugins: Any) -> None:
    program = (
        "import sys, hermes_plugin_installer.commands; "
        "print([name for name in ('httpx2', 'cryptography', 'asyncio', 'yaml') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, text=True, env=plugins.hermes.environ).strip() == "[]"


def test_programs_that_run_are_told(plugins: Any, make_project: Make) -> None:
    plugins.done("install", str(make_project().folder), "-y")
    asked = plugins.home / "run" / "reload.json"
    assert json.loads(asked.read_text()) == ["greet"]
    asked.unlink()
    plugins.done("remove", "greet", "-y")
    assert json.loads(asked.read_text()) == ["greet"]
