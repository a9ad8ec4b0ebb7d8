"""The tools ``read_file``, ``write_file``, ``patch`` and ``search_files``, through any terminal backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hermes.contracts.hookspecs import hookimpl
from hermes.contracts.service import Provision

if TYPE_CHECKING:
    from .ledger import Ledger


def _ledger() -> Ledger:
    from .ledger import Ledger

    return Ledger()


@hookimpl
def provide() -> Iterable[Provision]:
    return (Provision("file_ledger", "files", _ledger),)
