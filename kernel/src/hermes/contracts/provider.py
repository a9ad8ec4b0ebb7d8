"""Providers: how a model is reached, asked and heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

from .events import ModelEvent
from .messages import Message, SystemBlock, ToolSpec
from .scope import Scope
from .values import Value


class ModelInfo(Value, kw_only=True, forbid_unknown_fields=True):
    """What is known of a model. Prices are in US dollars per million tokens; None: unknown."""

    id: str
    context_window: int = 0
    """Tokens; 0: unknown."""
    max_output: int = 0
    input_usd: float | None = None
    output_usd: float | None = None
    cache_read_usd: float | None = None
    cache_write_usd: float | None = None
    inputs: list[str] | None = None
    """What it takes beside text: ``image``, ``audio``, ``file``. None: unknown, and then everything is sent."""
    retires: str = ""
    """The day from which it answers no more, as ``2026-11-30``."""


class ModelRule(Value, kw_only=True, forbid_unknown_fields=True):
    """Where some of a provider's models differ from the others. Every rule that matches applies, in order."""

    match: str
    """A regular expression for the beginning of the model's id."""
    transport: str = ""
    """Another wire than the provider's; none of the provider's quirks hold for it."""
    quirks: dict[str, Any] = {}
    body: dict[str, Any] = {}
    own_address: bool = False
    """Only where requests go to the provider's own ``base_url``, not to one that replaces it."""


class OAuthSpec(Value, kw_only=True, forbid_unknown_fields=True):
    """How a person logs in: ``device`` shows a code to type in a browser, ``pkce`` comes back by a redirect."""

    flow: Literal["device", "pkce"]
    client_id: str
    token_url: str
    device_url: str = ""
    """``device``: where codes are given out."""
    authorize_url: str = ""
    """``pkce``: the page that the browser opens."""
    redirect_url: str = ""
    """``pkce``: as registered with the provider; empty: a free port of this machine."""
    scopes: list[str] = []
    authorize_params: dict[str, str] = {}
    json_body: bool = False
    """The token endpoint takes JSON, not a form."""
    exchange_url: str = ""
    """Where the token is turned into the short-lived one that requests carry; empty: it is carried itself."""
    exchange_headers: dict[str, str] = {}


class ProviderSpec(Value, kw_only=True, forbid_unknown_fields=True):
    """A provider as data: in a manifest's ``provides.providers`` or the configuration's ``providers``."""

    transport: str = ""
    """The wire it speaks, such as ``chat_completions``; provided by some plugin."""
    base_url: str = ""
    base_url_env: str = ""
    """The environment variable that overrides ``base_url``."""
    key_env: str | list[str] = []
    """Variables to look for the key in, in order. Empty: it takes none."""
    key_optional: bool = False
    """It answers without a key, too."""
    headers: dict[str, str] = {}
    """``{session}`` in a value stands for the session's id."""
    models: list[str | ModelInfo] = []
    """Known ones; the first is the default."""
    prices_of: str = ""
    """The day that the prices in ``models`` are of, as ``2026-11-21``."""
    priority: int = 100
    """Order of preference among the providers whose key is found; the lowest first."""
    carrier: Literal["http", "sdk"] = "http"
    quirks: dict[str, Any] = {}
    """Switches that its transport understands."""
    title: str = ""
    """As people know it, e.g. ``Groq``."""
    aliases: list[str] = []
    """Other names that may stand for its id."""
    options: dict[str, str] = {}
    """What its transport needs beside a key, such as a region. ``{region}`` in ``base_url`` is filled in from here."""
    options_env: dict[str, str | list[str]] = {}
    """Variables to look for options in; the first that is set counts."""
    key_options: list[str] = []
    """Options that serve in place of a key, such as an access key pair's."""
    header_env: dict[str, str] = {}
    """Headers whose values are in variables."""
    body: dict[str, Any] = {}
    """Members that every request has, unless it has its own."""
    body_env: dict[str, str] = {}
    """Members whose values are in variables, in YAML; ``provider.order`` is a member of ``provider``."""
    rules: list[ModelRule] = []
    aggregator: bool = False
    """It serves models of many vendors, by names such as ``vendor/model``."""
    automatic: bool = True
    """False: a key that is found does not choose it; it has to be named."""
    billing_url: str = ""
    key_url: str = ""
    """The pages where credit is bought, and where keys are made."""
    oauth: OAuthSpec | None = None


class Endpoint(Value, kw_only=True):
    """Where a request goes, and with what key. The key appears in no ``repr``."""

    provider: str
    base_url: str = ""
    key: str = ""
    key_source: str = ""
    """What the key was found in, e.g. ``env:OPENAI_API_KEY``; for error messages."""
    headers: dict[str, str] = {}
    carrier: Literal["http", "sdk"] = "http"
    quirks: dict[str, Any] = {}
    options: dict[str, str] = {}
    """What the transport needs beside the key; some are secrets."""
    token: bool = False
    """The key is a token that a person logged in for, not an API key."""
    billing_url: str = ""
    key_url: str = ""

    def __repr__(self) -> str:
        return f"Endpoint(provider={self.provider!r}, base_url={self.base_url!r}, key_source={self.key_source!r})"


class ResponseFormat(Value, kw_only=True):
    """The answer has to be JSON of this schema."""

    name: str
    json_schema: dict[str, Any]
    strict: bool = True


class ModelRequest(Value, kw_only=True):
    """One model call, whole."""

    id: str
    session_id: str
    turn_id: str
    endpoint: Endpoint
    model: str
    system: tuple[SystemBlock, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: str = ""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: bool = False
    timeout: float = 600.0
    """Seconds without a byte after which the stream counts as broken."""
    extra: dict[str, Any] = {}
    """Merged into the request's body as they stand."""


class ProviderQuery(Value, kw_only=True):
    """A provider is looked for that no manifest and no configuration names."""

    provider: str
    model: str = ""
    scope: Scope


class ModelsQuery(Value, kw_only=True):
    endpoint: Endpoint


class ModelList(Value, kw_only=True):
    models: tuple[ModelInfo, ...]


class ProviderCapabilities(Value, kw_only=True):
    """What a wire carries. The conformance suite follows it."""

    streaming: bool = True
    tools: bool = True
    parallel_tools: bool = True
    images: bool = False
    audio: bool = False
    files: bool = False
    response_format: bool = False
    system_blocks: bool = True
    """System blocks are sent as separate entries."""
    thinking: bool = False
    model_list: bool = False


class Provider(Protocol):
    """A wire: turns a request into the vendor's JSON and the vendor's stream into events.

    Stateless: the request says where it goes. ``stream`` ends with `ModelFinished`, or raises a
    `ProviderError`; closing the iterator closes the connection.
    """

    capabilities: ProviderCapabilities

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]: ...

    async def models(self, query: ModelsQuery) -> ModelList: ...
