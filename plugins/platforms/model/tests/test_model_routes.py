"""``hermes model explain`` answers for every line of the table in ``docs/routing.md`` as the table says."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from hermes import App, ConfigError, Provision, hookimpl
from hermes.config.home import Home
from hermes.config.load import merge, nested, read_value
from hermes.models.credentials import key_names, variables
from hermes.models.routing import REST
from hermes.plugins.index import load_index
from hermes.plugins.indexed import IndexedPlugin
from hermes.plugins.manifest import Manifest, read_manifest
from hermes_plugin_model.changes import SHOWN
from hermes_plugin_model.explain import Explanation, explain
from hermes_testkit.scripted import ScriptedModel

ROOT = Path(__file__).resolve().parents[4]
WIRES = ("anthropic_messages", "bedrock_converse", "chat_completions", "gemini", "responses")
SPAN = re.compile(r"`([^`]*)`")
KEY = "k-0123456789"


class Row(NamedTuple):
    variables: str
    settings: str
    asked: str
    answer: str
    key: str


def table() -> list[Row]:
    lines = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8").partition("## By example")[2].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [Row(*row) for row in cells[2:]]


def installed(manifest: Manifest) -> IndexedPlugin:
    """As the index has it, without wires: what is imported of a provider is no matter of routing."""
    kept = {kind: names for kind, names in manifest.provides.items() if kind in ("packages", "providers", "routing")}
    bare = msgspec.structs.replace(manifest, provides=kept, hooks=[])
    return IndexedPlugin(name=manifest.name, source="installed", manifest=bare, first_party=True)


class Installed:
    """A home, and the providers of this repository; what is installed is looked up once."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._index = load_index(Home(self.home), str(self.home))

    def app(
        self, environ: dict[str, str], settings: dict[str, Any], absent: Collection[str] = (), *, wires: bool = True
    ) -> App:
        plugins = [installed(manifest) for manifest in (*MANIFESTS, MODEL) if manifest.name not in absent]
        index = msgspec.structs.replace(self._index, settings=settings, plugins=plugins)
        return App(
            self.home, plugins=[Wires()] if wires else [], environ=environ, workspace=str(self.home), index=index
        )

    def explained(self, row: Row) -> Explanation:
        environ, in_file = {}, []
        for span in SPAN.findall(row.variables):
            name, equals, value = span.partition("=")
            if name.startswith(".env:"):
                in_file.append(f"{name.removeprefix('.env:')}={KEY}\n")
            else:
                environ[name] = value if equals else KEY
        (self.home / ".env").write_text("".join(in_file))
        (self.home / ".env").chmod(0o600)
        absent: set[str] = set()
        settings: dict[str, Any] = {}
        for span in SPAN.findall(row.settings):
            if row.settings.startswith("not installed"):
                absent.add(span)
            else:
                dotted, _, text = span.partition(": ")
                settings = merge(settings, nested(dotted, read_value(text)))
        return self.told(environ, settings, " ".join(SPAN.findall(row.asked)), absent)

    def told(
        self, environ: dict[str, str], settings: dict[str, Any], asked: str = "", absent: Collection[str] = ()
    ) -> Explanation:
        """``asked``: the flags."""
        flags = shlex.split(asked)
        given = dict(zip(flags[::2], flags[1::2], strict=True))

        async def work() -> Explanation:
            async with self.app(environ, settings, absent) as app:
                return await explain(app, provider=given.get("--provider", ""), model=given.get("-m", ""))

        return asyncio.run(work())

    def answer(self, environ: dict[str, str], settings: dict[str, Any], asked: str = "") -> str:
        """What it comes to, as ``provider:model`` or as an error."""

        async def work() -> str:
            async with self.app(environ, settings) as app:
                flags = shlex.split(asked)
                given = dict(zip(flags[::2], flags[1::2], strict=True))
                try:
                    choice = await app.router.routing.choose(
                        app.scope, provider=given.get("--provider", ""), model=given.get("-m", "")
                    )
                    return f"{choice.provider}:{choice.model or default_of(choice.provider)}"
                except ConfigError as error:
                    return f"nothing, for: {error}"

        return asyncio.run(work())

    def changes(self, variables: str, settings: str = "", asked: str = "") -> list[str]:
        return self.explained(Row(variables, settings, asked, "", "")).changes


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("routes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield Installed(folder)


class Wires:
    name = "wires"
    manifest = Manifest(name="wires", provides={"transport": list(WIRES)})

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("transport", wire, ScriptedModel) for wire in WIRES]


