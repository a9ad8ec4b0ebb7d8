"""Which model is reached, where, with which key; and what is said when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    ConfigError,
    ModelInfo,
    ProviderQuery,
    ProviderSpec,
    Provision,
    SecretQuery,
    Secrets,
    Usage,
    hookimpl,
)
from hermes.models.catalog import cost_of
from hermes.models.router import Target
from hermes.plugins.manifest import Manifest
from hermes_testkit.scripted import make_app

PROVIDERS = Manifest(
    name="providers",
    provides={
        "providers": {
            "alpha": {"transport": "scripted", "base_url": "https://alpha.example/v1", "base_url_env": "ALPHA_URL",
                      "key_env": ["ALPHA_KEY", "ALPHA_TOKEN"], "priority": 20, "models": ["a-1", "a-2"]},
            "beta": {"transport": "scripted", "base_url": "https://beta.example/v1", "key_env": "BETA_KEY",
                     "priority": 10},
            "bare": {"base_url": "https://bare.example"},
        }
    },
)  # fmt: skip


class Providers:
    name = "providers"
    manifest = PROVIDERS


def target(
    home: Path, *, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None, **query: str
) -> Target:
    async def work() -> Target:
        async with make_app(
            home, Providers(), environ=environ or {}, overrides={"model": {"provider": ""}, **(overrides or {})}
        ) as app:
            return await app.router.target(app.scope, **query)

    return asyncio.run(work())


def test_the_first_provider_whose_key_is_found_is_chosen_by_priority(tmp_path: Path) -> None:
    found = target(tmp_path, environ={"ALPHA_TOKEN": "t", "BETA_KEY": "b"}, model="m")
    assert (found.provider, found.endpoint.key, found.endpoint.key_source) == ("beta", "b", "env:BETA_KEY")
    found = target(tmp_path, environ={"ALPHA_TOKEN": "t", "BETA_KEY": ""})
    assert (found.provider, found.model, found.endpoint.key) == ("alpha", "a-1", "t")


def test_a_prefix_is_a_provider_only_where_there_is_one(tmp_path: Path) -> None:
    environ = {"ALPHA_KEY": "k"}
    assert target(tmp_path, environ=environ, model="alpha:x:free").model == "x:free"
    assert target(tmp_path, environ=environ, model="llama3:8b").model == "llama3:8b"


def test_the_settings_choose_and_the_flags_override(tmp_path: Path) -> None:
    environ = {"ALPHA_KEY": "k", "BETA_KEY": "b"}
    overrides = {"model": {"provider": "beta", "default": "b-9", "base_url": "http://127.0.0.1:9/v1/"}}
    found = target(tmp_path, environ=environ, overrides=overrides)
    assert (found.provider, found.model, found.endpoint.base_url) == ("beta", "b-9", "http://127.0.0.1:9/v1")
    found = target(tmp_path, environ=environ, overrides=overrides, provider="alpha")
    assert (found.model, found.endpoint.base_url) == ("a-1", "https://alpha.example/v1"), "nothing of beta's"


def test_an_address_comes_from_its_variable(tmp_path: Path) -> None:
    environ = {"ALPHA_KEY": "k", "ALPHA_URL": "http://proxy.example/v1"}
    assert target(tmp_path, environ=environ, provider="alpha").endpoint.base_url == "http://proxy.example/v1"


def test_a_key_from_the_env_file_is_found_behind_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BETA_KEY=from-file\n")
    assert target(tmp_path, model="m").endpoint.key == "from-file"
    with pytest.raises(ConfigError, match="No key"):
        target(tmp_path, environ={"BETA_KEY": ""}, provider="beta", model="m")


def test_an_endpoint_of_ones_own_and_changes_to_a_known_one(tmp_path: Path) -> None:
    overrides = {
        "providers": {
            "mine": {"transport": "scripted", "base_url": "http://127.0.0.1:1/v1", "models": ["m"]},
            "alpha": {"base_url": "http://gateway.example"},
        }
    }
    assert target(tmp_path, overrides=overrides, provider="mine").model == "m"
    found = target(tmp_path, overrides=overrides, provider="alpha", environ={"ALPHA_KEY": "k"})
    assert (found.endpoint.base_url, found.spec.transport) == ("http://gateway.example", "scripted")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"provider": "alhpa"}, 'No provider "alhpa". Did you mean "alpha"?'),
        ({"provider": "zzz"}, 'No provider "zzz". There are: alpha, bare, beta'),
        ({"provider": "alpha"}, 'No key for the provider "alpha" (looked for: ALPHA_KEY, ALPHA_TOKEN)'),
        ({"provider": "bare"}, 'The provider "bare" has no transport'),
        ({}, "no key is found"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, query: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        target(tmp_path, **query)
    assert message in str(caught.value)


def test_no_model_and_no_default_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='No model is chosen for the provider "beta"'):
        target(tmp_path, environ={"BETA_KEY": "b"})


@pytest.mark.parametrize("address", ["not a url", "ftp://x", "http://"])
def test_an_address_that_is_none_is_told(tmp_path: Path, address: str) -> None:
    overrides = {"providers": {"mine": {"transport": "scripted", "base_url": address, "models": ["m"]}}}
    with pytest.raises(ConfigError, match="is no URL"):
        target(tmp_path, overrides=overrides, provider="mine")


def test_a_plugin_may_resolve_what_nobody_names(tmp_path: Path) -> None:
    class Resolver:
        name = "resolver"

        @hookimpl
        def resolve_provider(self, query: ProviderQuery) -> ProviderSpec | None:
            return ProviderSpec(transport="scripted") if query.provider == "dynamic" else None

    async def work() -> str:
        async with make_app(tmp_path, Resolver()) as app:
            await app.plugins.start()
            return (await app.router.target(app.scope, provider="dynamic", model="m")).provider

    assert asyncio.run(work()) == "dynamic"


def test_a_key_is_in_no_repr(tmp_path: Path) -> None:
    found = target(tmp_path, environ={"BETA_KEY": "very-secret"}, model="m")
    assert "very-secret" not in repr(found)


def test_costs_come_from_the_provider_else_from_prices_else_are_unknown() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=500_000, cache_read_tokens=1_000_000)
    priced = ModelInfo(id="m", input_usd=2.0, output_usd=8.0, cache_read_usd=0.5)
    assert cost_of(usage, priced) == 6.5
    assert cost_of(usage, ModelInfo(id="m")) is None
    assert cost_of(Usage(cost_usd=0.25), priced) == 0.25


class Vault:
    """A source of secrets behind the environment and the home's ``.env``."""

    name = "vault"

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("secret_source", "vault", lambda: self)]

    async def get(self, query: SecretQuery) -> Secrets:
        return Secrets(values={name: "from-vault" for name in query.names if name == "BETA_KEY"}, source="vault")


def test_a_plugins_secrets_stand_behind_and_a_blank_hides_them(tmp_path: Path) -> None:
    async def key(environ: Mapping[str, str]) -> str:
        async with make_app(tmp_path, Providers(), Vault(), environ=environ) as app:
            await app.plugins.start()
            return (await app.router.target(app.scope, provider="beta", model="m")).endpoint.key

    assert asyncio.run(key({})) == "from-vault"
    assert asyncio.run(key({"BETA_KEY": "own"})) == "own"
    with pytest.raises(ConfigError, match="No key"):
        asyncio.run(key({"BETA_KEY": ""}))
