"""The floors of the house: imports only ever go down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hermes

ROOT = Path(hermes.__path__[0])
FLOORS = {
    "direct": 6,
    "contracts": 0,
    "config": 1,
    "logs": 1,
    "sessions": 1,
    "plugins": 2,
    "models": 3,
    "tools": 3,
    "agent": 4,
    "app": 5,
    "plugin_host": 5,
    "cli": 6,
}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and package of every import of a part of the kernel."""
    here = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("hermes."):
                    yield node.lineno, alias.name.split(".")[1]
        elif isinstance(node, ast.ImportFrom):
            path = (node.module or "").split(".")
            if node.level == 0 and path[0] == "hermes":
                yield from ((node.lineno, part) for part in (path[1:2] or [alias.name for alias in node.names]))
            elif node.level:
                yield node.lineno, (*here[: len(here) - node.level], *filter(None, path))[0]


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down(file: Path) -> None:
    here = FLOORS.get(file.relative_to(ROOT).with_suffix("").parts[0])
    if here is None:
        return  # the package's own door, which leads everywhere
    for line, part in imports(file):
        if part in FLOORS:
            assert FLOORS[part] <= here, f"{file.name}:{line} imports hermes.{part}"


def test_the_floors_are_all_there_is() -> None:
    parts = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and path.name[0] != "_")}
    assert parts == {*FLOORS, "__init__"}


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_environment_is_read_in_config_alone(file: Path) -> None:
    if file.relative_to(ROOT).parts[0] == "config":
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in ("environ", "getenv"), f"{file.name}:{node.lineno}"
