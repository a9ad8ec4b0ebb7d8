"""What a check found, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Status = Literal["ok", "failed", "warning", "skipped"]
MARKS: dict[Status, str] = {"ok": "✓", "failed": "✗", "warning": "!", "skipped": "-"}


class Finding(msgspec.Struct, frozen=True):
    """``advice``: what to do; blank where nothing is to be done."""

    check: str
    status: Status
    text: str
    advice: str = ""

    def line(self) -> str:
        advice = f" → {self.advice}" if self.advice else ""
        return f"{MARKS[self.status]} {self.check:12} {self.text}{advice}"


def finding(
    check: str, problems: Iterable[str], fine: str, advice: str = "", *, otherwise: Status = "failed"
) -> Finding:
    """One line of all the problems of a check; fine if there are none."""
    told = "; ".join(problems)
    return Finding(check, otherwise, told, advice) if told else Finding(check, "ok", fine)
