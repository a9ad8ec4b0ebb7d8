"""What the manifest says, as a request that leaves: by the command line, with a key or an account."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import hermes_plugin_gemini
from hermes.contracts.provider import Endpoint
from hermes.plugins.manifest import read_manifest
from hermes_plugin_gemini.quirks import Quirks
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import ModelServer

MANIFEST = read_manifest(Path(hermes_plugin_gemini.__file__).with_name("plugin.yaml"))
PROVIDERS: dict[str, Any] = MANIFEST.provides["providers"]


def quirks_of(provider: str, model: str) -> Quirks:
    spec = PROVIDERS[provider]
    merged = dict(spec.get("quirks", {}))
    for rule in spec["rules"]:
        if re.match(rule["match"], model):
            merged |= rule["quirks"]
    return Quirks.of(Endpoint(provider=provider, quirks=merged))


OLD = {"thinking": "budget", "signatures": False, "result_images": False, "schema_with_tools": False}
EVERY = ("minimal", "low", "medium", "high")


@pytest.mark.parametrize(
    ("model", "quirks"),
    [
        ("gemini-3.8-flash", {}),
        ("gemini-4-argon", {}),
        ("gemini-3.7-flash", {}),
        ("gemini-3.1-pro-preview", {}),
        ("gemini-flash-latest", {}),
        ("gemini-3-flash-preview", {"levels": EVERY}),
        ("gemini-3.6-flash", {"levels": EVERY}),
        ("gemini-3.5-flash-lite", {"levels": EVERY}),
        ("gemini-3.1-flash-lite", {"levels": EVERY}),
        ("gemini-2.5-flash", OLD),
        ("gemini-2.5-pro", {**OLD, "budget": (128, 32768)}),
        ("gemini-2.0-flash", {**OLD, "thinking": "none"}),
        ("gemma-3-27b-it", {**OLD, "thinking": "none"}),
    ],
)
def test_what_sets_models_apart_is_in_the_rules(model: str, quirks: dict[str, Any]) -> None:
    assert quirks_of("gemini", model) == Quirks(**quirks)
    for vertex in ("vertex", "vertex-express"):
        assert quirks_of(vertex, model) == Quirks(**quirks, call_ids=False)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("AIzaSyA0123456789abcdefghijklmnopqrstuv", True),
        ("AQ.Ab8RN6I0123456789abcdef", True),
        ("ya29.a0AfH6SMB0123456789abcdef", True),
        ("an AIza and a FAQ. And so on", False),
    ],
)
def test_keys_and_tokens_are_known_by_their_form(text: str, secret: bool) -> None:
    assert any(re.search(pattern, text) for pattern in MANIFEST.secret_patterns) is secret


@pytest.mark.parametrize("variable", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
@pytest.mark.parametrize("name", ["gemini", "google", "google-ai-studio"])
def test_a_key_is_all_it_takes(variable: str, name: str, hermes: Hermes, model_server: ModelServer) -> None:
    hermes.environ |= {variable: "AIza-0123", "GEMINI_BASE_URL": f"{model_server.root}/v1beta"}
    done = hermes("-z", "Hello", "-m", f"{name}:gemini-2.5-pro")
    assert (done.code, done.out.strip()) == (0, "OK"), done.err
    (seen,) = model_server.requests
    assert seen.route == "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
    assert seen.headers["x-goog-api-key"] == "AIza-0123"


def test_geminis_own_variable_comes_first(hermes: Hermes, model_server: ModelServer) -> None:
    keys = {"GEMINI_API_KEY": "AIza-ours", "GOOGLE_API_KEY": "AIza-other"}
    hermes.environ |= {**keys, "GEMINI_BASE_URL": f"{model_server.root}/v1beta"}
    assert hermes("-z", "Hello").code == 0
    (seen,) = model_server.requests
    assert seen.headers["x-goog-api-key"] == "AIza-ours"
    assert seen.route == "/v1beta/models/gemini-3.8-flash:streamGenerateContent"


def test_an_account_without_a_project_says_what_to_set(hermes: Hermes, tmp_path: Path) -> None:
    hermes.environ |= {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "robot.json")}
    done = hermes("-z", "Hello", "-m", "vertex:gemini-3.8-flash")
    assert done.code == 2
    assert "GOOGLE_CLOUD_PROJECT" in done.err
