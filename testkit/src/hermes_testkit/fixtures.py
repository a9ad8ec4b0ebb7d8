"""Fixtures of the testkit, loaded by pytest through an entry point: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .model_server import ModelServer


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A running `ModelServer` with an empty script; ``model_server.script(…)`` says what it answers."""
    from .model_server import ModelServer

    with ModelServer() as server:
        yield server
