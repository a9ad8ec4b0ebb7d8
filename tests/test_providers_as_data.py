"""Providers that are only data: what their manifests say is sound, and a chat with tools works through each of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from hermes import App, SystemBlock, TextDelta, TurnFinished, hookimpl
from hermes.contracts.errors import ConfigError
from hermes.contracts.provider import ModelInfo, ProviderSpec
from hermes.plugins.manifest import Manifest, parse_manifest, read_manifest
from hermes_testkit.model_server import Call, ModelServer, Reply, Say
from hermes_testkit.seen import SeenPrompt, SeenRequest
from hermes_testkit.wires import WIRES

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = sorted(ROOT.glob("plugins/providers/*/src/*/plugin.yaml"))
KEY = "a-key-for-the-tests"
LOCAL = "127.0.0.1"
PREFERRED = {"openrouter": 30, "nous": 40}
"""Of ours; those with a wire of their own have the places between. All others: by name, behind them."""
ANY_MODEL = {"azure-foundry"}
"""What is deployed there is the user's."""
NO_TOOLS = re.compile("(?i)hermes-4")
"""Told of tools in words, so none are declared."""


class Packaged(NamedTuple):
    """A provider, and the plugin whose manifest has it."""

    name: str
    spec: ProviderSpec
    manifest: Manifest
    folder: Path

    @property
    def only_data(self) -> bool:
        return set(self.manifest.provides) == {"providers"}

    @property
    def keys(self) -> list[str]:
        return [self.spec.key_env] if isinstance(self.spec.key_env, str) else list(self.spec.key_env)

    @property
    def models(self) -> list[ModelInfo]:
        return [ModelInfo(id=model) if isinstance(model, str) else model for model in self.spec.models]

    @property
    def is_local(self) -> bool:
        return urlsplit(self.spec.base_url).hostname == LOCAL

    def transport(self, model: str) -> str:
        """By which wire this model is asked, as the rules have it."""
        named = [rule.transport for rule in self.spec.rules if rule.transport and re.match(rule.match, model)]
        return named[-1] if named else self.spec.transport


def packaged() -> list[Packaged]:
    return [
        Packaged(name, spec, manifest, file.parents[2])
        for file in MANIFESTS
        for manifest in [parse_manifest(yaml.safe_load(file.read_text(encoding="utf-8")), str(file))]
        for name, spec in manifest.providers.items()
    ]


ALL = packaged()
DATA = [provider for provider in ALL if provider.only_data]
each = pytest.mark.parametrize("provider", DATA, ids=lambda provider: provider.name)


def twice(names: Iterable[str]) -> set[str]:
    listed = list(names)
    return {name for name in listed if listed.count(name) > 1}


def test_there_are_many() -> None:
    assert len(DATA) >= 35


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.parents[2].name)
def test_a_manifest_can_be_read(file: Path) -> None:
    assert read_manifest(file).name == file.parents[2].name


def test_nobody_else_has_the_name_or_the_key() -> None:
    """A name, an alias, a first key, an address's variable: each leads to one provider."""
    names = [name.lower() for provider in ALL for name in (provider.name, *provider.spec.aliases)]
    assert not twice(names)
    assert not twice(provider.keys[0] for provider in ALL if provider.keys)
    assert not twice(provider.spec.base_url_env for provider in ALL if provider.spec.base_url_env)


@each
def test_the_package_is_the_provider(provider: Packaged) -> None:
    assert provider.name == provider.manifest.name == provider.folder.name
    module = provider.folder / "src" / f"hermes_plugin_{provider.name.replace('-', '_')}"
    files = {file.name for file in module.iterdir() if file.is_file()}
    assert files == {"__init__.py", "plugin.yaml", "py.typed"}
    assert provider.manifest.description
    assert provider.spec.title


