"""Stops a model that goes in circles."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hermes.contracts.errors import HermesError
from hermes.contracts.messages import ToolCallPart, ToolResultPart

REFUSED_AFTER = 3
"""Failures of one call in a row, with nothing else in between, after which it is not run again."""
STOPPED_AFTER = 6
TRUNCATED_MOST = 3
"""Answers in a row that are cut within a tool call."""


class RepeatedCalls:
    """Of one turn. Whatever else is called in between may have changed what the call meets, so it counts anew."""

    def __init__(self) -> None:
        self._call = ""
        self._failed = 0
        self._truncated = 0

    def refusal(self, part: ToolCallPart) -> str:
        """Why the call is not to be run; blank if it may be."""
        if self._failed < REFUSED_AFTER or _key(part) != self._call:
            return ""
        return (
            f"Not run: this very call has failed {self._failed} times in a row, and nothing was done in between. "
            "Do something else, or say what stands in the way."
        )

    def truncated(self, *, cut: bool) -> None:
        """Told of each answer with calls: whether it was cut at the limit of its tokens.

        Raises:
            HermesError: it is one too many in a row.
        """
        self._truncated = self._truncated + 1 if cut else 0
        if self._truncated > TRUNCATED_MOST:
            raise HermesError(
                f"The model's answers were cut within a tool call, {self._truncated} times in a row.",
                hint="Raise model.max_tokens in config.yaml, or ask for smaller steps.",
            )

    def note(self, parts: Sequence[ToolCallPart], results: Sequence[ToolResultPart]) -> None:
        """The calls of one answer and how they went.

        Raises:
            HermesError: the model does not stop repeating a call that fails.
        """
        for part, result in zip(parts, results, strict=True):
            key = _key(part)
            self._failed = 0 if not result.is_error else self._failed + 1 if key == self._call else 1
            self._call = key
        if self._failed >= STOPPED_AFTER:
            name = parts[-1].name
            raise HermesError(
                f'The turn was stopped: the model repeated the same call of "{name}" {self._failed} times, and it '
                "failed each time.",
                hint="Say it differently, or use another model.",
            )


def _key(part: ToolCallPart) -> str:
    try:
        arguments = msgspec.json.encode(msgspec.json.decode(part.arguments or "{}"), order="sorted").decode()
    except msgspec.DecodeError:
        arguments = part.arguments
    return f"{part.name} {arguments}"
