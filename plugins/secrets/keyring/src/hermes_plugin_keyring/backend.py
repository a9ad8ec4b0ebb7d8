"""The keyring of the system, if it has one that keeps secrets secret. The library is imported with the first call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from hermes import PluginError

PLUGIN = "keyring"
RECOMMENDED = 1
"""The priority from which the library itself calls a backend recommended; what stores plain text has less."""
HINT = "Start one, such as GNOME Keyring or KWallet, with a D-Bus session; or: hermes plugins disable keyring"
Answer = TypeVar("Answer")


class NoKeyring(PluginError):
    """This machine has none that could be used."""


async def ask(work: Callable[[Any], Answer], seconds: float) -> Answer:
    """What ``work`` makes of the backend.

    In a thread that nobody waits for in the end: a keyring may wait for a person to unlock it.

    Raises:
        PluginError: there is no backend that can be used, it failed, or took too long.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def settle(found: Answer | None, problem: PluginError | None) -> None:
        if answer.done():
            return
        if problem is not None:
            answer.set_exception(problem)
        else:
            answer.set_result(cast(Answer, found))

    def run() -> None:
        found, problem = None, None
        try:
            found = work(_usable())
        except PluginError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - backends are of many libraries, and raise what they like
            problem = PluginError(
                f"The system's keyring does not work: {error or type(error).__name__}.",
                plugin=PLUGIN,
                hint="Unlock it and try again.",
            )
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, found, problem)

    threading.Thread(target=run, name="hermes-keyring", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise PluginError(
            f"The system's keyring did not answer within {seconds:g} seconds.", plugin=PLUGIN, hint="Unlock it."
        ) from None


def _usable() -> Any:
    """The first recommended backend of those that the library found, or was told to use.

    Raises:
        PluginError: it found none, or only such that keep nothing, or keep it as plain text.
    """
    import keyring

    found = keyring.get_keyring()
    for backend in getattr(found, "backends", [found]):
        if backend.priority >= RECOMMENDED:
            return backend
    raise NoKeyring(
        f"This machine has no keyring that keeps secrets secret (found: {found.name}).", plugin=PLUGIN, hint=HINT
    )
