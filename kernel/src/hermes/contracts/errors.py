"""Every error the kernel raises, named by what to do next.

::

    HermesError
    ├── ConfigError            a setting, a file or the command line is wrong: mend it
    ├── PluginError            a plugin is missing, broken or refused
    ├── ToolError              a tool could not do what it was asked; the model reads the message
    ├── StoreError             the session store cannot be read or written
    │   ├── SessionNotFound
    │   └── LeaseLost          another process took the session over: stop writing
    ├── RemoteError            code in another process raised something that is none of these
    ├── BudgetExceeded         a limit that the user set was reached
    ├── PolicyDenied           a guard or the kernel's floor forbids it
    └── ProviderError          a model could not be reached or did not answer
        ├── AuthenticationFailed   the key is missing, wrong or expired
        ├── NotEntitled            the account may not use this model, or has no credit
        ├── ModelNotFound
        ├── RateLimited            wait, rotate or fall back
        ├── Overloaded             wait or fall back
        ├── ContextOverflow        compress, then try once more
        ├── ContentRefused         the provider's policy; never retried
        ├── BadRequest             the request is wrong; never retried as it is
        ├── ConnectionFailed       not reached: try again
        └── StreamBroken           the answer was cut: try again

``str(error)`` says what happened and why; ``hint`` what the user can do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .values import Value


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` was perhaps meant to be; blank if none is like it."""
    return next(iter(nearest_few(name, known, most=1)), "")


def nearest_few(name: str, known: Iterable[str], *, most: int = 3, alike: float = 0.6) -> list[str]:
    """The known names that ``name`` is like, the most like it first. ``alike``: how much so, from 0 to 1."""
    import difflib  # only ever needed on the way to an error

    return difflib.get_close_matches(name, list(known), n=most, cutoff=alike)


class HermesError(Exception):
    """The root. ``exit_code`` is what a command line run that ends with it returns."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(HermesError):
    exit_code = 2


class PluginError(HermesError):
    """``plugin`` is the name of the one at fault."""

    def __init__(self, message: str, *, plugin: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class ToolError(HermesError):
    pass


class StoreError(HermesError):
    pass


class SessionNotFound(StoreError):
    exit_code = 2


class LeaseLost(StoreError):
    pass


class RemoteError(HermesError):
    """``str(error)`` begins with the name of the other side's class."""


class BudgetExceeded(HermesError):
    exit_code = 3


class PolicyDenied(HermesError):
    exit_code = 3


class ProviderError(HermesError):
    """``status`` is the HTTP status (0: none), ``code`` the vendor's own, ``request_id`` theirs too.

    ``retry_after``: seconds the provider asked us to wait; None when it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        status: int = 0,
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class AuthenticationFailed(ProviderError):
    exit_code = 4


class NotEntitled(ProviderError):
    exit_code = 4


class ModelNotFound(ProviderError):
    pass


class RateLimited(ProviderError):
    pass


class Overloaded(ProviderError):
    pass


class ContextOverflow(ProviderError):
    pass


class ContentRefused(ProviderError):
    pass


class BadRequest(ProviderError):
    pass


class ConnectionFailed(ProviderError):
    pass


class StreamBroken(ProviderError):
    pass


class ErrorInfo(Value, kw_only=True):
    """An error as a value, for events, hooks and the border. ``kind`` is the class's name."""

    kind: str
    message: str
    hint: str = ""
    provider: str = ""
    status: int = 0
    code: str = ""
    request_id: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        details: dict[str, Any] = {
            name: value
            for name, kind in _DETAILS.items()
            if (value := getattr(error, name, None)) and isinstance(value, kind)
        }
        kind, message = type(error).__name__, _said(error)
        if isinstance(error, RemoteError) and ": " in message:
            kind, _, message = message.partition(": ")
        return cls(kind=kind, message=message or kind, **details)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 (the boundary: an exception's text may be made by anybody)
        return "its message cannot be read"


_DETAILS: dict[str, type | tuple[type, ...]] = {
    "hint": str,
    "provider": str,
    "status": int,
    "code": str,
    "request_id": str,
    "retry_after": (int, float),
}
"""What an error may carry. Attributes of these names and of other types are another program's."""


def error_of(info: ErrorInfo) -> HermesError:
    """The exception that ``info`` was made of; one of another program's becomes a plain `HermesError`."""
    kind = globals().get(info.kind)
    if isinstance(kind, type) and issubclass(kind, ProviderError):
        return kind(
            info.message,
            provider=info.provider,
            status=info.status,
            code=info.code,
            request_id=info.request_id,
            retry_after=info.retry_after,
            hint=info.hint,
        )
    if isinstance(kind, type) and issubclass(kind, HermesError):
        return kind(info.message, hint=info.hint)
    return RemoteError(f"{info.kind}: {info.message}", hint=info.hint)
