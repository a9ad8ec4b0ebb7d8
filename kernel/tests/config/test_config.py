from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hermes import ConfigError
from hermes.config.home import Home, find_home
from hermes.config.load import (
    environment_layer,
    merge,
    parse_settings,
    project_file,
    read_yaml,
    split_sections,
    under_environment,
)
from hermes.config.secrets import ScopedSecrets, read_env_file
from hermes.config.sections import plugin_sections
from hermes.contracts.scope import Scope
from hermes.plugins.manifest import ConfigSchema


def parse(path: Path, text: str) -> object:
    path.write_text(text)
    own, _ = split_sections(read_yaml(path))
    return parse_settings(own, path)


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'config.yaml:3: there is no setting "agent.max_turn". Did you mean "max_turns"'
    ):
        parse(tmp_path / "config.yaml", "model: {provider: x}\nagent:\n  max_turn: 3\n")


def test_a_wrong_value_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:2: agent.max_turns: Expected `int`, got `str`"):
        parse(tmp_path / "config.yaml", "agent:\n  max_turns: many\n")


def test_bad_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model: {provider: x\nagent: 3\n")
    with pytest.raises(ConfigError, match=r"config.yaml:\d: not YAML"):
        read_yaml(file)


def test_a_list_at_the_top_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("- a\n")
    with pytest.raises(ConfigError, match="mapping"):
        read_yaml(file)


def test_the_environment_overrides_the_file_and_blank_counts_as_unset() -> None:
    layer = environment_layer({"HERMES_MODEL": "m", "HERMES_MAX_TURNS": "7", "HERMES_PROVIDER": " "})
    assert merge({"model": {"default": "x", "provider": "p"}}, layer) == {
        "model": {"default": "m", "provider": "p"},
        "agent": {"max_turns": 7},
    }


SCHEMA = ConfigSchema(
    section="guard",
    properties={"mode": {"type": "string", "enum": ["a", "b"], "default": "a"}, "n": {"type": "integer"}},
)


def sections(tmp_path: Path, text: str) -> dict[str, object]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    _, rest = split_sections(read_yaml(file))
    return dict(plugin_sections(rest, {}, [("g", SCHEMA)], file))


def test_a_plugins_section_has_its_defaults(tmp_path: Path) -> None:
    assert sections(tmp_path, "guard: {n: 3}\n") == {"g": {"mode": "a", "n": 3}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("guard: {mode: c}", "none of: a, b"),
        ("guard: {n: x}", "of type integer"),
        ("guard: {n: true}", "of type integer"),
        ("guard: {nn: 1}", 'no setting "guard.nn". Did you mean "n"'),
        ("guard: 3", "mapping"),
        ("gaurd: {}", 'no setting "gaurd". Did you mean "guard"'),
    ],
)
def test_a_plugins_section_is_checked(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sections(tmp_path, f"{text}\n")
    assert problem in str(caught.value)
    assert "config.yaml:1" in str(caught.value)


def test_a_projects_settings_count_only_where_the_home_trusts_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    assert project_file(str(project), {}) is None
    trusted = {"security": {"trusted_projects": [str(project)]}}
    assert project_file(str(project), trusted) == project / ".hermes" / "config.yaml"


def test_a_profile_is_a_home_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "work").mkdir(parents=True)
    environ = {"HERMES_HOME": str(tmp_path)}
    assert find_home(environ, "work").path == tmp_path / "profiles" / "work"
    assert find_home(environ).path == tmp_path
    with pytest.raises(ConfigError, match='no profile "play"'):
        find_home(environ, "play")
    with pytest.raises(ConfigError, match="no name"):
        find_home(environ, "../x")


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "home"
    file.write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        Home(file).make()


def test_an_unreadable_home_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        home = Path(name) / "home"
        home.mkdir(mode=0o000)
        assert _complaint_of_nobody(home) == 0


