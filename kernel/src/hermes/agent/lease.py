"""One writer at a time per session, across processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator

from hermes.contracts.errors import StoreError
from hermes.contracts.store import LeaseRelease, LeaseRequest, SessionStore
from hermes.sessions.leases import boot_id

SECONDS = 30.0
HEARTBEAT = 10.0


@contextlib.asynccontextmanager
async def session_lease(store: SessionStore, session_id: str, holder: str, log: logging.Logger) -> AsyncIterator[bool]:
    """Holds the session's lease, renewed in the background. Gives False if somebody else holds it."""
    name = f"session:{session_id}"
    request = LeaseRequest(name=name, holder=holder, seconds=SECONDS, pid=os.getpid(), boot=boot_id())
    if not (await store.lease(request)).granted:
        yield False
        return
    heart = asyncio.create_task(_beat(store, request, log))
    try:
        yield True
    finally:
        heart.cancel()
        await store.release(LeaseRelease(name=name, holder=holder))


async def _beat(store: SessionStore, request: LeaseRequest, log: logging.Logger) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        try:
            await store.lease(request)
        except StoreError as error:
            log.error("the lease %s could not be renewed: %s", request.name, error)
