"""How much a model is asked to think: `ModelRequest.reasoning_effort` on the ladder of what it knows."""

from __future__ import annotations

from collections.abc import Sequence

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The words there are, from the least."""


def nearest(wanted: str, known: Sequence[str], *, upwards: bool = False) -> str:
    """Of the efforts that a model knows the nearest to the wanted one; of two, the lower, or ``upwards`` the higher.

    What is in ``known`` and not in `EFFORTS` is never chosen. A wanted one that nobody knows, or that is to be held
    against nothing, stays as it is.
    """
    ladder = [effort for effort in EFFORTS if effort in known]
    if wanted not in EFFORTS or not ladder:
        return wanted
    if upwards:
        ladder.reverse()
    place = EFFORTS.index(wanted)
    return min(ladder, key=lambda effort: abs(EFFORTS.index(effort) - place))