MANIFESTS = [read_manifest(file) for file in sorted((ROOT / "plugins" / "providers").glob("*/src/*/plugin.yaml"))]
MODEL = read_manifest(ROOT / "plugins/platforms/model/src/hermes_plugin_model/plugin.yaml")


def default_of(provider: str) -> str:
    specs = {name: spec for manifest in MANIFESTS for name, spec in manifest.providers.items()}
    first = specs[provider].models[0]
    return first if isinstance(first, str) else first.id


@pytest.mark.parametrize("row", table(), ids=lambda row: " ".join(filter(None, row[:3])) or "nothing")
def test_the_table_is_true(here: Installed, row: Row) -> None:
    spans = SPAN.findall(row.answer)
    if row.answer.startswith("error:"):
        with pytest.raises(ConfigError) as caught:
            here.explained(row)
        assert spans[0] in str(caught.value)
        assert caught.value.exit_code == 2
        assert caught.value.hint or "pip install" in str(caught.value)
        return
    found = here.explained(row)
    provider, _, model = spans[0].partition(":")
    assert (found.provider, found.model) == (provider, default_of(provider) if model == "…" else model)
    key = "".join(SPAN.findall(row.key))
    assert found.key_source == (f"{here.home}/{key}" if key.startswith(".env:") else key)
    assert KEY not in str(found)
    assert found.why
    assert found.transport in WIRES
    if len(spans) > 1:
        assert found.base_url == spans[1]
    else:
        assert ("127.0.0.1" in found.base_url) == (provider == "ollama")


def test_the_table_covers_what_was_promised() -> None:
    assert len(table()) >= 40


def test_what_would_come_first_next_and_in_other_orders_is_told(here: Installed) -> None:
    told = here.changes("`OPENAI_API_KEY` `OPENROUTER_API_KEY`")
    claude = f"anthropic:{default_of('anthropic')}"
    assert f"{claude}, if one of these were set: ANTHROPIC_API_KEY, ANTHROPIC_TOKEN, CLAUDE_CODE_OAUTH_TOKEN" in told
    assert f"Without env:OPENAI_API_KEY: openrouter:{default_of('openrouter')}" in told
    assert f"model.routing: molecule: openrouter:{default_of('openrouter')}" in told
    assert "-m PROVIDER:MODEL, for one call" in told
    assert "Another address, by OPENAI_BASE_URL" in told


