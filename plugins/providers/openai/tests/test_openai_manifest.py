"""What the manifest says of OpenAI's models: where they are asked, and in which way."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hermes import Endpoint
from hermes.contracts.provider import ModelInfo, ProviderSpec
from hermes.plugins.manifest import read_manifest
from hermes_plugin_openai.quirks import Quirks

MANIFEST = Path(str(files("hermes_plugin_openai") / "plugin.yaml"))
SPECS: dict[str, ProviderSpec] = read_manifest(MANIFEST).providers


def asked(model: str, *, own_address: bool = True) -> tuple[str, Quirks]:
    """The transport and the quirks of a model of ``openai``, by every rule that matches, in order."""
    spec = SPECS["openai"]
    transport, quirks = spec.transport, dict(spec.quirks)
    for rule in spec.rules:
        if re.match(rule.match, model) and (own_address or not rule.own_address):
            transport = rule.transport or transport
            quirks.update(rule.quirks)
    return transport, Quirks.of(Endpoint(provider="openai", quirks=quirks))


@pytest.mark.parametrize("model", ["gpt-6.1-terra", "gpt-6-astra", "gpt-5.6-luna", "gpt-5-mini", "o3", "o4-mini"])
def test_models_that_reason_are_asked_through_responses_at_openai_itself(model: str) -> None:
    assert asked(model)[0] == "responses"
    assert asked(model, own_address=False)[0] == "chat_completions"
    for own_address in (True, False):
        quirks = asked(model, own_address=own_address)[1]
        assert (quirks.temperature, quirks.max_tokens_field) == (False, "max_completion_tokens")
        assert "high" in quirks.efforts


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-5.1-chat", "omni-thing"])
def test_others_are_asked_through_chat_completions(model: str) -> None:
    transport, quirks = asked(model)
    assert (transport, quirks.temperature) == ("chat_completions", True)


@pytest.mark.parametrize(
    ("model", "efforts"),
    [("gpt-6-sol", "none max"), ("gpt-5.6-sol", "none max"), ("gpt-5.2", "none high"), ("gpt-5", "minimal high")],
)
def test_efforts(model: str, efforts: str) -> None:
    known = asked(model)[1].efforts
    assert f"{known[0]} {known[-1]}" == efforts


def test_codex_is_a_login_and_never_chosen_by_itself() -> None:
    spec = SPECS["openai-codex"]
    assert (spec.automatic, spec.transport, spec.aliases, spec.key_env) == (False, "responses", ["codex"], [])
    assert spec.oauth is not None
    assert (spec.oauth.flow, spec.oauth.redirect_url) == ("pkce", "http://localhost:1455/auth/callback")
    quirks = Quirks.of(Endpoint(provider="openai-codex", quirks=spec.quirks))
    assert (quirks.instructions, quirks.account_header, quirks.max_tokens_field) == (True, "chatgpt-account-id", "")


@pytest.mark.parametrize("provider", SPECS)
def test_models_are_known_with_their_windows_and_prices(provider: str) -> None:
    models: list[Any] = SPECS[provider].models
    assert all(isinstance(model, ModelInfo) and model.context_window > model.max_output > 0 for model in models)
    if provider == "openai":
        assert all(0 < model.cache_read_usd < model.input_usd < model.output_usd for model in models)
