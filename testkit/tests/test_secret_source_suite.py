"""A source that behaves passes its suite, here and in a plugin host; one that breaks a behaviour fails that one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from hermes_testkit.behaviours import behaviours, failures
from hermes_testkit.secret_source_suite import SecretSourceSuite

REFERENCE = Path(__file__).parent / "reference" / "json_secrets"
SOURCES = {path.name: path.read_text() for path in REFERENCE.glob("*.*")}
CODE = SOURCES["__init__.py"]


class JsonSecrets(SecretSourceSuite):
    plugin = "json-secrets"
    name = "json"
    files = SOURCES
    users = True

    @property
    def file(self) -> Path:
        return self.home / "plugin-data" / "json-secrets" / "secrets.json"

    def hold(self, secrets: Mapping[str, str], user: str = "") -> None:
        kept = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({**kept, user: dict(secrets)}))

    def spoil(self) -> None:
        self.file.write_text(self.file.read_text()[:-1])


class TestJsonSecrets(JsonSecrets):
    pass


class TestJsonSecretsOfOneUser(JsonSecrets):
    users = False
    files = {**SOURCES, "__init__.py": CODE.replace("query.scope.user", '""')}


FOUND = "{name: kept[name] for name in query.names if name in kept}"
WRONG = {
    "tidies": (FOUND, "{name: ' '.join(kept[name].split()) for name in query.names if name in kept}", "SECRET-FOUND-1"),
    "blank for absent": (
        FOUND,
        '{name: kept.get(name, "") for name in query.names if name in kept or query.names == ("MISSING",)}',
        "SECRET-ABSENT-1",
    ),
    "leaves out blanks": (FOUND, "{name: kept[name] for name in query.names if kept.get(name)}", "SECRET-BLANK-1"),
    "gives more": (
        FOUND,
        "kept if len(query.names) > 50 else {name: kept[name] for name in query.names if name in kept}",
        "SECRET-MANY-1",
    ),
    "takes paths": (
        FOUND,
        '{name: kept[last] for name in query.names if (last := name.rpartition("/")[2].strip()) in kept}',
        "SECRET-NAMES-1",
    ),
    "one for all": (
        ".get(query.scope.user, {})",
        "\n            kept = {**kept.get('ada', {}), **kept.get('', {})}",
        "SECRET-SCOPE-1",
    ),
    "logs": ('"found %s", sorted(found)', '"found %s", found', "SECRET-QUIET-1"),
    "not found when broken": (
        'raise HermesError(f"{self._file.name} is not JSON.", hint="Mend it.") from error',
        "kept = {}",
        "SECRET-ERROR-1",
    ),
    "tells what it read": ("is not JSON.", "is not JSON: {self._file.read_text()}", "SECRET-ERROR-1"),
    "raises what it caught": ("except ValueError as error:", "except KeyError as error:", "SECRET-ERROR-1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found(wrong: str, tmp_path: Path) -> None:
    piece, replacement, expected = WRONG[wrong]
    assert CODE.count(piece) == 1
    suite = type("Wrong", (JsonSecrets,), {"files": {**SOURCES, "__init__.py": CODE.replace(piece, replacement)}})
    assert set(failures(suite, tmp_path)) == {expected}


def test_every_behaviour_is_broken_by_something_wrong() -> None:
    assert {expected for _, _, expected in WRONG.values()} == set(behaviours(SecretSourceSuite))
