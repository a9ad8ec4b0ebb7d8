"""The base of the suites over what a plugin provides, in Hermes's own process and in a plugin host.

::

    class TestNotes(MemorySuite):
        plugin = "notes"  # an installed plugin
        name = "notes"    # under which it provides a memory

A suite is a class of tests. Each test's docstring starts with the id of the behaviour it checks. It reaches its subject
by `ContractSuite.run`, which makes an `App` with that plugin alone.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import pytest

from hermes import App
from hermes.config.load import merge

from .scripted import ScriptedModel, make_app

Place = Literal["in_process", "in_host"]
PLACES: tuple[Place, ...] = ("in_process", "in_host")
ISOLATION = {"in_process": "host", "in_host": "isolated"}
DEADLINE = 30.0
"""Seconds within which whatever a test waits for has to come."""
LIMIT = 90.0
"""Seconds that a test's body may take, all in all."""
PACE = 0.005
"""Seconds between two questions whether something has happened."""
ASKED = 60
"""How often at least."""
T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = DEADLINE) -> T:
    """Asks until the answer is true, and returns it. `TimeoutError` after ``seconds``, and after asking often enough:
    on a busy machine nothing may have happened in the time.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    async with asyncio.timeout(seconds + DEADLINE):
        asked = 0
        while not (answer := await condition()):
            asked += 1
            if clock() > end and asked > ASKED:
                raise TimeoutError(f"it did not happen within {seconds} s")
            await asyncio.sleep(PACE)
        return answer


async def ended(task: asyncio.Future[Any], seconds: float = DEADLINE) -> bool:
    """Waits until the task has ended, however; False if it has not after ``seconds``."""

    async def look() -> bool:
        return task.done()

    try:
        return await eventually(look, seconds)
    except TimeoutError:
        return False


class PlacedSuite:
    """Tests that run at places, in a folder that is empty before each: ``self.place`` and ``self.folder``.

    Of ``folder`` the drop-in plugins in its home stay, so that Hermes's index of them stays true.
    """

    places: ClassVar[Sequence[Place]] = PLACES
    place: Place = "in_process"
    folder: Path
    _own_folder: ClassVar[Path]

    @property
    def placed(self) -> bool:
        """Whether the tests can run at more than one place."""
        return True

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def stand_at(self, place: Place, folder: Path) -> None:
        """What pytest's fixtures do before each test."""
        self.place, self.folder = place, folder
        plugins = self.home / "plugins"
        for entry in [*folder.glob("*"), *self.home.glob("*")]:
            if entry not in (self.home, plugins):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if self.placed:
            metafunc.parametrize("place", self.places, indirect=True)

    @pytest.fixture(name="place")
    def _asked_place(self, request: pytest.FixtureRequest) -> Any:
        return getattr(request, "param", "in_process")

    @pytest.fixture(autouse=True)
    def _stand(self, place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
        own = type(self)
        if "_own_folder" not in vars(own):
            own._own_folder = tmp_path_factory.mktemp("suite")
        self.stand_at(place, own._own_folder)


class PluginSuite(PlacedSuite):
    """Tests of one plugin: an installed one, or a drop-in that is put into the home.

    ``files``: the drop-in's folder, or its files by their paths in it; None: the plugin is installed. ``needs``: other
    plugins that have to be there. ``settings``: as ``config.yaml`` has them.
    """

    plugin: ClassVar[str]
    files: ClassVar[Mapping[str, str] | Path | None] = None
    needs: ClassVar[Sequence[str]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}

    def app(self, *plugins: Any, model: ScriptedModel | None = None, **settings: Any) -> App:
        """An `App` with the plugin, at ``place``; ``plugins`` and ``settings`` beside its own."""
        if self.files is not None:
            put_plugin(self.home, self.plugin, self.files)
        isolation = {"plugins": {"entries": {self.plugin: {"isolation": ISOLATION[self.place]}}}}
        workspace = self.folder / "workspace"
        workspace.mkdir(exist_ok=True)
        return make_app(
            self.home,
            *plugins,
            model=model,
            only=[self.plugin, *self.needs],
            environ={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder)},
            overrides=merge(merge(dict(self.settings), settings), isolation),
            workspace=str(workspace),
        )


