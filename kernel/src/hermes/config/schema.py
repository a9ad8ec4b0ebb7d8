"""The settings of the kernel, as types. What a plugin adds is in its manifest."""

from __future__ import annotations

from typing import Annotated, Any, Literal, dataclass_transform

import msgspec
from msgspec import Meta

from hermes.contracts.credential import Strategy
from hermes.contracts.provider import ProviderSpec

Count = Annotated[int, Meta(ge=1)]
Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
Dollars = Annotated[float, Meta(ge=0)]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ModelSection(Section):
    provider: Annotated[str, Meta(description="The provider to use. Empty: the first whose key is found.")] = ""
    default: Annotated[str, Meta(description="The model, by the provider's own name.")] = ""
    base_url: Annotated[str, Meta(description="Overrides the provider's address.")] = ""
    routing: Annotated[str, Meta(description="The order among keys found, where no provider is named.")] = "hermes"
    timeout: Annotated[float, Meta(description="Seconds without a byte after which a call has failed.", gt=0)] = 600.0
    max_tokens: Annotated[Count | None, Meta(description="The most tokens an answer may have.")] = None
    temperature: Annotated[float | None, Meta(description="Left to the provider when not set.")] = None
    reasoning_effort: Annotated[Effort, Meta(description="How much a model thinks. Empty: as it does by itself.")] = ""


class AgentSection(Section):
    max_turns: Annotated[int, Meta(description="The most model calls in one turn.", ge=1)] = 90
    retries: Annotated[int, Meta(description="How often a failed model call is made again.", ge=0)] = 3
    parallel_tools: Annotated[int, Meta(description="How many tools may run at once.", ge=1, le=64)] = 8
    project_context: Annotated[bool, Meta(description="Read AGENTS.md and its like into the prompt.")] = True


class BudgetSection(Section):
    turn_usd: Annotated[Dollars | None, Meta(description="US dollars that one turn may cost.")] = None
    session_usd: Annotated[Dollars | None, Meta(description="US dollars that one session may cost.")] = None
    day_usd: Annotated[Dollars | None, Meta(description="US dollars a day, since midnight.")] = None
    turn_tokens: Annotated[Count | None, Meta(description="Tokens, read and written, of one turn.")] = None
    session_tokens: Annotated[Count | None, Meta(description="Tokens of one session.")] = None
    day_tokens: Annotated[Count | None, Meta(description="Tokens a day, since midnight.")] = None


class AuxiliarySection(Section):
    provider: Annotated[str, Meta(description="Empty: the session's own.")] = ""
    model: Annotated[
        str, Meta(description="`auto`: the cheapest that can do it; `main`: the session's own; or a model's name.")
    ] = "auto"

    max_tokens: Annotated[int, Meta(description="Of one answer; 0: as the plugin asks.", ge=0)] = 0
    max_calls: Annotated[int, Meta(description="How often a plugin may ask while the program runs.", ge=0)] = 200

    @property
    def named(self) -> str:
        """The model that it names; blank: `auto` or `main`."""
        return "" if self.model in ("auto", "main") else self.model


class PluginsSection(Section):
    enabled: Annotated[list[str], Meta(description="Only these; empty: all that are installed.")] = []
    disabled: Annotated[list[str], Meta(description="Never these.")] = []
    entries: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="A plugin's own settings, by its name; `isolation: host|isolated` says where it runs."),
    ] = {}
    host_memory_mb: Annotated[int, Meta(description="The most memory a plugin host may have; 0: no limit.", ge=0)] = (
        4096
    )


class SecuritySection(Section):
    redact_secrets: Annotated[bool, Meta(description="Hide secrets in logs, transcripts and tool output.")] = True
    trusted_projects: Annotated[
        list[str], Meta(description="Folders whose .hermes/config.yaml and .hermes/plugins/ are used.")
    ] = []


class SessionsSection(Section):
    transcripts: Annotated[bool, Meta(description="Write each session to sessions/ as JSON files, too.")] = True
    retention_days: Annotated[int, Meta(description="What `sessions prune` keeps, by default.", ge=1)] = 90


class LoggingSection(Section):
    level: Annotated[str, Meta(description="DEBUG, INFO, WARNING or ERROR.", pattern="^[A-Z]+$")] = "INFO"
    max_size_mb: Annotated[int, Meta(description="A log file is rotated at this size.", ge=1)] = 5
    backup_count: Annotated[int, Meta(description="How many rotated files are kept.", ge=0)] = 3


class Settings(Section):
    """``config.yaml`` without the sections of plugins."""

    model: ModelSection = ModelSection()
    providers: Annotated[
        dict[str, ProviderSpec], Meta(description="Endpoints of your own, or changes to known ones, by id.")
    ] = {}
    fallback_providers: Annotated[
        list[str], Meta(description="provider:model, tried in order when the chosen one fails.")
    ] = []
    credential_pool_strategies: Annotated[
        dict[str, Strategy], Meta(description="Which of several keys of a provider is used, by its id.")
    ] = {}
    agent: AgentSection = AgentSection()
    toolsets: Annotated[list[str], Meta(description="Which toolsets a session has; empty: all.")] = []
    plugins: PluginsSection = PluginsSection()
    budget: BudgetSection = BudgetSection()
    auxiliary: Annotated[
        dict[str, AuxiliarySection], Meta(description="Models that plugins ask, by task; `default` is for all others.")
    ] = {}
    security: SecuritySection = SecuritySection()
    sessions: SessionsSection = SessionsSection()
    logging: LoggingSection = LoggingSection()


ENVIRONMENT = {
    "HERMES_INFERENCE_PROVIDER": "model.provider",
    "HERMES_INFERENCE_MODEL": "model.default",
    "HERMES_PROVIDER": "model.provider",
    "HERMES_MODEL": "model.default",
    "HERMES_BASE_URL": "model.base_url",
    "HERMES_MAX_TURNS": "agent.max_turns",
    "HERMES_LOG_LEVEL": "logging.level",
}
"""Variables that override a setting."""
