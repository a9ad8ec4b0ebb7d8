"""Fixtures of the testkit, loaded by pytest through an entry point: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hermes import App

    from .command import Hermes
    from .model_server import ModelServer
    from .scripted import ScriptedModel, SetClock

SUITES = ("context_engine", "contract", "hook", "http_provider", "memory", "platform", "provider", "secret_source")
pytest.register_assert_rewrite(
    *(f"hermes_testkit.{name}_suite" for name in (*SUITES, "service", "store", "terminal", "tool")),
    "hermes_testkit.platform_cases",
)


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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for a home; made by whoever uses it first."""
    return tmp_path / "home"


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still until it is told otherwise."""
    from .scripted import SetClock

    return SetClock()


@pytest.fixture
def scripted_model() -> ScriptedModel:
    """A model in this process; put what it is to say into its ``queue``."""
    from .scripted import ScriptedModel

    return ScriptedModel()


@pytest.fixture
def fresh_app(home: Path, scripted_model: ScriptedModel) -> Callable[..., App]:
    """Makes an `App` on ``home`` with ``scripted_model`` and the plugins it is given; arguments as of `make_app`."""
    from .scripted import make_app

    return partial(make_app, home, model=scripted_model)