class ContractSuite(PluginSuite):
    """Tests of one thing that a plugin provides: ``contract`` and the ``name`` it has there.

    ``running`` is the `App`, while the body of a test runs.
    """

    contract: ClassVar[str]
    name: ClassVar[str]
    running: App

    @asynccontextmanager
    async def opened(self, **settings: Any) -> AsyncIterator[Any]:
        """The subject, in an app of its own; opened again on the same home, it is a restart."""
        async with self.app(**settings) as app:
            self.running = app
            yield await app.plugins.provided(self.contract, self.name)

    def run(self, body: Callable[[Any], Awaitable[T]], **settings: Any) -> T:
        """Awaits ``body`` with the subject. A second `run` in the same test finds what the first one left."""

        async def work() -> T:
            async with asyncio.timeout(LIMIT), self.opened(**settings) as subject:
                return await body(subject)

        return asyncio.run(work())


class FactorySuite(ContractSuite):
    """Tests of what ``factory`` makes, served by a plugin that is written for the occasion.

    ``factory``: ``module:attribute``, importable, called with `arguments`. Blank: the suite's own ``make_…`` is used
    instead, in this process only. ``permissions``: what it needs in a plugin host beside the network and the tests' own
    folders, as a manifest has them.
    """

    plugin = "subject"
    name = "subject"
    factory: ClassVar[str] = ""
    needs: ClassVar[Sequence[str]] = ()
    """Other modules that lie elsewhere than the factory's and that it imports."""
    permissions: ClassVar[Mapping[str, Sequence[str]]] = {}

    @property
    def placed(self) -> bool:
        return bool(self.factory)

    def arguments(self) -> tuple[Any, ...]:
        """What ``factory`` is called with: strings, numbers, paths, or None."""
        return ()

    def app(self, *plugins: Any, model: ScriptedModel | None = None, **settings: Any) -> App:
        put_plugin(self.home, self.plugin, self._drop_in())
        return super().app(*plugins, model=model, **settings)

    def _drop_in(self) -> dict[str, str]:
        module, _, attribute = self.factory.partition(":")
        roots = [_import_root(wanted) for wanted in (module, *self.needs)]
        granted = {"paths": [str(self.folder.parent), *(f"{root}:ro" for root in roots)], "network": ["*"]}
        permissions = {**granted, **{key: [*granted.get(key, ()), *more] for key, more in self.permissions.items()}}
        manifest = {"name": self.plugin, "provides": {self.contract: [self.name]}, "permissions": permissions}
        given = (f"Path({str(value)!r})" if isinstance(value, Path) else repr(value) for value in self.arguments())
        code = _SERVES.format(
            roots=roots,
            module=module,
            attribute=attribute,
            contract=self.contract,
            name=self.name,
            given=", ".join(given),
        )
        return {"plugin.yaml": json.dumps(manifest), "__init__.py": code}


_SERVES = '''"""Provides what a test asked for."""

import sys
from importlib import import_module
from pathlib import Path

from hermes import Provision, hookimpl


def make():
    sys.path.extend(root for root in {roots} if root not in sys.path)
    return getattr(import_module("{module}"), "{attribute}")({given})


@hookimpl
def provide():
    return [Provision("{contract}", "{name}", make)]
'''


def _import_root(module: str) -> str:
    """The folder that ``module`` is imported from."""
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the factory's module {module} is not installed")
    origin = Path(spec.origin)
    return str(origin.parent.parent if origin.name == "__init__.py" else origin.parent)


def put_plugin(home: Path, name: str, files: Mapping[str, str] | Path) -> None:
    """Puts a drop-in plugin into a home. What is there already as it should be is not touched."""
    if isinstance(files, Path):
        files = {
            str(path.relative_to(files)): path.read_text()
            for path in files.rglob("*")
            if path.suffix != ".pyc" and path.is_file()
        }
    folder = home / "plugins" / name
    for place, text in files.items():
        target = folder / place
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
