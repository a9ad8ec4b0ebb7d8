"""From what is asked for, the settings and the keys found to a provider, a model, an address and a body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hermes import App, ConfigError, HermesError, ModelRequest, PluginError, ProviderSpec
from hermes.models.ask import addressed
from hermes.models.credentials import shown_address
from hermes.models.router import Target
from hermes.models.routing import Place, aliases_of
from hermes.plugins.manifest import Manifest, parse_manifest
from hermes_testkit.scripted import make_app

WIRE = {"transport": "scripted"}
PROVIDERS: dict[str, Any] = {
    "acme": {
        **WIRE, "base_url": "https://acme.example/v1", "base_url_env": "ACME_URL",
        "key_env": ["ACME_KEY", "ACME_TOKEN"], "priority": 20, "models": ["acme-4-5", "acme-5"],
        "aliases": ["ac", "acme-ai"],
    },
    "bolt": {**WIRE, "base_url": "https://bolt.example", "key_env": "BOLT_KEY", "priority": 10, "models": ["b-1"]},
    "many": {
        **WIRE, "base_url": "https://many.example", "key_env": "MANY_KEY", "priority": 30, "aggregator": True,
        "models": ["acme/acme-5"],
    },
    "named": {**WIRE, "base_url": "https://named.example", "key_env": "NAMED_KEY", "automatic": False, "models": ["n"]},
    "local": {**WIRE, "base_url": "http://127.0.0.1:9", "key_env": "LOCAL_KEY", "key_optional": True, "models": ["l"]},
    "pair": {
        **WIRE, "base_url": "https://{region}.pair.example/{project}", "key_env": "PAIR_TOKEN",
        "key_options": ["access"], "options": {"region": "us-1"}, "models": ["p"],
        "options_env": {"access": "PAIR_ACCESS", "project": ["PAIR_PROJECT", "PAIR_ALT"], "region": "PAIR_REGION"},
    },
    "nowhere": {**WIRE, "base_url_env": "NOWHERE_URL", "key_env": "NOWHERE_KEY", "models": ["x"], "automatic": False},
}  # fmt: skip
ORDERS = {
    "upside-down": [{"provider": "many"}, {"provider": "acme"}],
    "wide": [{"provider": "gone", "keys": ["GONE_KEY", "GONE_TOKEN"]}, {"provider": "named"}],
}


class Providers:
    name = "providers"
    manifest = Manifest(name="providers", provides={"providers": PROVIDERS, "routing": ORDERS})


class Home:
    """Reaches for targets in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def app(self, environ: Mapping[str, str], settings: Mapping[str, Any], *plugins: Any) -> App:
        model = {"provider": "", **settings.get("model", {})}
        return make_app(self.folder, Providers(), *plugins, environ=environ, overrides={**settings, "model": model})

    def target(
        self, *keys: str, model: str = "", provider: str = "", settings: Mapping[str, Any] | None = None, **environ: str
    ) -> Target:
        """``keys``: variables with a key in them."""

        async def work() -> Target:
            async with self.app({**dict.fromkeys(keys, "k"), **environ}, settings or {}) as app:
                return await app.router.target(app.scope, provider=provider, model=model)

        return asyncio.run(work())

    def refused(self, *keys: str, **query: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.target(*keys, **query)
        return caught.value

    def places(self, *keys: str, order: str = "") -> list[Place]:
        async def work() -> list[Place]:
            async with self.app(dict.fromkeys(keys, "k"), {}) as app:
                return await app.router.routing.places(app.scope, order)

        return asyncio.run(work())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One for all tests that leave nothing in it."""
    folder = tmp_path_factory.mktemp("routing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield Home(folder / "home")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Home(tmp_path / "home")


class TestNames:
    @pytest.mark.parametrize("name", ["acme", "ACME", "ac", "Ac", "acme-ai"])
    def test_ids_and_other_names_count_in_any_case(self, home: Home, name: str) -> None:
        assert home.target("ACME_KEY", provider=name).provider == "acme"
        assert home.target("ACME_KEY", model=f"{name}:acme-5").name == "acme:acme-5"

    def test_a_name_that_two_claim_or_that_is_a_provider_is_nobodys(self) -> None:
        specs = {
            "one": ProviderSpec(aliases=["both", "two", "Mine"]),
            "two": ProviderSpec(aliases=["BOTH", "own"]),
        }
        assert aliases_of(specs) == {"mine": "one", "own": "two"}

    @pytest.mark.parametrize("model", ["llama3:8b", "x:y:z", "zzz:"])
    def test_a_colon_is_a_part_of_the_name_where_there_is_no_such_provider(self, home: Home, model: str) -> None:
        assert home.target("BOLT_KEY", model=model).name == f"bolt:{model}"

    def test_only_the_first_colon_parts(self, home: Home) -> None:
        assert home.target("BOLT_KEY", model="bolt:x:free").model == "x:free"

    def test_no_such_provider(self, home: Home) -> None:
        assert str(home.refused(provider="acmee")).startswith('No provider "acmee". Did you mean "acme"?')
        assert "There are: acme, bolt, " in str(home.refused(provider="qqqqq"))


class TestAskedFor:
    def test_a_provider_and_its_own_prefix(self, home: Home) -> None:
        found = home.target("ACME_KEY", "BOLT_KEY", provider="acme", model="ac:acme-5")
        assert (found.name, found.why) == ("acme:acme-5", "it is asked for by name")

    def test_another_ones_prefix_is_a_part_of_the_models_name(self, home: Home) -> None:
        assert home.target(provider="local", model="acme:7b").name == "local:acme:7b"
        assert home.target(provider="local", model="gone:7b").name == "local:gone:7b"

    def test_unless_the_other_one_has_that_model(self, home: Home) -> None:
        error = home.refused("ACME_KEY", provider="local", model="acme:acme-5")
        assert str(error) == 'The provider is to be "local", and the model "acme:acme-5" is one of "acme".'
        assert "-m acme:acme-5" in error.hint

    def test_the_prefix_comes_before_the_settings(self, home: Home) -> None:
        found = home.target("ACME_KEY", model="acme:x", settings={"model": {"provider": "bolt", "default": "b-1"}})
        assert (found.name, found.why) == ("acme:x", '"acme:" stands before the model')

    def test_one_that_an_order_knows_and_that_is_not_installed(self, home: Home) -> None:
        assert 'No provider "gone"' in str(home.refused("BOLT_KEY", model="gone:x"))
        assert 'No provider "gone"' in str(home.refused("BOLT_KEY", model="GONE:x"))

    def test_the_first_known_model_is_the_default(self, home: Home) -> None:
        assert home.target("ACME_KEY", provider="acme").model == "acme-4-5"
        assert home.target("ACME_KEY", model="acme:").model == "acme-4-5"


class TestSettings:
    def test_provider_and_model(self, home: Home) -> None:
        settings = {"model": {"provider": "ac", "default": "acme-5"}}
        found = home.target("ACME_KEY", "BOLT_KEY", settings=settings)
        assert (found.name, found.why) == ("acme:acme-5", "the setting model.provider names it")
        assert home.target("ACME_KEY", settings=settings, model="other").name == "acme:other"
        assert home.target("BOLT_KEY", settings=settings, provider="bolt").name == "bolt:b-1"

    def test_a_model_with_a_provider(self, home: Home) -> None:
        settings = {"model": {"default": "acme:acme-5"}}
        found = home.target("ACME_KEY", "BOLT_KEY", settings=settings)
        assert (found.name, found.why) == ("acme:acme-5", 'the setting model.default says "acme:acme-5"')
        assert home.target("BOLT_KEY", settings=settings, provider="bolt").name == "bolt:b-1", "it is acme's"
        assert home.target("ACME_KEY", settings=settings, provider="acme").name == "acme:acme-5"

    def test_a_model_alone_goes_where_the_keys_say(self, home: Home) -> None:
        assert home.target("BOLT_KEY", settings={"model": {"default": "b-7"}}).name == "bolt:b-7"

    def test_a_provider_and_a_model_that_is_another_ones(self, home: Home) -> None:
        settings = {"model": {"provider": "bolt", "default": "acme:acme-5"}}
        assert 'is one of "acme"' in str(home.refused("BOLT_KEY", settings=settings))
        settings = {"model": {"provider": "bolt", "default": "acme:7b"}}
        assert home.target("BOLT_KEY", settings=settings).name == "bolt:acme:7b"
        settings = {"model": {"provider": "bolt", "default": "bolt:b-1"}}
        assert home.target("BOLT_KEY", settings=settings).name == "bolt:b-1"

    def test_the_address_is_that_of_the_configured_provider_only(self, home: Home) -> None:
        settings = {"model": {"provider": "acme", "base_url": "http://127.0.0.1:1/v1"}}
        assert home.target("ACME_KEY", settings=settings).endpoint.base_url == "http://127.0.0.1:1/v1"
        found = home.target("BOLT_KEY", settings=settings, provider="bolt")
        assert found.endpoint.base_url == "https://bolt.example"

    def test_one_that_an_order_knows_and_that_is_not_installed(self, home: Home) -> None:
        assert 'No provider "gone"' in str(home.refused("BOLT_KEY", settings={"model": {"default": "gone:x"}}))
        assert 'No provider "gone"' in str(home.refused("BOLT_KEY", settings={"model": {"provider": "gone"}}))


class TestKeys:
    def test_without_an_order_by_priority(self, home: Home) -> None:
        found = home.target("ACME_KEY", "BOLT_KEY", "MANY_KEY")
        assert (found.provider, found.why) == (
            "bolt", 'env:BOLT_KEY is set, and "bolt" comes first in the order "hermes"',
        )  # fmt: skip

    def test_of_equal_priority_by_name(self, home: Home) -> None:
        assert [place.provider for place in home.places()] == ["bolt", "acme", "many", "local", "pair", "scripted"]

    def test_an_order_names_some_and_the_rest_come_behind(self, home: Home) -> None:
        names = [place.provider for place in home.places(order="upside-down")]
        assert names == ["many", "acme", "bolt", "local", "pair", "scripted"]
        settings = {"model": {"routing": "upside-down"}}
        assert home.target("ACME_KEY", "BOLT_KEY", "MANY_KEY", settings=settings).provider == "many"
        assert home.target("ACME_KEY", "BOLT_KEY", settings=settings).provider == "acme"
        assert home.target("BOLT_KEY", settings=settings).provider == "bolt"

    def test_each_place_tells_where_a_key_is_looked_for(self, home: Home) -> None:
        gone, named, *_, pair, _ = home.places("GONE_TOKEN", "PAIR_ACCESS", order="wide")
        assert gone == Place("gone", ("GONE_KEY", "GONE_TOKEN"), "env:GONE_TOKEN", installed=False)
        assert named == Place("named", ("NAMED_KEY",), "", installed=True)
        assert pair == Place("pair", ("PAIR_TOKEN", "PAIR_ACCESS"), "env:PAIR_ACCESS", installed=True)

    def test_an_order_that_there_is_not(self, home: Home) -> None:
        error = home.refused("BOLT_KEY", settings={"model": {"routing": "wife"}})
        assert str(error) == 'There is no order "wife". Did you mean "wide"?'
        assert error.hint == "model.routing may be: hermes, upside-down, wide"

    def test_some_have_to_be_named_by_an_order_or_a_person(self, home: Home) -> None:
        assert "no key is found" in str(home.refused("NAMED_KEY"))
        assert home.target("NAMED_KEY", provider="named").provider == "named"
        assert home.target("NAMED_KEY", "BOLT_KEY", settings={"model": {"routing": "wide"}}).provider == "named"

    def test_a_key_whose_provider_comes_first_and_is_not_installed(self, home: Home) -> None:
        wide = {"model": {"routing": "wide"}}
        error = home.refused("GONE_KEY", "BOLT_KEY", settings=wide)
        assert str(error).startswith('env:GONE_KEY is set, and the order "wide" prefers its provider "gone", which')
        assert error.hint.startswith("pip install hermes-plugin-gone")
        assert home.target("GONE_KEY", "BOLT_KEY", settings=wide, model="bolt:x").provider == "bolt"
        assert home.target("BOLT_KEY", settings=wide, GONE_KEY=" ").provider == "bolt", "blank: not a key"

    def test_no_key_names_every_variable(self, home: Home) -> None:
        error = home.refused()
        for name in ("ACME_KEY", "ACME_TOKEN", "BOLT_KEY", "PAIR_TOKEN", "PAIR_ACCESS"):
            assert name in error.hint
        assert "NAMED_KEY" not in error.hint, "a key that chooses nothing is not looked for"
        assert error.exit_code == 2

    def test_the_only_one_of_the_settings_needs_no_key(self, home: Home) -> None:
        mine = {**WIRE, "base_url": "http://127.0.0.1:1", "models": ["m"]}
        found = home.target(settings={"providers": {"mine": mine}})
        assert (found.name, found.why) == ("mine:m", "it is the only one in the settings' providers")
        assert "no key is found" in str(home.refused(settings={"providers": {"mine": mine, "too": mine}}))

    def test_what_can_be_used_is_told_in_order(self, home: Home) -> None:
        async def work() -> list[tuple[str, str]]:
            environ = {"ACME_TOKEN": "k", "BOLT_KEY": "k", "GONE_KEY": "k"}
            async with home.app(environ, {"model": {"routing": "wide"}}) as app:
                return await app.router.keys_found(app.scope)

        assert asyncio.run(work()) == [("bolt", "env:BOLT_KEY"), ("acme", "env:ACME_TOKEN")]


class TestModels:
    def test_it_goes_to_the_first_that_lists_it(self, home: Home) -> None:
        found = home.target("ACME_KEY", "BOLT_KEY", model="acme-5")
        assert (found.name, found.why) == ("acme:acme-5", 'env:ACME_KEY is set, and "acme" lists the model')

    def test_one_that_nobody_lists_goes_to_the_first(self, home: Home) -> None:
        assert home.target("ACME_KEY", "BOLT_KEY", model="zeta").name == "bolt:zeta"

    def test_before_a_slash_stands_the_vendor(self, home: Home) -> None:
        found = home.target("ACME_KEY", "BOLT_KEY", "MANY_KEY", model="acme/acme-5")
        assert (found.name, found.why) == ("acme:acme-5", 'env:ACME_KEY is set, and "acme/" stands before the model')
        assert home.target("ACME_KEY", "BOLT_KEY", model="ac/new").name == "acme:new"

    def test_the_vendors_own_spelling(self, home: Home) -> None:
        assert home.target("ACME_KEY", "BOLT_KEY", model="acme/acme-4.5").model == "acme-4-5"
        assert home.target("ACME_KEY", "BOLT_KEY", model="acme/acme-4.6").model == "acme-4.6"

    def test_without_the_vendors_key_to_one_that_has_all(self, home: Home) -> None:
        found = home.target("BOLT_KEY", "MANY_KEY", model="acme/acme-5")
        assert (found.name, found.why) == (
            "many:acme/acme-5", 'env:MANY_KEY is set, and "many" serves models of many vendors',
        )  # fmt: skip

    def test_one_that_has_all_and_comes_first_keeps_the_name(self, home: Home) -> None:
        settings = {"model": {"routing": "upside-down"}}
        assert home.target("ACME_KEY", "MANY_KEY", model="acme/acme-5", settings=settings).name == "many:acme/acme-5"

    def test_with_neither_it_goes_to_the_first_as_it_is(self, home: Home) -> None:
        assert home.target("BOLT_KEY", model="acme/acme-5").name == "bolt:acme/acme-5"


class TestSwitchedOff:
    """A provider whose plugin is installed, and disabled in the settings."""

    @pytest.fixture
    def off(self, fresh: Home) -> Callable[..., Target]:
        drop_in = fresh.folder / "plugins" / "gone"
        drop_in.mkdir(parents=True)
        (drop_in / "plugin.yaml").write_text(
            "name: gone\napi: 1\nprovides: {providers: {gone: {transport: scripted, key_env: GONE_KEY, models: [g]}}}\n"
        )

        def reach(*keys: str, **query: str) -> Target:
            settings = {"model": {"routing": "wide"}, "plugins": {"enabled": [], "disabled": ["gone"]}}
            return fresh.target(*keys, settings=settings, **query)

        return reach

    def test_its_key_is_passed_over(self, off: Callable[..., Target]) -> None:
        assert off("GONE_KEY", "NAMED_KEY").provider == "named"

    @pytest.mark.parametrize("query", [{"provider": "gone"}, {"model": "gone:g"}])
    def test_asked_for_by_name_it_is_told(self, off: Callable[..., Target], query: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match='"gone" comes with the plugin "gone", which is switched off') as caught:
            off("GONE_KEY", **query)
        assert caught.value.hint == "hermes plugins enable gone"


class TestAddress:
    def test_options_fill_it(self, home: Home) -> None:
        found = home.target(provider="pair", PAIR_TOKEN="k", PAIR_PROJECT="p-1")
        assert found.endpoint.base_url == "https://us-1.pair.example/p-1"
        found = home.target(provider="pair", PAIR_TOKEN="k", PAIR_ALT="p-2", PAIR_REGION="eu-2")
        assert found.endpoint.base_url == "https://eu-2.pair.example/p-2"
        assert found.endpoint.options == {"project": "p-2", "region": "eu-2"}

    @pytest.mark.parametrize(
        "value", ["evil.example/", "a@evil.example", "evil.example#", "a:1", "..", "a b", "-x", "é"]
    )
    def test_an_option_that_could_lead_to_another_host_is_refused(self, home: Home, value: str) -> None:
        error = home.refused(provider="pair", PAIR_TOKEN="k", PAIR_PROJECT="p", PAIR_REGION=value)
        assert str(error) == f'The provider "pair" needs a region; {value!r} is none.'
        assert error.hint == "Set PAIR_REGION."

    def test_one_that_is_missing_is_named(self, home: Home) -> None:
        error = home.refused(provider="pair", PAIR_TOKEN="k")
        assert str(error) == 'The provider "pair" needs a project.'
        assert error.hint == "Set PAIR_PROJECT or PAIR_ALT."
        bare = {**WIRE, "base_url": "https://{place}.example", "models": ["m"]}
        error = home.refused(settings={"providers": {"mine": bare}})
        assert error.hint == "Set providers.mine.options.place."

    def test_a_variable_or_a_setting_takes_its_place(self, home: Home) -> None:
        assert home.target("ACME_KEY", ACME_URL="http://127.0.0.1:2/").endpoint.base_url == "http://127.0.0.1:2"
        settings = {"model": {"base_url": "http://127.0.0.1:3", "provider": "acme"}}
        found = home.target("ACME_KEY", settings=settings, ACME_URL="http://127.0.0.1:2")
        assert found.endpoint.base_url == "http://127.0.0.1:3"

    def test_where_there_is_none_the_variable_is_named(self, home: Home) -> None:
        error = home.refused("NOWHERE_KEY", provider="nowhere")
        assert str(error) == 'The provider "nowhere" has no address.'
        assert "NOWHERE_URL" in error.hint
        assert home.target("NOWHERE_KEY", provider="nowhere", NOWHERE_URL="https://a.example").endpoint.base_url

    @pytest.mark.parametrize("address", ["acme.example", "file:///etc/passwd", "https://"])
    def test_one_that_is_no_url(self, home: Home, address: str) -> None:
        assert "is no URL" in str(home.refused("ACME_KEY", provider="acme", ACME_URL=address))


class TestKeyOrInstead:
    def test_an_option_may_stand_for_the_key(self, home: Home) -> None:
        found = home.target(provider="pair", PAIR_ACCESS="a", PAIR_PROJECT="p")
        assert (found.endpoint.key, found.endpoint.key_source) == ("", "env:PAIR_ACCESS")
        assert found.endpoint.options["access"] == "a"
        assert home.target(PAIR_ACCESS="a", PAIR_PROJECT="p").provider == "pair", "it chooses it, too"

    def test_the_key_comes_before_it(self, home: Home) -> None:
        found = home.target("PAIR_TOKEN", provider="pair", PAIR_ACCESS="a", PAIR_PROJECT="p")
        assert (found.endpoint.key, found.endpoint.key_source) == ("k", "env:PAIR_TOKEN")

    def test_neither(self, home: Home) -> None:
        error = home.refused(provider="pair", PAIR_PROJECT="p")
        assert str(error) == 'No key for the provider "pair" (looked for: PAIR_TOKEN, PAIR_ACCESS).'

    def test_an_optional_key(self, home: Home) -> None:
        assert home.target(provider="local").endpoint.key_source == ""
        assert home.target("LOCAL_KEY", provider="local").endpoint.key == "k"


class TestEnvironment:
    SPEC = {
        "providers": {
            "acme": {
                "headers": {"X-Title": "Hermes", "X-Plain": "p"},
                "header_env": {"X-Title": "ACME_TITLE", "Referer": "ACME_REFERER"},
                "body": {"provider": {"sort": "price"}, "temperature": 0.6},
                "body_env": {"provider.order": "ACME_ORDER", "provider.allow": "ACME_ALLOW", "top_k": "ACME_TOP_K"},
            }
        }
    }

    def test_headers(self, home: Home) -> None:
        assert home.target("ACME_KEY", settings=self.SPEC).endpoint.headers == {"X-Title": "Hermes", "X-Plain": "p"}
        found = home.target("ACME_KEY", settings=self.SPEC, ACME_TITLE="Mine", ACME_REFERER="r")
        assert found.endpoint.headers == {"X-Title": "Mine", "X-Plain": "p", "Referer": "r"}

    def test_members_of_the_body(self, home: Home) -> None:
        assert home.target("ACME_KEY", settings=self.SPEC).body == {"provider": {"sort": "price"}, "temperature": 0.6}
        found = home.target("ACME_KEY", settings=self.SPEC, ACME_ORDER="a, b,", ACME_ALLOW="false", ACME_TOP_K="20")
        assert found.body == {
            "provider": {"sort": "price", "order": ["a", "b"], "allow": False}, "temperature": 0.6, "top_k": 20,
        }  # fmt: skip


class TestRules:
    @staticmethod
    def spec(**rules: Any) -> dict[str, Any]:
        listed = [{"match": match.replace("_", "-"), **rule} for match, rule in rules.items()]
        return {"providers": {"acme": {"quirks": {"a": 1}, "body": {"x": {"y": 1}}, "rules": listed}}}

    def test_every_rule_that_matches_the_beginning_applies_in_order(self, home: Home) -> None:
        settings = self.spec(
            m={"quirks": {"b": 1}, "body": {"x": {"z": 2}}}, m_2={"quirks": {"b": 2}}, other={"quirks": {"c": 1}}
        )
        found = home.target("ACME_KEY", settings=settings, model="acme:m-2-large")
        assert found.endpoint.quirks == {"a": 1, "b": 2}
        assert found.body == {"x": {"y": 1, "z": 2}}
        assert home.target("ACME_KEY", settings=settings, model="acme:an-m").endpoint.quirks == {"a": 1}

    def test_another_wire_has_none_of_the_providers_quirks(self, home: Home) -> None:
        settings = self.spec(m={"transport": "other", "quirks": {"b": 1}}, m_2={"quirks": {"c": 1}})
        found = home.target("ACME_KEY", settings=settings, model="acme:m-2")
        assert found.spec.transport == "other"
        assert found.endpoint.quirks == {"b": 1, "c": 1}
        found = home.target(
            "ACME_KEY", settings=self.spec(m={"transport": "scripted", "quirks": {"b": 1}}), model="acme:m"
        )
        assert found.endpoint.quirks == {"a": 1, "b": 1}, "it is the same wire"

    def test_some_hold_only_at_the_providers_own_address(self, home: Home) -> None:
        settings = self.spec(m={"quirks": {"b": 1}, "own_address": True})
        assert "b" in home.target("ACME_KEY", settings=settings, model="acme:m").endpoint.quirks
        found = home.target("ACME_KEY", settings=settings, model="acme:m", ACME_URL="http://127.0.0.1:2")
        assert "b" not in found.endpoint.quirks
        settings["model"] = {"base_url": "http://127.0.0.1:3", "provider": "acme"}
        assert "b" not in home.target("ACME_KEY", settings=settings, model="acme:m").endpoint.quirks


def test_what_a_request_says_itself_comes_before_the_body(home: Home) -> None:
    settings = {"providers": {"acme": {"body": {"temperature": 0.6, "top_k": 20}, "headers": {"X-S": "s-{session}"}}}}
    target = home.target("ACME_KEY", settings=settings)
    request = ModelRequest(id="1", session_id="abc", turn_id="t", endpoint=target.endpoint, model="m", temperature=0.1)
    sent = addressed(request, target, "2")
    assert (sent.extra, sent.id, sent.model) == ({"top_k": 20}, "2", "acme-4-5")
    assert sent.endpoint.headers == {"X-S": "s-abc"}


class TestLists:
    def test_a_provider_without_any_known_model_can_be_asked_for_its_list(self, fresh: Home) -> None:
        async def work() -> tuple[Target, list[str], list[str]]:
            mine = {**WIRE, "base_url": "http://127.0.0.1:1"}
            async with fresh.app({}, {"providers": {"mine": mine}}) as app:
                target = await app.router.lister(app.scope, "mine")
                listed = [info.id for info in (await app.router.models(target)).models]
                return target, listed, [info.id for info in app.router.catalog.live("mine").models]  # type: ignore[union-attr]

        target, listed, kept = asyncio.run(work())
        assert (target.provider, target.model) == ("mine", "")
        assert listed == kept == ["model-1", "model-2"]

    def test_rules_for_models_do_not_hold_for_the_list(self, fresh: Home) -> None:
        async def work() -> str:
            rules = [{"match": "a", "transport": "other"}]
            async with fresh.app({"ACME_KEY": "k"}, {"providers": {"acme": {"rules": rules}}}) as app:
                return (await app.router.lister(app.scope, "AC")).spec.transport

        assert asyncio.run(work()) == "scripted"

    def test_without_a_key_it_is_told(self, fresh: Home) -> None:
        async def work() -> None:
            async with fresh.app({}, {}) as app:
                await app.router.lister(app.scope, "acme")

        with pytest.raises(ConfigError, match='No key for the provider "acme"'):
            asyncio.run(work())


class Packages:
    name = "packages"
    manifest = Manifest(name="packages", provides={"packages": {"transport": {"morse": "hermes-plugin-telegraph"}}})


class TestWires:
    def missing(
        self, fresh: Home, transport: str, *plugins: Any, settings: Mapping[str, Any] | None = None
    ) -> HermesError:
        async def work() -> None:
            changed = {"providers": {"acme": {"transport": transport}}, **(settings or {})}
            async with fresh.app({"ACME_KEY": "k"}, changed, *plugins) as app:
                await app.router.provider(await app.router.target(app.scope))

        with pytest.raises(ConfigError) as caught:
            asyncio.run(work())
        return caught.value

    def test_one_that_is_not_installed_names_its_package(self, fresh: Home) -> None:
        error = self.missing(fresh, "morse", Packages())
        assert str(error) == 'The provider "acme": No plugin provides the transport "morse". There are: scripted.'
        assert error.hint == "pip install hermes-plugin-telegraph"

    def test_one_that_nobody_knows(self, fresh: Home) -> None:
        error = self.missing(fresh, "scrypted", Packages())
        assert 'Did you mean "scripted"?' in str(error)
        assert error.hint.endswith("pip install hermes-plugin-scrypted")

    def test_one_whose_plugin_is_switched_off(self, fresh: Home) -> None:
        drop_in = fresh.folder / "plugins" / "telegraph"
        drop_in.mkdir(parents=True)
        (drop_in / "plugin.yaml").write_text("name: telegraph\napi: 1\nprovides: {transport: [morse]}\n")
        error = self.missing(fresh, "morse", Packages(), settings={"plugins": {"disabled": ["telegraph"]}})
        assert error.hint == "hermes plugins enable telegraph"

    def test_an_isolated_plugin_does_not_say_what_to_install(self, fresh: Home) -> None:
        drop_in = fresh.folder / "plugins" / "stranger"
        drop_in.mkdir(parents=True)
        (drop_in / "plugin.yaml").write_text(
            "name: stranger\napi: 1\nprovides: {packages: {transport: {morse: evil}}}\n"
        )
        entries = {"stranger": {"isolation": "isolated"}}
        error = self.missing(fresh, "morse", settings={"plugins": {"enabled": ["stranger"], "entries": entries}})
        assert error.hint.endswith("pip install hermes-plugin-morse")
        trusted = {"stranger": {"isolation": "host"}}
        error = self.missing(fresh, "morse", settings={"plugins": {"enabled": ["stranger"], "entries": trusted}})
        assert error.hint == "pip install evil"


def test_a_manifests_packages_have_a_shape() -> None:
    with pytest.raises(PluginError, match="Expected `object`"):
        parse_manifest({"name": "x", "provides": {"packages": ["morse"]}}, "x")


@pytest.mark.parametrize("model", ["acmee:acme-5", "acme-ia:acme-5", "acmee/acme-5"])
def test_a_misspelt_provider_before_a_model_is_told(home: Home, model: str) -> None:
    for settings in ({}, {"model": {"provider": "bolt"}}):
        error = home.refused("BOLT_KEY", settings=settings, model=model)
        assert "Did you mean" in str(error)
    assert home.target("BOLT_KEY", model="zzz:acme-5").model == "zzz:acme-5", "like no provider's name"
    assert home.target("MANY_KEY", model=model).model == model, "where names have such parts it may be one"


@pytest.mark.parametrize(
    "address", ["http://h:99999/v1", "http://h/v1?x=1", "http://h 1/v1", "ftp://h", "h:80", "http://"]
)
def test_an_address_that_is_none_names_who_said_it(home: Home, address: str) -> None:
    async def work() -> None:
        async with home.app({"ACME_KEY": "k", "ACME_URL": address}, {}) as app:
            await app.router.target(app.scope, provider="acme")

    with pytest.raises(ConfigError, match="is no URL") as caught:
        asyncio.run(work())
    assert "env:ACME_URL" in caught.value.hint


def test_a_password_in_an_address_is_not_shown() -> None:
    assert shown_address("https://me:secret@host/v1?a=b@c") == "https://***@host/v1?a=b@c"
    assert shown_address("https://me:p@w@host/v1") == "https://***@host/v1"
    assert shown_address("https://host/v1") == "https://host/v1"


def test_a_variable_that_chose_is_named(home: Home) -> None:
    async def work(environ: dict[str, str]) -> str:
        async with App(
            home.folder, plugins=[Providers()], environ=environ, overrides={"plugins": {"enabled": ["-"]}}
        ) as app:
            return (await app.router.routing.choose(app.scope)).why

    assert asyncio.run(work({"HERMES_PROVIDER": "acme"})) == "HERMES_PROVIDER names it"
    assert asyncio.run(work({"HERMES_MODEL": "bolt:b-1"})) == 'HERMES_MODEL says "bolt:b-1"'


def test_an_address_is_the_chosen_providers_alone(home: Home) -> None:
    address = {"base_url": "http://gate.example/v1"}
    settings = {"model": {"provider": "bolt", **address}, "fallback_providers": ["acme:acme-5"]}
    keys = ("BOLT_KEY", "ACME_KEY")
    assert home.target(*keys, settings=settings).endpoint.base_url == "http://gate.example/v1"
    assert home.target(*keys, settings=settings, provider="acme").endpoint.base_url == "https://acme.example/v1"
    by_model = {"model": {"default": "bolt:b-1", **address}}
    assert home.target(*keys, settings=by_model).endpoint.base_url == "http://gate.example/v1"
    assert home.target(*keys, settings=by_model, provider="acme").endpoint.base_url == "https://acme.example/v1"
    for query in ({}, {"provider": "acme"}):
        error = home.refused(*keys, settings={"model": address}, **query)
        assert "nobody says whose address it is" in str(error)


def test_a_misspelt_provider_is_told_also_where_there_is_no_key(home: Home) -> None:
    assert 'No provider "acmee". Did you mean "acme"?' in str(home.refused(model="acmee:acme-5"))
    assert "no key is found" in str(home.refused(model="zzz:acme-5"))
