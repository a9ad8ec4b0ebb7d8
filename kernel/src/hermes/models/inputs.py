"""What a model is known not to take is not sent to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hermes.contracts.errors import BadRequest
from hermes.contracts.messages import AudioPart, FilePart, ImagePart, Message, Part, TextPart, ToolResultPart

_KINDS: tuple[tuple[type, str], ...] = ((ImagePart, "image"), (AudioPart, "audio"), (FilePart, "file"))


def fitting(messages: Sequence[Message], takes: Sequence[str], name: str, others: Sequence[str]) -> tuple[Message, ...]:
    """The messages as the model ``name`` can be given them: earlier ones with notes in place of what it does not take.

    ``takes``: of ``image``, ``audio``, ``file``. ``others``: models to name instead.

    Raises:
        BadRequest: what it is asked about now has such a part.
    """
    now = max((place for place, message in enumerate(messages) if message.role == "user"), default=0)
    for part in messages[now].parts if messages else ():
        if (kind := input_of(part)) and kind not in takes:
            provider = name.partition(":")[0]
            instead = f" These of {provider} take them: {', '.join(others)}." if others else ""
            raise BadRequest(
                f"{provider}: the model {name} takes no {kind}.",
                provider=provider,
                hint=f"Use another model, or leave the {kind} out.{instead}",
            )
    return tuple(_without(message, takes) for message in messages)


def input_of(part: Part) -> str:
    """``image``, ``audio`` or ``file``; blank: text, or a tool's."""
    return next((kind for cls, kind in _KINDS if isinstance(part, cls)), "")


def _without(message: Message, takes: Sequence[str]) -> Message:
    parts = tuple(_replaced(part, takes) for part in message.parts)
    return msgspec.structs.replace(message, parts=parts) if parts != message.parts else message


def _replaced(part: Part, takes: Sequence[str]) -> Part:
    if isinstance(part, ToolResultPart):
        content = tuple(TextPart(_note("image")) if _refused(piece, takes) else piece for piece in part.content)
        return msgspec.structs.replace(part, content=content) if content != part.content else part
    kind = input_of(part)
    return TextPart(_note(kind)) if kind and kind not in takes else part


def _note(kind: str) -> str:
    return f"[{kind} left out: this model does not take it]"


def _refused(part: Part, takes: Sequence[str]) -> bool:
    return isinstance(part, ImagePart) and "image" not in takes
