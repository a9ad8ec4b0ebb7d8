"""What a conversation is made of, and how it is to be."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hermes.config.home import Home
from hermes.config.schema import Settings
from hermes.contracts.host import Clock
from hermes.contracts.memory import ContextEngine
from hermes.contracts.messages import SystemBlock
from hermes.contracts.provider import ResponseFormat
from hermes.contracts.scope import LOCAL, Origin, Principal
from hermes.contracts.store import SessionStore
from hermes.models.router import Router
from hermes.plugins.manager import PluginManager
from hermes.tools.registry import ToolRegistry
from hermes.tools.runner import ToolRunner

from .calls import Asking


class Services(NamedTuple):
    """What a conversation is made of; put together by `App`."""

    home: Home
    settings: Settings
    store: SessionStore
    plugins: PluginManager
    router: Router
    registry: ToolRegistry
    runner: ToolRunner
    clock: Clock
    new_id: Callable[[], str]
    log: logging.Logger
    engine: ContextEngine | None
    before_turn: Callable[[], Awaitable[None]]
    """Loads plugins again, where that was asked for."""
    after_turn: Callable[[str], Any]
    """Told the session's id when a turn has ended; writes the transcript."""


class ConversationOptions(NamedTuple):
    """How a conversation is to be. Blank: as the settings or the stored session say."""

    surface: str = "library"
    principal: Principal = LOCAL
    origin: Origin | None = None
    workspace: str = ""
    provider: str = ""
    model: str = ""
    toolsets: Sequence[str] = ()
    asking: Asking = "never"
    system: Sequence[SystemBlock] | None = None
    """In place of the persona and all that comes with it."""
    max_turns: int = 0
    response_format: ResponseFormat | None = None
    secrets: Mapping[str, str] = {}
    """Of this session, before all others, such as its user's own keys; a blank one hides those behind it."""
    parent_session: str = ""
    """The session that starts this one, which then is a subagent's; ``task``: what for."""
    task: str = ""
