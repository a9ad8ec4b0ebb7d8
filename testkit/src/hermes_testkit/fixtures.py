"""Fixtures of the testkit, loaded by pytest through an entry point: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .command import Hermes
    from .model_server import ModelServer

pytest.register_assert_rewrite("hermes_testkit.provider_suite", "hermes_testkit.http_provider_suite")


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A running `ModelServer` with an empty script; ``model_server.script(…)`` says what it answers."""
    from .model_server import ModelServer

    with ModelServer() as server:
        yield server


@pytest.fixture
def hermes(tmp_path: Path) -> Hermes:
    """The command line, with an empty home: ``hermes("-z", "hello")``."""
    from .command import Hermes

    return Hermes(tmp_path)


@pytest.fixture
def hermes_with_model(hermes: Hermes, model_server: ModelServer) -> Hermes:
    """The command line, with ``model_server`` as its only provider."""
    hermes.use(model_server.url)
    return hermes