@each
def test_addresses_are_addresses(provider: Packaged) -> None:
    spec = provider.spec
    assert re.fullmatch(r"[A-Z0-9_]+_BASE_URL", spec.base_url_env), "another address can be set"
    if spec.base_url:
        parts = urlsplit(spec.base_url)
        assert parts.scheme == ("http" if provider.is_local else "https")
        assert parts.hostname
        assert spec.base_url == f"{parts.scheme}://{parts.netloc}{parts.path}"
        assert "@" not in parts.netloc
        assert not parts.path.endswith(("/", "/chat/completions", "/responses", "/messages"))
    else:
        assert not spec.automatic, "a key alone does not choose what has no address"
    for page in (spec.key_url, spec.billing_url):
        assert not page or (urlsplit(page).scheme == "https" and "." in (urlsplit(page).hostname or "")), page
    assert provider.is_local or spec.key_url or spec.oauth, "where is a key to come from?"


@each
def test_keys_are_variables(provider: Packaged) -> None:
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in provider.keys)
    if provider.is_local:
        assert not provider.spec.automatic
        assert provider.spec.key_optional or not provider.keys
    else:
        assert provider.keys
        assert not provider.spec.key_optional


@each
def test_the_default_model_is_one_to_rely_on(provider: Packaged) -> None:
    models = provider.models
    assert bool(models) != (provider.is_local or provider.name in ANY_MODEL)
    assert not twice(model.id for model in models)
    assert not models or not models[0].retires
    for model in models:
        assert (model.input_usd is None) == (model.output_usd is None), model.id
        assert model.cache_read_usd is None or model.cache_read_usd <= (model.input_usd or 0), model.id
        assert not model.max_output or model.max_output <= model.context_window, model.id


@each
def test_rules_are_for_somebody(provider: Packaged) -> None:
    for rule in provider.spec.rules:
        re.compile(rule.match)
        assert rule.transport or rule.quirks or rule.body, rule.match
        assert rule.transport in ("", *WIRES), rule.match


@each
def test_it_asks_for_the_variables_that_it_names(provider: Packaged) -> None:
    """Else it would have no key where it is installed into a home, and not beside Hermes."""
    named = [*provider.keys, *provider.spec.header_env.values(), *provider.spec.body_env.values()]
    assert provider.manifest.permissions.secrets == named


def test_the_order_among_keys_found() -> None:
    assert {one.name: one.spec.priority for one in DATA if one.spec.priority != ProviderSpec().priority} == PREFERRED


@each
def test_the_readme_says_how(provider: Packaged) -> None:
    text = (provider.folder / "README.md").read_text(encoding="utf-8")
    assert f"pip install hermes-plugin-{provider.name}\n" in text
    assert re.search(rf"-m {provider.name}:\S", text)
    for name in (*provider.keys, provider.spec.base_url_env, *provider.spec.header_env.values()):
        assert f"`{name}`" in text or f"export {name}=" in text, name
    assert not provider.spec.key_url or provider.spec.key_url in text


class Watch:
    """A tool, and a second system block."""

    manifest = Manifest(name="watch")

    @hookimpl
    def register_tools(self, registry: Any) -> None:
        registry.add(self.get_time, name="get_time", risk="read", effects="none")

    @hookimpl
    def system_blocks(self, session: Any) -> list[SystemBlock]:
        return [SystemBlock(name="watch", text="You have a watch.")]

    def get_time(self, zone: str) -> str:
        """Tells the time."""
        return f"12:00 {zone}"


