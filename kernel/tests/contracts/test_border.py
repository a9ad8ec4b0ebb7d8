"""Values cross the border, never live objects."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

import hermes
from hermes import contracts
from hermes.contracts import errors, hookspecs

MODULES = [
    f"hermes.contracts.{file.stem}" for file in Path(contracts.__path__[0]).glob("*.py") if file.stem != "__init__"
]
PLAIN = {"ToolRegistry"}
"""The one protocol that is a registrar and not a contract: it lives while its plugin is activated."""


def protocols() -> list[type]:
    return [
        value
        for module in MODULES
        for value in vars(import_module(module)).values()
        if inspect.isclass(value)
        and getattr(value, "_is_protocol", False)
        and value.__module__ == module
        and value.__name__ not in PLAIN
    ]


@pytest.mark.parametrize("protocol", protocols(), ids=lambda protocol: protocol.__name__)
def test_contract_methods_take_and_return_structs(protocol: type) -> None:
    methods = {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}
    assert methods
    for name, method in methods.items():
        hints = typing.get_type_hints(method)
        returned = hints.pop("return")
        assert len(hints) == 1, f"{name} takes one struct"
        assert all(_is_struct(kind) for kind in hints.values()), name
        if inspect.iscoroutinefunction(method):
            assert _is_struct(returned), name
        else:
            assert typing.get_origin(returned) is AsyncIterator, name
            assert _is_struct(typing.get_args(returned)[0]), name


def _is_struct(kind: object) -> bool:
    return all(
        inspect.isclass(part) and issubclass(part, msgspec.Struct) for part in (typing.get_args(kind) or (kind,))
    )


def test_every_value_is_frozen() -> None:
    for module in MODULES:
        for value in vars(import_module(module)).values():
            if inspect.isclass(value) and issubclass(value, msgspec.Struct):
                assert value.__struct_config__.frozen, value


def test_every_public_name_of_the_contracts_is_exported() -> None:
    for module in MODULES:
        for name, value in vars(import_module(module)).items():
            if inspect.isclass(value) and value.__module__ == module and not name.startswith("_"):
                assert getattr(hermes, name) is value


def test_importing_the_package_imports_nothing_else() -> None:
    import subprocess
    import sys

    program = "import sys; before = set(sys.modules); import hermes; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__future__', 'hermes']"


def test_contracts_import_nothing_of_the_kernel_but_contracts() -> None:
    for file in Path(contracts.__path__[0]).glob("*.py"):
        for line in file.read_text().splitlines():
            if line.lstrip().startswith(("import hermes", "from hermes")):
                pytest.fail(f"{file.name}: {line}")


def test_every_error_survives_the_border() -> None:
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.HermesError):
            error = kind("what", hint="do")
            again = errors.error_of(
                msgspec.json.decode(msgspec.json.encode(errors.ErrorInfo.of(error)), type=errors.ErrorInfo)
            )
            assert type(again) is kind
            assert (str(again), again.hint) == ("what", "do")


def test_a_provider_error_keeps_its_details() -> None:
    error = errors.RateLimited("slow down", provider="p", status=429, code="rate", request_id="r", retry_after=2.5)
    again = errors.error_of(errors.ErrorInfo.of(error))
    assert isinstance(again, errors.RateLimited)
    assert (again.provider, again.status, again.code, again.request_id, again.retry_after) == (
        "p",
        429,
        "rate",
        "r",
        2.5,
    )


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.HermesError):
            assert kind.__name__ in (errors.__doc__ or "")


def test_every_hook_says_what_happens_on_failure() -> None:
    for name, value in vars(hookspecs).items():
        if hasattr(value, "hermes_spec"):
            assert "ailure" in (value.__doc__ or ""), name


def test_no_plugin_is_named_in_the_kernel() -> None:
    root = Path(hermes.__path__[0])
    repository = root.parents[2]
    if not (repository / "plugins").is_dir():
        pytest.skip("the kernel alone, without the workspace")
    names = {folder.name for folder in repository.glob("plugins/*/*") if folder.is_dir()}
    generic = {"auth", "files", "keyring", "model", "sessions", "terminal", "usage"}
    for file in root.rglob("*.py"):
        text = file.read_text()
        assert "hermes_plugin_" not in text.replace("hermes_plugin_{", ""), file
        for name in names - generic:
            assert f'"{name}"' not in text, f"{file} names {name}"
            assert f"hermes-plugin-{name}" not in text, f"{file} names {name}"
