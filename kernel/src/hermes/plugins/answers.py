"""What a hook may answer, told in one way wherever the plugin runs."""

from __future__ import annotations

from typing import Any


class WrongType(Exception):
    pass


def check_type(answer: Any, returns: tuple[type, ...]) -> None:
    """Raises WrongType: it is none of these types, nor None. Without types anything will do."""
    if answer is not None and returns and not isinstance(answer, returns):
        wanted = " or ".join(kind.__name__ for kind in returns)
        raise WrongType(f"it returned {type(answer).__name__}, not {wanted} or None")


def exited(error: SystemExit) -> RuntimeError:
    """What a plugin's ``sys.exit`` comes to."""
    return RuntimeError(f"it called sys.exit({error.code!r})")
