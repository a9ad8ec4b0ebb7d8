"""What plugins declare is read without importing them here, and known at once when it changes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hermes import PluginError
from hermes.config.home import Home
from hermes.plugins.index import Index, build_index, load_index
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.manifest import header_of, parse_manifest

TOOL = '''
# /// hermes
# name: dice
# description: Rolls dice.
# ///
from hermes import tool, hookimpl

print("noise from an import")

@tool(risk="read", effects="none")
def roll(sides: int = 6) -> int:
    """Rolls a die."""
    return 4

@hookimpl
def on_session_start(session):
    pass
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = Home(tmp_path / "home")
    home.plugins.mkdir(parents=True)
    return home


def dropped(home: Home, **kwargs: str) -> dict[str, IndexedPlugin]:
    """The plugins of the home, by name."""
    return {plugin.name: plugin for plugin in load_index(home, **kwargs).plugins if plugin.source != "installed"}


def test_a_single_file_is_a_plugin_with_its_tools_and_hooks(home: Home) -> None:
    (home.plugins / "dice.py").write_text(TOOL)
    plugin = dropped(home)["dice"]
    assert plugin.manifest.description == "Rolls dice."
    assert plugin.manifest.hooks == ["on_session_start"]
    assert plugin.tools["roll"].description == "Rolls a die."
    assert plugin.tools["roll"].parameters["properties"] == {"sides": {"type": "integer", "default": 6}}
    assert not [name for name in sys.modules if name.startswith("hermes_plugin_dice")]


def test_a_file_without_a_header_is_named_after_itself(home: Home) -> None:
    (home.plugins / "my_dice.py").write_text(TOOL.partition("# ///\n")[2])
    assert set(dropped(home)) == {"my-dice"}


def test_a_folder_with_a_manifest_is_a_plugin(home: Home) -> None:
    folder = home.plugins / "dice"
    folder.mkdir()
    (folder / "plugin.yaml").write_text("name: dice\nprovides:\n  tools: [hermes_plugin_dice]\n")
    (folder / "__init__.py").write_text(TOOL)
    assert "roll" in dropped(home)["dice"].tools


def test_a_provider_is_one_yaml_file(home: Home) -> None:
    text = "name: house\nprovides:\n  providers:\n    house: {transport: chat_completions, base_url: 'https://x/v1'}\n"
    (home.plugins / "house.yaml").write_text(text)
    assert dropped(home)["house"].manifest.providers["house"].transport == "chat_completions"


def test_data_has_no_hooks(home: Home) -> None:
    (home.plugins / "sly.yaml").write_text("name: sly\nhooks: [pre_tool_call]\n")
    assert "only data" in dropped(home)["sly"].problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import nonexistent_module", "No module named 'nonexistent_module'"),
        ("raise ValueError('broken')", "ValueError: broken"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "ended the process with code 7"),
        ("def (", "SyntaxError"),
        ("# /// hermes\n# name: [\n# ///\n", "not YAML"),
        ("# /// hermes\n# colour: red\n# ///\n", "colour"),
        ("# /// hermes\n# name: dice\n# api: 99\n# ///\n", "newer Hermes"),
    ],
)
def test_a_broken_plugin_is_in_the_index_with_what_is_wrong(home: Home, text: str, problem: str) -> None:
    (home.plugins / "dice.py").write_text(text)
    plugin = dropped(home)["dice"]
    assert problem in plugin.problem
    assert plugin.hint


def test_a_plugin_that_hangs_while_it_is_imported_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hermes.plugins.capturing.SECONDS", 1.0)
    (home.plugins / "slow.py").write_text("import time; time.sleep(60)")
    assert "still importing" in dropped(home)["slow"].problem


def test_a_broken_plugin_whose_text_names_a_guards_hook_counts_as_a_guard(home: Home) -> None:
    (home.plugins / "wall.py").write_text("import nonexistent_module\ndef pre_tool_call(call): pass\n")
    assert dropped(home)["wall"].manifest.is_guard


def test_two_plugins_of_one_name_are_both_named_and_neither_is_used(home: Home) -> None:
    (home.plugins / "dice.py").write_text(TOOL)
    (home.plugins / "dice.yaml").write_text("name: dice\n")
    plugin = dropped(home)["dice"]
    assert "dice.py" in plugin.problem
    assert "dice.yaml" in plugin.problem
    assert not plugin.tools


def test_the_index_is_read_from_its_cache_while_nothing_changed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.plugins / "dice.py").write_text(TOOL)
    first = load_index(home)

    def no_build(*args: object, **options: object) -> Index:
        raise AssertionError("built again")

    monkeypatch.setattr("hermes.plugins.index.build_index", no_build)
    assert load_index(home) == first


def test_an_edit_a_new_file_and_a_new_setting_are_seen_at_once(home: Home) -> None:
    file = home.plugins / "dice.py"
    file.write_text(TOOL)
    assert set(dropped(home)["dice"].tools) == {"roll"}
    file.write_text(TOOL.replace("def roll", "def throw"))
    assert set(dropped(home)["dice"].tools) == {"throw"}
    (home.plugins / "house.yaml").write_text("name: house\n")
    assert set(dropped(home)) == {"dice", "house"}
    home.config_file.write_text("plugins: {disabled: [house]}\n")
    assert not dropped(home)["house"].enabled
    file.unlink()
    assert set(dropped(home)) == {"house"}


def test_a_corrupt_cache_is_built_anew(home: Home) -> None:
    (home.plugins / "dice.py").write_text(TOOL)
    load_index(home)
    (cache,) = home.cache.glob("index-*.json")
    cache.write_bytes(b"{")
    assert "dice" in dropped(home)


def test_a_cache_that_cannot_be_written_costs_only_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.plugins / "house.yaml").write_text("name: house\n")
    blocked = home.path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert "house" in dropped(home)


def test_a_projects_plugins_are_used_only_once_it_is_trusted(home: Home, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".hermes" / "plugins").mkdir(parents=True)
    (project / ".hermes" / "plugins" / "house.yaml").write_text("name: house\n")
    assert not dropped(home, workspace=str(project))
    home.config_file.write_text(f"security: {{trusted_projects: ['{project}']}}\n")
    assert dropped(home, workspace=str(project))["house"].source == "project"


def test_a_project_cannot_trust_others_or_loosen_security(home: Home, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".hermes").mkdir(parents=True)
    home.config_file.write_text(f"security: {{trusted_projects: ['{project}']}}\n")
    (project / ".hermes" / "config.yaml").write_text("security: {redact_secrets: false}\nagent: {max_turns: 3}\n")
    settings = build_index(home, "key", str(project)).settings
    assert settings["agent"] == {"max_turns": 3}
    assert "redact_secrets" not in settings["security"]


def test_the_installed_plugins_are_all_sound(home: Home) -> None:
    installed = [plugin for plugin in load_index(home).plugins if plugin.source == "installed"]
    assert not [f"{plugin.name}: {plugin.problem}" for plugin in installed if plugin.problem]


def test_a_header_has_to_be_closed_and_is_yaml() -> None:
    assert header_of("# /// hermes\n# name: a\n") is None
    assert header_of("x = 1\n# /// hermes\n# name: a\n#\n# api: 1\n# ///\n") == {"name": "a", "api": 1}


@pytest.mark.parametrize("tree", [None, [], {}, {"name": "Bad Name"}, {"name": "a", "provides": {"providers": [1]}}])
def test_what_is_no_manifest_is_refused(tree: object) -> None:
    with pytest.raises(PluginError):
        parse_manifest(tree, "plugin.yaml")


def test_links_to_nowhere_do_no_harm(home: Home) -> None:
    os.symlink(home.path / "nowhere.py", home.plugins / "dangling.py")
    assert dropped(home)["dangling"].problem


def test_a_plugin_sees_no_secret_while_its_tools_are_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "very-secret")
    file = home.plugins / "thief.py"
    file.write_text("import os\nraise ValueError(os.environ.get('SOME_API_KEY', 'nothing'))\n")
    assert "ValueError: nothing" in dropped(home)["thief"].problem
