"""Single values of a YAML file change; all else stays as it stands."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hermes import ConfigError
from hermes_plugin_model.settings_edit import with_values

VALUES = {"provider": "anthropic", "default": "claude-opus-5-5"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "model:\n  default: claude-opus-5-5\n  provider: anthropic\n"),
        ("# mine\n", "# mine\nmodel:\n  default: claude-opus-5-5\n  provider: anthropic\n"),
        ("agent: {retries: 1}", "agent: {retries: 1}\nmodel:\n  default: claude-opus-5-5\n  provider: anthropic\n"),
        (
            "model:\n    # which\n    provider: 'openai' # was: x\n    default: gpt # y\n    timeout: 5\n",
            "model:\n    # which\n    provider: anthropic # was: x\n    default: claude-opus-5-5 # y\n    timeout: 5\n",
        ),
        (
            "model:\n  timeout: 5 # long\n# end\n",
            "model:\n  default: claude-opus-5-5\n  provider: anthropic\n  timeout: 5 # long\n# end\n",
        ),
        ("model: {timeout: 5} # z\n", "model: {default: claude-opus-5-5, provider: anthropic, timeout: 5} # z\n"),
        ("model: {}\n", "model: {default: claude-opus-5-5, provider: anthropic}\n"),
        ("{agent: {retries: 1}}\n", "{model: {default: claude-opus-5-5, provider: anthropic}, agent: {retries: 1}}\n"),
        ("model:\nagent: {a: 1}\n", "model:\n  default: claude-opus-5-5\n  provider: anthropic\nagent: {a: 1}\n"),
        ("{model: null}\n", "{model: {default: claude-opus-5-5, provider: anthropic}}\n"),
        ("model:\n  provider:\n  default: a\n", "model:\n  provider: anthropic\n  default: claude-opus-5-5\n"),
        ("model:\r\n  provider: a\r\n", "model:\r\n  default: claude-opus-5-5\r\n  provider: anthropic\r\n"),
    ],
)  # fmt: skip
def test_the_text_around_stays(before: str, after: str) -> None:
    assert with_values(before, "model", VALUES) == after


@pytest.mark.parametrize(
    "value", ["llama3:8b", "accounts/x/models/y", "a b", "yes", "7", "1:30", "", "ü", "#x", "~", "-"]
)
def test_any_name_is_read_again_as_it_was(value: str) -> None:
    for before in ("", "model: {timeout: 5}\n", "model:\n  default: old\n"):
        tree = yaml.safe_load(with_values(before, "model", {"default": value}))
        assert tree["model"]["default"] == value


@pytest.mark.parametrize(
    "text",
    [
        "base: &b {provider: x}\nmodel: *b\n",
        "model: &m\n  provider: &p x\nagent: {x: *p}\n",
        "- a list\n",
        "model: [a]\nmodel: {provider: x}\n",
    ],
)
def test_what_cannot_be_changed_in_place_is_told_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be changed without rewriting") as caught:
        with_values(text, "model", VALUES)
    assert "model.provider: anthropic" in caught.value.hint


_names = st.text("abcdefgh-", min_size=1, max_size=6).filter(lambda text: text[0] != "-")
_trees = st.dictionaries(
    _names | st.just("model"),
    st.none() | st.integers() | _names | st.lists(_names, max_size=2) | st.dictionaries(_names, _names, max_size=3),
    max_size=4,
)


@given(_trees, st.booleans(), st.sampled_from([2, 4]), st.text(max_size=12).filter(str.isprintable))
def test_it_is_changed_as_wanted_or_not_at_all(tree: dict[str, object], flow: bool, indent: int, value: str) -> None:
    before = yaml.safe_dump(tree, default_flow_style=flow, indent=indent, allow_unicode=True)
    section = tree.get("model")
    wanted = {**tree, "model": {**(section if isinstance(section, dict) else {}), "default": value}}
    assert yaml.safe_load(with_values(before, "model", {"default": value})) == wanted
