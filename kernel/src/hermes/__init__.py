"""Hermes: a small kernel on pluggy. This is its public API; everything else is private.

Names are imported on first use, so that importing ``hermes`` costs nothing.
"""

from __future__ import annotations

__version__ = "1.0.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hermes.agent.conversation import Conversation as Conversation
    from hermes.app import App as App
    from hermes.cli.context import with_context as with_context
    from hermes.contracts.credential import *  # noqa: F403
    from hermes.contracts.errors import *  # noqa: F403
    from hermes.contracts.events import *  # noqa: F403
    from hermes.contracts.hookspecs import *  # noqa: F403
    from hermes.contracts.host import *  # noqa: F403
    from hermes.contracts.memory import *  # noqa: F403
    from hermes.contracts.messages import *  # noqa: F403
    from hermes.contracts.platform import *  # noqa: F403
    from hermes.contracts.provider import *  # noqa: F403
    from hermes.contracts.scope import *  # noqa: F403
    from hermes.contracts.service import *  # noqa: F403
    from hermes.contracts.store import *  # noqa: F403
    from hermes.contracts.terminal import *  # noqa: F403
    from hermes.contracts.tool import *  # noqa: F403
    from hermes.contracts.values import *  # noqa: F403
    from hermes.contracts.verdict import *  # noqa: F403
    from hermes.direct import DirectCall as DirectCall
    from hermes.direct import Reply as Reply
    from hermes.direct import ask as ask
    from hermes.plugins.programs import program_answer as program_answer

_MODULES = {
    "hermes.cli.context": "with_context",
    "hermes.direct": "DirectCall Reply ask",
    "hermes.plugins.programs": "program_answer",
    "hermes.contracts.credential": """
        CatalogEntry CatalogQuery ModelCatalog RefreshRequest StoredCredential TokenRefresher
    """,
    "hermes.contracts.errors": """
        AuthenticationFailed BadRequest BudgetExceeded ConfigError ConnectionFailed ContentRefused ContextOverflow
        ErrorInfo HermesError LeaseLost ModelNotFound NotEntitled Overloaded PluginError PolicyDenied ProviderError
        RateLimited RemoteError SessionNotFound StoreError StreamBroken ToolError
    """,
    "hermes.contracts.events": """
        AnyEvent Event InputAnswered InputRequest InputRequested MessageQueued MessageReplaced MessageStored
        ModelEvent ModelFinished ModelRetry Notice StateUpdate TextDelta ThinkingDelta ToolCallReady ToolFinished
        ToolOutput ToolRefused ToolStarted TurnFinished TurnStarted TurnSuspended UsageUpdate
    """,
    "hermes.contracts.hookspecs": """
        ApprovalDecision HookOptions ModelAnswer ModelCall SessionInfo SubagentInfo TurnAnswer TurnInfo hookimpl
    """,
    "hermes.contracts.host": """
        AuxAnswer AuxRequest BusMessage BusTopic CallOutput Clock ConfigQuery ConfigSection ForeignPlugin Host NameList
        PluginContext PluginSecretQuery PluginState Question QuestionAnswer SessionReader TerminalQuery ToolRequest
        Wording
    """,
    "hermes.contracts.memory": """
        ContextEngine FitRequest Fitted ForgetRequest MemoryBlocks MemoryEntry MemoryProvider MemoryScope
        MemoryTools ModelChange ObservedTurn PreCompress RecallQuery Recalled
    """,
    "hermes.contracts.messages": """
        AudioPart FilePart FrozenPrompt ImagePart Message Part ProviderState SystemBlock TextPart ThinkingPart
        ToolCallPart ToolResultPart ToolSpec Usage text_of
    """,
    "hermes.contracts.platform": """
        Button ChatInfo ChatQuery Connect DeleteMessage EditMessage InMessage OutMessage PlatformAdapter
        PlatformCapabilities SendResult
    """,
    "hermes.contracts.provider": """
        Endpoint ModelInfo ModelList ModelRequest ModelsQuery Provider ProviderCapabilities ProviderQuery
        ModelRule OAuthSpec ProviderSpec ResponseFormat
    """,
    "hermes.contracts.scope": """
        LOCAL Origin Principal Scope
    """,
    "hermes.contracts.service": """
        Health Provision SecretQuery SecretSource Secrets Service ServiceOptions
    """,
    "hermes.contracts.store": """
        Amendment AnswerResult AnswerWrite CallRecord Committed DrainInbox EventList EventQuery History
        HistoryQuery Inbox InboxMessage Lease LeaseRelease LeaseRequest NewSession Pending Prune Pruned
        RequestRecord SearchHit SearchQuery SearchResult SessionChange SessionIds SessionList SessionQuery
        SessionRecord SessionRef SessionStore SessionWrite StateKey StateList StateValue StoreReport StoreStats
        StoredEvent TurnRecord UsageField UsageQuery UsageReport UsageRow UsageSum
    """,
    "hermes.contracts.terminal": """
        CommandEvent CommandExited CommandOutput DeletePath DirectoryListing FileData FileInfo ListDirectory
        MovePath OpenTerminal PathRef ProcessInfo ProcessList ProcessOutput ProcessRef ReadFile ReadProcess
        ResizeProcess RunCommand SignalProcess SpawnProcess TerminalBackend TerminalCapabilities TerminalInfo
        TerminalRef WriteFile WriteProcess
    """,
    "hermes.contracts.tool": """
        ClientToolResult Tool ToolCall ToolEntry ToolOptions ToolOutcome ToolRegistry tool
    """,
    "hermes.contracts.values": """
        ContractRef Done Value
    """,
    "hermes.contracts.verdict": """
        Continue MessageVerdict ModelVeto ToolRewrite Verdict
    """,
    "hermes.app": """
        App
    """,
    "hermes.agent.conversation": """
        Conversation
    """,
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