def _complaint_of_nobody(home: Path) -> int:
    """In a child that is not root, whom no mode keeps out."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            Home(home).make()
        except ConfigError as error:
            code = 0 if "cannot be read" in str(error) and "chmod" in error.hint else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_the_env_file_is_read_as_shells_write_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# note\nA_KEY=one\nexport B_KEY='two # three'\nC=\"x y\"\nD=z # note\n\n")
    assert read_env_file(file) == {"A_KEY": "one", "B_KEY": "two # three", "C": "x y", "D": "z"}


def test_a_bad_line_of_the_env_file_is_told_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nsk-verysecret\n")
    with pytest.raises(ConfigError, match=r"\.env:2") as caught:
        read_env_file(file)
    assert "verysecret" not in str(caught.value)


def test_a_blank_secret_hides_the_layers_behind_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A_KEY=hidden\nB_KEY=x\n")
    secrets = ScopedSecrets({"A_KEY": "", "B_KEY": "b"}, tmp_path / ".env", tmp_path / "users")
    scope = Scope(home=str(tmp_path))
    assert secrets.get("A_KEY", scope) == ("", "")
    assert secrets.get("B_KEY", scope) == ("b", "env:B_KEY")
    assert secrets.get("C_KEY", scope) is None


def test_secrets_of_a_session_and_of_a_user_stand_before_all_others(tmp_path: Path) -> None:
    (tmp_path / "users" / "telegram:7").mkdir(parents=True)
    (tmp_path / "users" / "telegram:7" / ".env").write_text("A_KEY=of-the-user\nB_KEY=\n")
    secrets = ScopedSecrets({"A_KEY": "a", "B_KEY": "b"}, tmp_path / ".env", tmp_path / "users")
    secrets.give("s1", {"A_KEY": "of-the-session"})

    def value(name: str, **scope: str) -> str | None:
        found = secrets.get(name, Scope(home=str(tmp_path), **scope))
        return found and found[0]

    assert value("A_KEY") == "a"
    assert value("A_KEY", user="telegram:7") == "of-the-user"
    assert value("B_KEY", user="telegram:7") == ""
    assert value("A_KEY", user="telegram:7", session="s1") == "of-the-session"
    assert value("A_KEY", user="../telegram:7", session="s2") == "a"


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (
            {"providers": {"a": {"carrier": "sdk"}, "b": {"carrier": "nope"}}},
            "providers.b.carrier: Invalid enum value 'nope'. It may be: http, sdk.",
        ),
        (
            {"credential_pool_strategies": {"a": "random", "b": "robin"}},
            "credential_pool_strategies.b: Invalid enum value",
        ),
        ({"providers": {"a": {}, "b": {"base_ur": "x"}}}, 'no setting "providers.b.base_ur". Did you mean "base_url"?'),
        ({"providers": {"a": {"rules": [{"match": "x"}, {"qirks": {}}]}}}, 'Did you mean "quirks"?'),
        ({"model": {"reasoning_effort": "huge"}}, "It may be: high, low, max"),
        ({"plugins": {"entries": {"a": {}, "b": 3}}}, "plugins.entries"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(tmp_path: Path, tree: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(tree, tmp_path / "config.yaml")
    assert says in str(caught.value)


def test_a_provider_of_the_environment_is_not_sent_the_files_model() -> None:
    file = {"model": {"provider": "acme", "default": "acme-5", "base_url": "http://a.test", "max_tokens": 9}}
    assert under_environment(file, {"HERMES_PROVIDER": "bolt"}) == {"model": {"provider": "bolt", "max_tokens": 9}}
    both = under_environment(file, {"HERMES_PROVIDER": "bolt", "HERMES_MODEL": "b-1"})
    assert both["model"] == {"provider": "bolt", "default": "b-1", "max_tokens": 9}
    assert under_environment(file, {"HERMES_PROVIDER": "acme"}) == file
    assert under_environment(file, {"HERMES_MODEL": "acme-6"})["model"]["default"] == "acme-6"
