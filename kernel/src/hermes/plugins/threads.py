"""Plain functions of plugins, on threads that can be left behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .answers import exited


async def on_daemon_thread(
    function: Callable[..., Any], arguments: Mapping[str, Any], context: contextvars.Context | None = None
) -> Any:
    """Runs ``function`` on a daemon thread of its own and gives back what it returns or raises.

    A thread that never ends is left behind, and does not keep the program from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = context or contextvars.copy_context()

    def settle(answer: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(answer)
        else:
            done.set_exception(error)

    def work() -> None:
        answer: Any = None
        problem: BaseException | None = None
        try:
            answer = context.run(function, **arguments)
        except SystemExit as error:
            problem = exited(error)
        except BaseException as error:  # noqa: BLE001 (the boundary: handed to the caller)
            plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            problem = error if plain else RuntimeError(f"{type(error).__name__}: {error}")
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(settle, answer, problem)

    threading.Thread(target=work, name=getattr(function, "__name__", "plugin"), daemon=True).start()
    return await done
