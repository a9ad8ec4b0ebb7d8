"""What every source of secrets does. A subclass names the plugin, and puts secrets where the source looks for them::

class TestVault(SecretSourceSuite):
    plugin = "vault"
    name = "vault"

    def hold(self, secrets, user=""):
        vault(self.folder).write(user, secrets)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from hermes import HermesError, Scope, SecretQuery, Secrets, SecretSource

from .contract_suite import ContractSuite

VALUE = "v-0123456789-heron"
"""A value that stands nowhere else."""


class SecretSourceSuite(ContractSuite):
    """``users``: the source keeps secrets of several users apart, by ``scope.user``."""

    contract = "secret_source"
    settings = {"logging": {"level": "DEBUG"}}
    users: ClassVar[bool] = False

    def hold(self, secrets: Mapping[str, str], user: str = "") -> None:
        """Makes the source have exactly these. ``user``: given only where ``users`` is set."""
        raise NotImplementedError

    def spoil(self) -> None:
        """Makes the source impossible to read, after `hold`."""
        pytest.skip("the suite is not told how to spoil the source: override spoil()")

    async def get(self, source: SecretSource, *names: str, user: str = "") -> Secrets:
        return await source.get(SecretQuery(names=names, scope=Scope(home=str(self.home), user=user)))

    def test_found(self) -> None:
        """SECRET-FOUND-1: a secret is given as it is kept, every character of it."""
        kept = {
            "PLAIN": VALUE,
            "ODD": "a=b #c 'd' \"e\" $F \\n",
            "UNICODE": "Grüße 世界 🌍",
            "LINES": "-----\nBEGIN\n-----",
        }

        async def body(source: SecretSource) -> None:
            for name, value in kept.items():
                assert (await self.get(source, name)).values == {name: value}

        self.hold(kept)
        self.run(body)

    def test_absent(self) -> None:
        """SECRET-ABSENT-1: what is not there is left out, not blank; a source without any is no error."""

        async def body(source: SecretSource) -> None:
            assert (await self.get(source, "MISSING")).values == {}
            assert (await self.get(source)).values == {}

        for kept in ({"OTHER": VALUE}, {}):
            self.hold(kept)
            self.run(body)

    def test_blank(self) -> None:
        """SECRET-BLANK-1: a blank value is given as blank: it hides those of the sources behind."""

        async def body(source: SecretSource) -> None:
            assert (await self.get(source, "BLANK", "OTHER")).values == {"BLANK": "", "OTHER": VALUE}

        self.hold({"BLANK": "", "OTHER": VALUE})
        self.run(body)

    def test_many(self) -> None:
        """SECRET-MANY-1: of many names at once those that are there are given, and nothing that was not asked for."""
        kept = {f"NAME_{number}": f"{VALUE}-{number}" for number in range(100)}

        async def body(source: SecretSource) -> None:
            names = [f"NAME_{number}" for number in range(50, 150)]
            assert (await self.get(source, *names)).values == {name: kept[name] for name in names if name in kept}

        self.hold(kept)
        self.run(body)

    def test_odd_names(self) -> None:
        """SECRET-NAMES-1: a name that is no name is not found, whatever it looks like."""

        async def body(source: SecretSource) -> None:
            odd = (
                "",
                " ",
                "../NAME",
                "/etc/passwd",
                "NAME\n",
                "NAME OTHER",
                "$(id)",
                "NAME*",
                "--help",
                "x" * 5000,
                "名",
            )
            assert (await self.get(source, *odd, "NAME")).values == {"NAME": VALUE}

        self.hold({"NAME": VALUE})
        self.run(body)

    def test_scope(self) -> None:
        """SECRET-SCOPE-1: a user is given only their own secrets; who knows no users gives all the same."""

        async def body(source: SecretSource) -> None:
            for user in ("ada", "bob"):
                expected = f"{VALUE}-{user}" if self.users else VALUE
                assert (await self.get(source, "NAME", user=user)).values == {"NAME": expected}
            if self.users:
                assert (await self.get(source, "NAME", user="carl")).values == {}

        if self.users:
            for user in ("ada", "bob"):
                self.hold({"NAME": f"{VALUE}-{user}"}, user)
        else:
            self.hold({"NAME": VALUE})
        self.run(body)

    def test_quiet(self) -> None:
        """SECRET-QUIET-1: no value is in a ``repr`` or in a log."""

        async def body(source: SecretSource) -> None:
            found = await self.get(source, "NAME", "MISSING")
            assert found.values["NAME"] == VALUE
            assert VALUE not in f"{found!r} {found} {source!r}"

        self.hold({"NAME": VALUE})
        self.run(body)
        for log in self.home.glob("logs/*"):
            assert VALUE not in log.read_text(), log.name

    def test_spoiled(self) -> None:
        """SECRET-ERROR-1: a source that cannot be read is a `HermesError`, which tells no value; never "not found"."""

        async def body(source: SecretSource) -> None:
            with pytest.raises(HermesError) as caught:
                await self.get(source, "NAME")
            assert str(caught.value)
            assert VALUE not in f"{caught.value} {caught.value.hint}"

        self.hold({"NAME": VALUE})
        self.spoil()
        self.run(body)
