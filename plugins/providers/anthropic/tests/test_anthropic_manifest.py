"""What the manifest says of Claude's models, and a conversation with them through the kernel's own reading of it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.model_param import ModelParam

from hermes import Endpoint
from hermes.contracts.provider import ModelInfo, ProviderSpec
from hermes.plugins.manifest import read_manifest
from hermes_plugin_anthropic.quirks import Quirks

MANIFEST = read_manifest(Path(str(files("hermes_plugin_anthropic") / "plugin.yaml")))
SPEC: ProviderSpec = MANIFEST.providers["anthropic"]
KNOWN: tuple[str, ...] = ModelParam.__args__[0].__args__  # type: ignore[attr-defined]


def quirks_of(model: str) -> Quirks:
    """Of a model, by every rule that matches, in order."""
    quirks: dict[str, Any] = dict(SPEC.quirks)
    for rule in SPEC.rules:
        if re.match(rule.match, model):
            quirks.update(rule.quirks)
    return Quirks.of(Endpoint(provider="anthropic", quirks=quirks))


@pytest.mark.parametrize(
    ("model", "thinking", "structured", "temperature"),
    [
        ("claude-opus-5-5", "always", "native", False),
        ("claude-fable-5-1", "always", "native", False),
        ("claude-fable-5-2", "always", "native", False),
        ("claude-mythos-preview", "always", "native", False),
        ("claude-sonnet-5-5", "adaptive", "native", False),
        ("claude-haiku-5-5", "adaptive", "native", False),
        ("claude-opus-5", "adaptive", "native", False),
        ("claude-opus-4-8", "adaptive", "native", False),
        ("claude-opus-4-7", "adaptive", "native", False),
        ("claude-opus-4-6", "adaptive", "native", True),
        ("claude-sonnet-4-6", "adaptive", "native", True),
        ("claude-opus-4-5-20251101", "budget", "native", True),
        ("claude-sonnet-4-5", "budget", "native", True),
        ("claude-haiku-4-5-20251001", "budget", "native", True),
        ("claude-opus-4-1-20250805", "budget", "tool", True),
        ("claude-sonnet-4-20250514", "budget", "tool", True),
        ("claude-opus-4-0", "budget", "tool", True),
        ("claude-3-5-haiku-20241022", "none", "tool", True),
        ("claude-of-tomorrow", "adaptive", "native", False),
    ],
)
def test_what_is_true_of_each_model(model: str, thinking: str, structured: str, temperature: bool) -> None:
    quirks = quirks_of(model)
    assert (quirks.thinking, quirks.structured, quirks.temperature) == (thinking, structured, temperature)


@pytest.mark.parametrize("model", KNOWN)
def test_the_official_clients_models_can_all_be_asked(model: str) -> None:
    quirks = quirks_of(model)
    assert quirks.max_tokens >= 32000
    # A model that always thinks cannot be made to call a tool.
    assert (quirks.thinking, quirks.structured) != ("always", "tool")


def test_some_efforts_came_later() -> None:
    assert quirks_of("claude-opus-4-6").efforts == ("low", "medium", "high", "max")
    assert quirks_of("claude-opus-4-7").efforts == ("low", "medium", "high", "xhigh", "max")


def test_listed_models_have_windows_and_prices() -> None:
    models = [model for model in SPEC.models if isinstance(model, ModelInfo)]
    assert models[0].id == "claude-opus-5-5"
    assert {model.id for model in models} <= set(KNOWN)
    for model in models:
        assert model.context_window
        assert quirks_of(model.id).max_tokens <= model.max_output
        assert None not in (model.input_usd, model.output_usd, model.cache_read_usd, model.cache_write_usd)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-AbCd_efgh-0123456789",
        "sk-ant-oat01-AbCd_efgh-0123456789",
        "sk-ant-ort01-AbCd_efgh-0123456789",
        "sk-ant-admin01-AbCd_efgh-0123456789",
    ],
)
def test_keys_are_known_as_secrets(secret: str) -> None:
    (pattern,) = MANIFEST.secret_patterns
    assert re.fullmatch(pattern, secret)


def test_a_login_found_in_a_variable_is_sent_as_one() -> None:
    endpoint = Endpoint(provider="anthropic", key="sk-ant-oat01-x")
    assert quirks_of("claude-opus-5-5").logged_in(endpoint)
    assert not quirks_of("claude-opus-5-5").logged_in(Endpoint(provider="anthropic", key="sk-ant-api03-x"))
    assert quirks_of("claude-opus-5-5").identity.startswith("You are Claude Code")


def test_how_a_person_logs_in() -> None:
    oauth = SPEC.oauth
    assert oauth is not None
    assert (oauth.flow, oauth.json_body) == ("pkce", True)
    assert "user:inference" in oauth.scopes
