"""Who asks, from where, and which layers of settings apply to them."""

from __future__ import annotations

from typing import Literal

from .values import Value


class Scope(Value, kw_only=True):
    """The layers of a lookup, outermost first: install → home → workspace → user → session.

    Every lookup of a setting, secret, memory, budget, policy, terminal or credential takes one. An empty
    field means that the layer does not apply. A blank value at one layer hides the layers outside it.
    """

    home: str
    workspace: str = ""
    user: str = ""
    session: str = ""


class Principal(Value, kw_only=True):
    """Who did something. ``id`` is unique across platforms, e.g. ``local`` or ``telegram:4711``."""

    id: str
    name: str = ""
    kind: Literal["person", "agent", "service"] = "person"


LOCAL = Principal(id="local")
"""The person at this machine's keyboard, or the program that embeds the library."""


class Origin(Value, kw_only=True):
    """Where a message came from. Two messages of one idempotency key are one message."""

    platform: str
    chat: str = ""
    thread: str = ""
    message_id: str = ""
    idempotency_key: str = ""
