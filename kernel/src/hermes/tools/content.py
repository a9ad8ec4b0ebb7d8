"""What a tool's function returns, as the model reads it."""

from __future__ import annotations

from typing import Any

import msgspec

from hermes.contracts.messages import ImagePart, TextPart
from hermes.contracts.tool import ToolOutcome


def content_of(answer: Any) -> tuple[TextPart | ImagePart, ...]:
    """Parts as they stand, text as a part, anything else as JSON."""
    if isinstance(answer, ToolOutcome):
        return answer.content
    if isinstance(answer, ImagePart | TextPart):
        return (answer,)
    if answer is None:
        return (TextPart("(done)"),)
    if isinstance(answer, str):
        return (TextPart(answer or "(no output)"),)
    if isinstance(answer, list | tuple) and answer and all(isinstance(part, TextPart | ImagePart) for part in answer):
        return tuple(answer)
    return (TextPart(msgspec.json.encode(answer).decode()),)
