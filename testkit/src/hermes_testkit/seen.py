"""What a fake server has seen: requests as they came, and what a prompt says, whatever its wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class SeenRequest:
    """A request as it arrived. Names of ``headers`` are in lower case."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    arrived: float
    """``time.monotonic()``."""
    connection: int
    """Equal for requests that came over one connection."""
    ended: threading.Event = field(default_factory=threading.Event)
    closed_early: bool = False
    """The client closed the connection before the answer was whole; final once ``ended`` is set."""
    wire: str = ""
    """The name of the wire it came over, as in `hermes_testkit.wires.WIRES`; empty where no wire knows the path."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def route(self) -> str:
        """The path without its query; what was percent-encoded in it is decoded. To a proxy, the whole URL."""
        return unquote(self.path.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    @property
    def bearer(self) -> str:
        """The token of the header ``Authorization: Bearer …``, or nothing."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else ""

    def wait_ended(self, timeout: float = 10.0) -> bool:
        """Waits until the answer is sent or the client is gone; False when neither happens in ``timeout`` seconds."""
        return self.ended.wait(timeout)


@dataclass
class SeenCall:
    id: str
    """Empty on Vertex, which has none."""
    name: str
    arguments: str


@dataclass
class SeenPrompt:
    """A request in the terms of the contracts."""

    system: list[str] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Role and text of each message after the system's, in order; results of tools have the role ``tool``.

    On a wire where messages of one role have to be merged, each text of a message is a turn of its own.
    """
    calls: list[SeenCall] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    """Call id (on Vertex the tool's name) and text."""
    images: list[bytes] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    json_schema: Mapping[str, Any] | None = None
