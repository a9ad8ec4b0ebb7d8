"""Credentials that a person added or logged in for, and what is known of models beyond what providers say."""

from __future__ import annotations

from typing import Literal, Protocol

from .provider import ModelInfo, OAuthSpec
from .values import Value

Strategy = Literal["fill_first", "round_robin", "random", "least_used"]
"""Which of a provider's keys is used: the first that works, each in turn, any, or the one used least so far."""


class StoredCredential(Value, kw_only=True):
    """One entry of the home's ``auth.json``. It appears in no ``repr``.

    ``secret`` is what requests carry: an API key, or a token that ends at ``expires`` (seconds since the epoch; 0:
    never) and is renewed with ``refresh``.
    """

    id: str
    provider: str
    label: str = ""
    kind: Literal["key", "oauth"] = "key"
    secret: str = ""
    refresh: str = ""
    expires: float = 0.0
    base_url: str = ""
    """Where the token is good, if it says so; empty: at the provider's own address."""
    user: str = ""
    """Only for this principal; empty: for everyone who uses the home."""
    place: Literal["file", "keyring"] = "file"
    """``keyring``: ``secret`` and ``refresh`` are in the system's keyring, and blank here."""
    added: float = 0.0

    def __repr__(self) -> str:
        return f"StoredCredential(id={self.id!r}, provider={self.provider!r}, kind={self.kind!r})"


class RefreshRequest(Value, kw_only=True):
    credential: StoredCredential
    oauth: OAuthSpec

    def __repr__(self) -> str:
        return f"RefreshRequest({self.credential!r})"


class TokenRefresher(Protocol):
    """The contract ``token_refresher``: renews tokens, and keeps secrets in the system's keyring."""

    async def refresh(self, request: RefreshRequest) -> StoredCredential:
        """The credential with a new secret. Raises `AuthenticationFailed` where only a new login helps."""

    async def opened(self, credential: StoredCredential) -> StoredCredential:
        """One whose ``place`` is the keyring, with its secrets."""

    async def sealed(self, credential: StoredCredential) -> StoredCredential:
        """One whose ``place`` is the keyring, without its secrets, which are in the keyring now."""


class CatalogQuery(Value, kw_only=True):
    provider: str
    model: str


class CatalogEntry(Value, kw_only=True):
    """``source`` and ``date`` say where prices are from and of which day they are. ``info`` None: nothing is known."""

    info: ModelInfo | None = None
    source: str = ""
    date: str = ""


class ModelCatalog(Protocol):
    """The contract ``model_catalog``: prices and windows of models that no manifest names."""

    async def lookup(self, query: CatalogQuery) -> CatalogEntry: ...