class Chat(NamedTuple):
    """A turn with one round of a tool: what was sent in its two requests, and what came of it."""

    first: SeenRequest
    second: SeenRequest
    deltas: list[str]
    outcome: str
    text: str

    @property
    def prompt(self) -> SeenPrompt:
        return WIRES[self.second.wire].read(self.second)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the plugins are looked for once."""
    return tmp_path_factory.mktemp("home")


Chatting = Callable[..., Chat]


@pytest.fixture
def chat(home: Path, model_server: ModelServer) -> Chatting:
    """Chats with a model of a provider through its manifest; only its address is another."""

    def run(
        provider: Packaged,
        model: str = "",
        environ: Mapping[str, str] | None = None,
        reply: Reply | None = None,
        **section: Any,
    ) -> Chat:
        if reply is not None:
            model_server.script(reply, "It is noon in Greenwich.")
        elif NO_TOOLS.search(model or (provider.models[0].id if provider.models else "")):
            asked = 'Wait. <tool_call>{"name": "get_time", "arguments": {"zone": "UTC"}}</tool_call>'
            model_server.script(asked, "It is noon in Greenwich.")
        else:
            model_server.script(Call("get_time", {"zone": "UTC"}), "It is noon in Greenwich.")
        environ = {**environment(provider, model_server), **(environ or {})}
        return asyncio.run(turn(home, provider, model, environ, section, model_server))

    return run


def environment(provider: Packaged, server: ModelServer) -> dict[str, str]:
    """Its key, and the server in place of its address."""
    transports = {rule.transport for rule in provider.spec.rules if rule.transport} | {provider.spec.transport}
    address = server.root if transports == {"anthropic_messages"} else server.url
    return {provider.spec.base_url_env: address} | dict.fromkeys(provider.keys[:1], KEY)


async def turn(
    home: Path,
    provider: Packaged,
    model: str,
    environ: Mapping[str, str],
    section: Mapping[str, Any],
    server: ModelServer,
) -> Chat:
    chosen = {"provider": provider.name, "default": model or ("" if provider.models else "any-model")}
    wires = [name for name in (path.name for path in (ROOT / "plugins/providers").iterdir()) if name != "replay"]
    overrides = {"plugins": {"enabled": wires}, "model": {**chosen, **section}, "providers": without_exchange(provider)}
    deltas, finished = [], None
    async with App(
        home, plugins=[Watch()], environ=environ, overrides=overrides, workspace=str(home), in_memory=True
    ) as app:
        conversation = await app.conversation()
        async for event in conversation.send("What time is it?"):
            if isinstance(event, TextDelta):
                deltas.append(event.text)
            finished = event
    assert isinstance(finished, TurnFinished)
    assert len(server.requests) == 2, finished
    return Chat(*server.requests, deltas, finished.outcome, finished.text)


def without_exchange(provider: Packaged) -> dict[str, Any]:
    """A token that would first be turned into another, elsewhere, is carried as it is."""
    if provider.spec.oauth is None or not provider.spec.oauth.exchange_url:
        return {}
    tree = yaml.safe_load((next(provider.folder.glob("src/*/plugin.yaml"))).read_text(encoding="utf-8"))
    oauth = tree["provides"]["providers"][provider.name]["oauth"]
    return {provider.name: {"oauth": {**oauth, "exchange_url": "", "exchange_headers": {}}}}


def chats() -> list[object]:
    """Of each provider the default model, and one for each other wire that it uses."""
    cases = []
    for provider in DATA:
        by_wire = {provider.transport(model.id): model.id for model in reversed(provider.models)}
        models = by_wire or {provider.spec.transport: "any-model"}
        cases += [pytest.param(provider, model, wire, id=f"{provider.name}-{wire}") for wire, model in models.items()]
    return cases


@pytest.mark.parametrize(("provider", "model", "wire"), chats())
def test_a_chat_with_a_tool(provider: Packaged, model: str, wire: str, chat: Chatting) -> None:
    seen = chat(provider, model, max_tokens=500)

    assert (seen.outcome, seen.text) == ("done", "It is noon in Greenwich.")
    assert len(seen.deltas) > 1, "it is streamed"
    assert {seen.first.wire, seen.second.wire} == {wire}
    assert key_of(seen.first, provider.spec.quirks.get("key_header", "")) == (KEY if provider.keys else "")
    prompt = seen.prompt
    assert prompt.turns[0] == ("user", "What time is it?")
    assert ("You have a watch." in prompt.system) != bool(provider.spec.quirks.get("single_system"))
    assert "You have a watch." in "\n\n".join(prompt.system)
    if not NO_TOOLS.search(model):
        assert prompt.tools == ["get_time"]
        (call,) = prompt.calls
        assert prompt.results == [(call.id, "12:00 UTC")]
    for header, value in provider.spec.headers.items():
        sent = seen.first.headers[header.lower()]
        assert sent == value if "{" not in value else sent and "{" not in sent


def key_of(request: SeenRequest, header: str) -> str:
    """Where each wire has it, and there alone."""
    header = header or {"anthropic_messages": "x-api-key", "gemini": "x-goog-api-key"}.get(request.wire, "")
    carried = {name: value for name, value in request.headers.items() if KEY in value}
    assert set(carried) <= {header or "authorization"}
    return request.headers.get(header, "") if header else request.bearer


def named(name: str) -> Packaged:
    return next(provider for provider in DATA if provider.name == name)


def test_hermes_4_thinks_and_calls_tools_in_its_own_form(chat: Chatting) -> None:
    seen = chat(named("nous"), "Hermes-4-70B", reasoning_effort="high")
    body = seen.first.json
    assert body["reasoning"] == {"enabled": True}
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.6, 0.95, 20)
    assert "tools" not in body
    assert sum(message["role"] == "system" for message in body["messages"]) == 1
    assert "get_time" in body["messages"][0]["content"]
    assert "12:00 UTC" in seen.second.json["messages"][-1]["content"]


def test_what_the_user_sets_comes_before_the_advice_of_the_makers(chat: Chatting) -> None:
    assert chat(named("nous"), "Hermes-4-70B", temperature=0.1).first.json["temperature"] == 0.1


def test_other_models_of_the_portal_are_called_as_usual(chat: Chatting) -> None:
    body = chat(named("nous"), "z-ai/glm-5.3", reasoning_effort="high").first.json
    assert body["reasoning"] == {"effort": "high"}
    assert body["tools"]
    assert not {"temperature", "top_p", "top_k"} & set(body)


def test_openrouter_takes_its_variables(chat: Chatting) -> None:
    environ = {
        "OPENROUTER_HTTP_REFERER": "https://example.org",
        "OPENROUTER_X_TITLE": "Example",
        "OPENROUTER_PROVIDER_ORDER": "anthropic, amazon-bedrock",
        "OPENROUTER_ALLOW_FALLBACKS": "false",
    }
    request = chat(named("openrouter"), environ=environ, reasoning_effort="low").first
    assert (request.headers["http-referer"], request.headers["x-title"]) == ("https://example.org", "Example")
    assert request.json["provider"] == {"order": ["anthropic", "amazon-bedrock"], "allow_fallbacks": False}
    assert request.json["reasoning"] == {"effort": "low"}
    assert "reasoning_effort" not in request.json


@pytest.mark.parametrize(("model", "marked"), [("anthropic/claude-sonnet-5.5", True), ("z-ai/glm-5.3", False)])
def test_openrouter_marks_prompts_to_anthropic_for_the_cache(model: str, marked: bool, chat: Chatting) -> None:
    assert (b"cache_control" in chat(named("openrouter"), model).first.body) is marked


def test_mistral_gets_ids_and_names_as_it_wants_them(chat: Chatting) -> None:
    body = chat(named("mistral")).second.json
    assert "stream_options" not in body
    assistant, result = body["messages"][-2:]
    assert re.fullmatch("[A-Za-z0-9]{9}", result["tool_call_id"])
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"]
    assert result["name"] == "get_time"
    assert "content" not in assistant


@pytest.mark.parametrize("name", ["openrouter", "nvidia", "vllm", "kilocode", "huggingface"])
def test_mistral_refuses_a_user_after_a_tool_elsewhere_too(name: str, chat: Chatting) -> None:
    provider = named(name)
    (rule,) = [rule for rule in provider.spec.rules if re.match(rule.match, "mistralai/mistral-large")]
    assert rule.quirks == {"user_after_tool": False}
    assert chat(provider, "mistralai/mistral-large").outcome == "done"


def test_kimi_gets_no_temperature_and_its_own_efforts(chat: Chatting) -> None:
    body = chat(named("kimi"), temperature=0.3, reasoning_effort="medium", max_tokens=500).second.json
    assert "temperature" not in body
    assert body["reasoning_effort"] in ("low", "high")
    assert (body["max_completion_tokens"], body.get("max_tokens")) == (500, None)
    assert "reasoning_content" in body["messages"][-2]


@pytest.mark.parametrize(("effort", "kind"), [("high", "enabled"), ("none", "disabled")])
@pytest.mark.parametrize("name", ["deepseek", "zai", "xiaomi"])
def test_thinking_is_switched(name: str, effort: str, kind: str, chat: Chatting) -> None:
    body = chat(named(name), reasoning_effort=effort).first.json
    assert body["thinking"] == {"type": kind}
    assert "reasoning_effort" not in body


def test_deepseek_gets_its_reasoning_back(chat: Chatting) -> None:
    assert "reasoning_content" in chat(named("deepseek")).second.json["messages"][-2]


@pytest.mark.parametrize(
    ("name", "model", "asked", "sent"),
    [
        ("groq", "openai/gpt-oss-120b", "max", "high"),
        ("cerebras", "gpt-oss-120b", "none", "low"),
        ("mistral", "mistral-small-latest", "max", "high"),
        ("xai", "grok-4.7", "none", "low"),
        ("xai", "grok-4.3", "none", "none"),
        ("fireworks", "accounts/fireworks/models/glm-5p3", "low", "high"),
        ("ollama-cloud", "glm-5.2", "medium", "high"),
    ],
)
def test_efforts_that_are_not_known_become_the_nearest(
    name: str, model: str, asked: str, sent: str, chat: Chatting
) -> None:
    assert chat(named(name), model, reasoning_effort=asked).first.json["reasoning_effort"] == sent


@pytest.mark.parametrize("name", ["qwen", "nvidia", "novita"])
def test_efforts_are_left_out_where_nobody_knows_them(name: str, chat: Chatting) -> None:
    assert not {"reasoning_effort", "reasoning", "thinking"} & set(
        chat(named(name), reasoning_effort="high").first.json
    )


def test_each_conversation_of_opencode_go_has_an_id(chat: Chatting, model_server: ModelServer) -> None:
    sent = []
    for _ in range(2):
        seen = chat(named("opencode-go"))
        assert seen.first.headers["x-opencode-session"] == seen.second.headers["x-opencode-session"]
        sent.append(seen.first.headers["x-opencode-session"])
        model_server.requests.clear()
    assert len(set(sent)) == 2


@pytest.mark.parametrize("name", ["vllm", "lmstudio", "llamacpp"])
def test_a_server_of_ones_own_answers_without_a_key(name: str, chat: Chatting) -> None:
    provider = named(name)
    seen = chat(provider, environ=dict.fromkeys(provider.keys, ""))
    assert seen.outcome == "done"
    assert "authorization" not in seen.first.headers


@pytest.mark.parametrize("name", ["ollama", "lmstudio", "vllm", "sglang", "llamacpp"])
def test_thoughts_of_models_at_home_are_no_text(name: str, chat: Chatting) -> None:
    thought = [Say("<think>Where is Greenwich?</think>I shall look."), Call("get_time", {"zone": "UTC"})]
    seen = chat(named(name), reply=thought)
    assert "".join(seen.deltas) == "I shall look.It is noon in Greenwich."
    assert "Where is Greenwich" not in seen.second.body.decode()


def test_without_its_address_azure_says_which_variable(home: Path, model_server: ModelServer) -> None:
    provider = named("azure-foundry")
    with pytest.raises(ConfigError) as refused:
        asyncio.run(turn(home, provider, "mine", {provider.keys[0]: KEY}, {}, model_server))
    assert provider.spec.base_url_env in refused.value.hint
