"""What is left of a turn that did not end: results for its calls, so that the history can be sent again."""

from __future__ import annotations

from collections.abc import Sequence

from hermes.contracts.messages import Message, TextPart, ToolCallPart, ToolResultPart
from hermes.contracts.store import CallRecord, Pending

from .calls import interrupted_result


def open_calls(history: Sequence[Message]) -> list[ToolCallPart]:
    """The calls at the end of the history that have no result. Results are appended all at once, so it is
    all of the last answer's, or none.
    """
    if not history or history[-1].role != "assistant":
        return []
    return [part for part in history[-1].parts if isinstance(part, ToolCallPart)]


def results_of_crash(calls: Sequence[ToolCallPart], pending: Pending) -> list[Message]:
    """The turn's process died: finished calls keep their result, others say how far they got. None is rerun."""
    records = {record.call_id: record for record in pending.calls}
    return [Message(role="tool", parts=(_after_crash(part, records.get(part.id)),)) for part in calls]


def _after_crash(part: ToolCallPart, record: CallRecord | None) -> ToolResultPart:
    if record is not None and record.result is not None:
        return record.result
    started = record is not None and record.state != "intended"
    return interrupted_result(part, record.effects if record else "external", started=started)


def results_of_abandonment(calls: Sequence[ToolCallPart], pending: Pending) -> list[Message]:
    """The turn waited for an answer, and the user went on with another message."""
    records = {record.call_id: record for record in pending.calls}
    messages = []
    for part in calls:
        record = records.get(part.id)
        result = record.result if record is not None else None
        text = "Not run: it waited for an answer, and the user went on without giving one."
        messages.append(
            Message(
                role="tool",
                parts=(
                    result or ToolResultPart(call_id=part.id, name=part.name, content=(TextPart(text),), is_error=True),
                ),
            )
        )
    return messages


def finished_results(pending: Pending) -> dict[str, ToolResultPart]:
    """Results that a waiting turn already has, by call."""
    return {record.call_id: record.result for record in pending.calls if record.result is not None}


def given_answers(pending: Pending) -> dict[str, str]:
    """Answers that a waiting turn already has, by request."""
    return {record.request.id: record.answer for record in pending.requests if record.status == "answered"}


def is_answered(pending: Pending) -> bool:
    """Whether a suspended turn can go on."""
    suspended = pending.turn is not None and pending.turn.status == "suspended"
    return suspended and all(record.status != "open" for record in pending.requests)
