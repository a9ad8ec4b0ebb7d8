"""The wires that the fake servers speak, so that a suite can read a request whatever its form."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from .model_server import FORMS, ModelServer, Scripted
from .seen import SeenCall, SeenPrompt, SeenRequest
from .wire.form import Form

__all__ = ["WIRES", "SeenCall", "SeenPrompt", "Wire"]


class Wire(Protocol):
    def serve(self, *script: Scripted) -> AbstractContextManager[ModelServer]: ...

    def base_url(self, server: ModelServer) -> str:
        """What the vendor's own clients take as the base URL."""

    def read(self, request: SeenRequest) -> SeenPrompt: ...


@dataclass(frozen=True)
class ServedWire:
    """A wire of the model server's, which speaks them all at once."""

    form: Form

    def serve(self, *script: Scripted) -> AbstractContextManager[ModelServer]:
        return ModelServer(*script)

    def base_url(self, server: ModelServer) -> str:
        return f"{server.root}{self.form.base}"

    def read(self, request: SeenRequest) -> SeenPrompt:
        return self.form.read(request)


WIRES: dict[str, Wire] = {form.name: ServedWire(form) for form in FORMS}
