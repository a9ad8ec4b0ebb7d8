"""What is left of a conversation that is too long, where no plugin summarises it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hermes.contracts.messages import Message, TextPart

NOTE = "[Earlier messages were left out: the conversation is longer than the model can read.]"


def later_half(messages: Sequence[Message]) -> tuple[Message, ...] | None:
    """The last turns, about half of all by size; whole turns, for calls and results belong together.

    None: there is only one turn.
    """
    starts = [place for place, message in enumerate(messages) if message.role == "user" and place]
    if not starts:
        return None
    sizes = [len(msgspec.msgpack.encode(message.parts)) for message in messages]
    half = sum(sizes) / 2
    start = next((place for place in starts if sum(sizes[place:]) <= half), starts[-1])
    first = messages[start]
    return (msgspec.structs.replace(first, parts=(TextPart(NOTE), *first.parts)), *messages[start + 1 :])
