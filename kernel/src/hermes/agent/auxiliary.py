"""Models that plugins ask: for titles, summaries, judgements, inside a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing

from hermes.config.schema import AuxiliarySection, Settings
from hermes.contracts.errors import BudgetExceeded
from hermes.contracts.hookspecs import SessionInfo
from hermes.contracts.host import AuxAnswer, AuxRequest, Clock
from hermes.contracts.messages import Usage, text_of
from hermes.contracts.provider import ModelRequest
from hermes.contracts.store import SessionStore
from hermes.models.ask import ModelAsk, Spent
from hermes.models.inputs import input_of
from hermes.models.router import Router, Target
from hermes.plugins.manager import PluginManager

from .budget import SpendingLimits
from .conversation import Conversation

MOST_TOKENS = 8192
"""Of one answer."""


class AuxiliaryModels:
    """``conversation`` finds a live one by its session's id: what is asked for it is booked on it."""

    def __init__(
        self,
        settings: Settings,
        router: Callable[[], Router],
        plugins: PluginManager,
        *,
        conversation: Callable[[str], Conversation | None],
        store: Callable[[], SessionStore],
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._router = router
        self._plugins = plugins
        self._conversation = conversation
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._asked: dict[str, int] = {}

    async def ask(self, request: AuxRequest) -> AuxAnswer:
        """Asks the model of the task, of ``auxiliary.default``, or else the session's own.

        Raises:
            BudgetExceeded: the plugin asked too often since the program started.
            ConfigError, ProviderError: there is no such model, or it does not answer.
        """
        section = self._section(request.task)
        asked = self._asked[request.plugin] = self._asked.get(request.plugin, 0) + 1
        if asked > section.max_calls:
            raise BudgetExceeded(
                f'The plugin "{request.plugin}" has asked a model {section.max_calls} times.',
                hint=f"Allow more: hermes config set auxiliary.{request.task}.max_calls NUMBER",
            )
        router, conversation = self._router(), self._conversation(request.scope.session)
        own = conversation.session if conversation is not None else None
        target = await self._target(router, section, request, own)
        limits = SpendingLimits(self._settings.budget, self._store(), self._clock)
        turn_id = conversation.turn_id if conversation is not None else ""
        model_request = ModelRequest(
            id=self._new_id(),
            session_id=request.scope.session,
            turn_id=turn_id,
            endpoint=target.endpoint,
            model=target.model,
            system=request.system,
            messages=request.messages,
            timeout=self._settings.model.timeout,
            max_tokens=min(request.max_tokens, section.max_tokens or MOST_TOKENS, MOST_TOKENS),
        )
        hooks = self._plugins.hooks.for_turn(own.surface if own is not None else "")

        async def write(_target: Target, shorter: bool) -> ModelRequest | None:
            return None if shorter else model_request

        async def check(spent: Sequence[Spent]) -> None:
            await limits.check(session_id=request.scope.session if own else "", turn_id=turn_id, since_then=spent)

        ask = router.ask(target, [], write, hooks, check=check)
        try:
            async with aclosing(ask.events()) as events:  # type: ignore[type-var]
                async for _ in events:
                    pass
        finally:
            await self._book(request, ask, conversation)
        usage = sum((spent.usage for spent in ask.spent), Usage())
        return AuxAnswer(text=text_of(ask.answer.parts()), usage=usage, model=f"{target.provider}:{target.model}")

    async def _target(
        self, router: Router, section: AuxiliarySection, request: AuxRequest, own: SessionInfo | None
    ) -> Target:
        """The task's own model, or the cheapest of its provider's that can do it."""
        if section.provider or section.named:
            chosen = await router.target(request.scope, provider=section.provider, model=section.named)
        elif own is not None:
            chosen = await router.target(request.scope, provider=own.provider, model=own.model)
        else:
            chosen = await router.target(request.scope)
        if section.model != "auto":
            return chosen
        cheapest = await router.cheapest(chosen, needs=_inputs(request))
        if cheapest == chosen.model:
            return chosen
        return await router.target(request.scope, provider=chosen.provider, model=cheapest)

    def _section(self, task: str) -> AuxiliarySection:
        known = self._settings.auxiliary
        return known.get(task) or known.get("default") or AuxiliarySection()

    async def _book(self, request: AuxRequest, ask: ModelAsk, conversation: Conversation | None) -> None:
        """What it cost is the session's, under the task's name."""
        if conversation is None:
            return
        turn_id, at, principal = conversation.turn_id, self._clock.now(), conversation.session.principal.id
        rows = (spent.row(turn_id=turn_id, at=at, principal=principal, task=request.task) for spent in ask.spent)
        await conversation.book(tuple(rows))


def _inputs(request: AuxRequest) -> frozenset[str]:
    """What the model has to take beside text."""
    return frozenset(kind for message in request.messages for part in message.parts if (kind := input_of(part)))