BOTH = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]
SITUATIONS: list[tuple[list[str], dict[str, Any], str]] = [
    (["OPENAI_API_KEY"], {}, ""),
    (BOTH, {}, "-m gpt-5.6-luna"),
    ([*BOTH, "OPENROUTER_API_KEY"], {}, "-m anthropic/claude-sonnet-5.5"),
    (["OPENROUTER_API_KEY", "GROQ_API_KEY"], {}, "-m anthropic/claude-sonnet-5.5"),
    (["GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY"], {}, ""),
    (["GROQ_API_KEY", "AWS_ACCESS_KEY_ID"], {"model": {"routing": "jetty"}}, ""),
    (BOTH, {"model": {"provider": "openai"}}, ""),
    (BOTH, {"model": {"provider": "openai", "default": "gpt-5.6-luna"}}, ""),
    (BOTH, {"model": {"default": "gpt-5.6-luna"}}, ""),
    ([*BOTH, "HERMES_MODEL=openai:gpt-5.6-luna"], {"model": {"default": "claude-opus-5"}}, ""),
    ([*BOTH, "HERMES_PROVIDER=openai"], {"model": {"provider": "anthropic"}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("names", "settings", "asked"), SITUATIONS, ids=lambda value: str(value)[:60])
def test_each_change_that_is_told_makes_that_change_and_no_other_key_or_order_does(
    here: Installed, names: list[str], settings: dict[str, Any], asked: str
) -> None:
    environ = {name: value or KEY for name, _, value in (text.partition("=") for text in names)}
    found = here.told(environ, settings, asked)
    before = f"{found.provider}:{found.model}"
    keys, orders = set(), set()
    for line in found.changes:
        what, _, then = line.partition(": ")
        if what == "Without -m and --provider":
            assert here.answer(environ, settings) == then != before
        elif what.startswith("Without model."):
            key = what.removeprefix("Without model.")
            assert here.answer(environ, merge(settings, {"model": {key: ""}}), asked) == then != before
        elif what.startswith("Without "):
            gone = {name.removeprefix("env:") for name in what.removeprefix("Without ").split(" and ")}
            left = {name: value for name, value in environ.items() if name not in gone}
            assert here.answer(left, settings, asked) == then != before
        elif what == "model.routing":
            order, _, then = then.partition(": ")
            orders.add(order)
            assert here.answer(environ, merge(settings, {"model": {"routing": order}}), asked) == then != before
        elif what.endswith(", if one of these were set"):
            for name in then.split(", "):
                keys.add(name)
                assert here.answer({**environ, name: KEY}, settings, asked) == what.partition(", ")[0] != before
    assert len(found.changes) > 1
    for order in {"hermes", "molecule", "jetty"} - orders:
        assert here.answer(environ, merge(settings, {"model": {"routing": order}}), asked) == before
    for name in {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"} - keys - set(environ):
        assert here.answer({**environ, name: KEY}, settings, asked) == before


def test_no_change_is_told_that_changes_nothing(here: Installed) -> None:
    told = here.changes("`OPENAI_API_KEY` `ANTHROPIC_API_KEY`", asked="`-m gpt-5.6-luna`")
    assert not [line for line in told if line.startswith("model.routing")]
    assert not [line for line in told if "if one of these were set" in line]
    assert "Without env:OPENAI_API_KEY: anthropic:gpt-5.6-luna" in told


def test_of_many_that_would_come_first_most_are_told_by_name_alone(here: Installed) -> None:
    told = here.changes("`GROQ_API_KEY`")
    assert len([text for text in told if "if one of these were set" in text]) == SHOWN
    (more,) = [text for text in told if text.startswith("A key of one of these, too: ")]
    assert "deepseek" in more
    assert "xai" not in more


def test_a_second_key_of_the_same_provider_is_told(here: Installed) -> None:
    told = here.changes("`GEMINI_API_KEY` `GOOGLE_API_KEY`")
    assert "GOOGLE_API_KEY is set, too; GEMINI_API_KEY comes first" in told


def test_what_was_asked_for_by_name_is_told_apart_from_the_settings(here: Installed) -> None:
    told = here.changes("`OPENAI_API_KEY` `ANTHROPIC_API_KEY`", asked="`-m openai:gpt-5.6-luna`")
    assert told[0] == f"Without -m and --provider: anthropic:{default_of('anthropic')}"
    assert not [text for text in told if text.startswith("-m")]


def test_the_variable_that_chose_is_named_and_what_stands_behind_it(here: Installed) -> None:
    found = here.told({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "HERMES_MODEL": "openai:gpt-5.6-luna"}, {})
    assert found.why == 'HERMES_MODEL says "openai:gpt-5.6-luna"'
    assert f"Without HERMES_MODEL: anthropic:{default_of('anthropic')}" in found.changes
    assert "model.default" not in str(found.changes)


def test_of_two_variables_for_one_setting_the_one_that_counts_is_told(here: Installed) -> None:
    both = {"HERMES_MODEL": "openai:gpt-5.6-luna", "HERMES_INFERENCE_MODEL": "anthropic:claude-opus-5"}
    found = here.told({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, **both}, {})
    winner = found.why.partition(" ")[0]
    (other,) = set(both) - {winner}
    assert f"{found.provider}:{found.model}" == both[winner]
    assert f"Without {winner}: {both[other]}" in found.changes
    assert f"{other} is set, too; {winner} comes before it" in found.changes


def test_whose_word_the_address_is_is_told(here: Installed) -> None:
    environ = {"OPENAI_API_KEY": KEY, "HERMES_PROVIDER": "openai", "HERMES_BASE_URL": "http://127.0.0.1:9/v1"}
    told = here.told(environ, {}).changes
    assert "The address is that of HERMES_BASE_URL" in told
    (without,) = [line for line in told if line.startswith("Without HERMES_PROVIDER")]
    assert without.startswith("Without HERMES_PROVIDER: nothing, for: HERMES_BASE_URL is set, and nobody says whose")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("-m gpt-9", "openai:gpt-6-sol"),
        ("-m openai:gpt-5.6-lun", "openai:gpt-5.6-luna"),
        ("-m clade-opus-5-5", "anthropic:claude-opus-5-5"),
    ],
)
def test_a_model_that_nobody_knows_is_noted_with_the_nearest(here: Installed, asked: str, near: str) -> None:
    found = here.told({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}, {}, asked)
    (note,) = found.notes
    assert f'"{found.model}" is not known to be a model of {found.provider}' in note
    assert near in note.partition("; nearest: ")[2].split(", ")


def test_one_that_is_known_or_cannot_be_is_not_noted(here: Installed) -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENROUTER_API_KEY": KEY}
    for asked in ("-m openai:gpt-5.6-luna", "-m openrouter:some/other-model", "-m ollama:mistral:7b"):
        assert here.told(environ, {}, asked).notes == []


def test_the_price_has_its_source_and_its_day(here: Installed) -> None:
    price = here.told({"OPENAI_API_KEY": KEY}, {}, "-m openai:gpt-5.6-luna").as_dict()["price"]
    assert (price["source"], price["date"]) == ("the manifest of openai", "2026-11-21")
    assert price["input_usd"] > 0


def test_no_password_of_an_address_is_shown(here: Installed) -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://user:pw-of-mine@127.0.0.1:9/v1"}
    found = here.told(environ, {})
    assert found.base_url == "http://***@127.0.0.1:9/v1"
    assert "pw-of-mine" not in str(found)


def test_every_manifest_with_prices_says_of_which_day(here: Installed) -> None:
    for manifest in MANIFESTS:
        for name, spec in manifest.providers.items():
            priced = any(getattr(model, "input_usd", None) is not None for model in spec.models)
            assert bool(re.fullmatch(r"2026-11-\d\d", spec.prices_of)) == priced, name


def test_fallbacks_are_told_with_those_that_cannot_be_used(here: Installed) -> None:
    chain: dict[str, Any] = {"fallback_providers": ["openrouter:z-ai/glm-5.3", "groq:x", "opnai:x"]}

    async def work() -> Explanation:
        async with here.app({"ANTHROPIC_API_KEY": KEY, "OPENROUTER_API_KEY": KEY}, chain) as app:
            return await explain(app)

    good, bad, misspelt = asyncio.run(work()).fallbacks
    assert (good.provider, good.model, good.problem) == ("openrouter", "z-ai/glm-5.3", "")
    assert (bad.name, bad.provider) == ("groq:x", "")
    assert 'No key for the provider "groq"' in bad.problem
    assert 'No provider "opnai". Did you mean "openai"?' in misspelt.problem


@pytest.mark.parametrize(
    ("wire", "package"),
    [
        ("anthropic_messages", "hermes-plugin-anthropic"),
        ("bedrock_converse", "hermes-plugin-bedrock"),
        ("chat_completions", "hermes-plugin-openai"),
        ("gemini", "hermes-plugin-gemini"),
        ("responses", "hermes-plugin-openai"),
    ],
)
def test_a_wire_that_is_not_installed_names_the_package(here: Installed, wire: str, package: str) -> None:
    async def work() -> None:
        mine = {"transport": wire, "base_url": "http://127.0.0.1:9", "models": ["m"]}
        async with here.app({}, {"providers": {"mine": mine}}, wires=False) as app:
            await explain(app)

    with pytest.raises(ConfigError, match=f'"mine": No plugin provides the transport "{wire}"') as caught:
        asyncio.run(work())
    assert caught.value.hint == f"pip install {package}"


def test_every_wire_that_a_provider_speaks_has_a_package() -> None:
    specs = [spec for manifest in MANIFESTS for spec in manifest.providers.values()]
    spoken = {spec.transport for spec in specs} | {rule.transport for spec in specs for rule in spec.rules}
    assert spoken - {"", "replay"} <= set(MODEL.packages["transport"])


def test_every_provider_that_an_order_names_is_there_with_its_keys() -> None:
    specs = {name: spec for manifest in MANIFESTS for name, spec in manifest.providers.items()}
    for order in MODEL.routing.values():
        for entry in order:
            if entry.provider == REST:
                continue
            assert set(entry.keys) <= set(variables(specs[entry.provider]))
            assert key_names(specs[entry.provider])[0] == entry.keys[0]
