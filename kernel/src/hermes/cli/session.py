"""From the options of a chat command to an `App` and a conversation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hermes.agent.calls import Asking
from hermes.agent.conversation import Conversation
from hermes.agent.images import image_of
from hermes.app import App
from hermes.contracts.errors import ConfigError, SessionNotFound
from hermes.contracts.messages import Part, SystemBlock, TextPart, sendable

from .options import ChatRequest
from .output import complain

PR_SET_DUMPABLE = 4


def _hide_environment() -> None:
    """Keeps other processes of this user, such as the agent's own commands, out of ``/proc/<pid>/environ``.

    Linux only; root sees everything. What we start has its own environment, and is not hidden.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def make_app(request: ChatRequest) -> App:
    _hide_environment()
    return App(
        profile=request.profile or "",
        overrides=request.overrides,
        ignore_user_config=request.ignore_user_config,
        notify=lambda text: complain(f"hermes: {text}"),
        index=request.plugin_index,
    )


async def make_conversation(app: App, request: ChatRequest, asking: Asking) -> Conversation:
    """Raises:
    SessionNotFound: there is no such session, or none at all to continue.
    ConfigError: the model, a toolset or the system file is not there.
    """
    session_id = request.resume or ""
    if request.continue_:
        session_id = await app.latest_session()
        if not session_id:
            raise SessionNotFound("There is no session to continue.", hint="Begin one: hermes chat")
    provider, model = app.router.split(request.model or "")
    if request.provider and provider and provider != request.provider:
        raise ConfigError(f"-m names the provider {provider}, and --provider {request.provider}.", hint="Name one.")
    options: dict[str, Any] = {
        "surface": "cli",
        "asking": asking,
        "provider": request.provider or provider,
        "model": model,
        "toolsets": [name.strip() for name in (request.toolsets or "").split(",") if name.strip()],
        "max_turns": request.max_turns or 0,
    }
    if request.system_file:
        options["system"] = [SystemBlock(name="persona", text=_read(request.system_file).decode("utf-8", "replace"))]
    conversation = await app.conversation(session_id, **options)
    session = conversation.session
    await app.router.target(session.scope, provider=session.provider, model=session.model)
    app.registry.choose(options["toolsets"])
    return conversation


def message_parts(prompt: str, images: tuple[str, ...]) -> list[Part]:
    parts: list[Part] = [TextPart(sendable(prompt))]
    parts += [image_of(name) for name in images]
    return parts


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}.", hint="Check the path.") from None
