"""Ids of traces that follow from a turn's id, so that a turn that goes on in another process stays one tree."""

from __future__ import annotations

import hashlib

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags


class TurnIds(RandomIdGenerator):
    """Random ids, but for the next root, after `root_is`. For one thread."""

    def __init__(self) -> None:
        self._root: SpanContext | None = None

    def root_is(self, context: SpanContext) -> None:
        """The span that is started next is the root of this trace, and has this id."""
        self._root = context

    def generate_trace_id(self) -> int:
        return self._root.trace_id if self._root is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        if self._root is None:
            return super().generate_span_id()
        span_id, self._root = self._root.span_id, None
        return span_id


def root_of(session_id: str, turn_id: str) -> SpanContext:
    """The context of a turn's first span, in whichever process that is or was."""
    digest = hashlib.sha256(f"{session_id}/{turn_id}".encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
