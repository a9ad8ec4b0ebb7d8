"""How a turn went, for people and for programs: lines, exit codes, the usage file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hermes.contracts.errors import AuthenticationFailed, ConfigError, ErrorInfo, HermesError, NotEntitled, error_of
from hermes.contracts.events import TurnFinished

EXIT_OF_OUTCOME = {"done": 0, "failed": 1, "denied": 3, "over_budget": 3, "interrupted": 130}


def exit_code(finished: TurnFinished) -> int:
    if finished.outcome == "failed" and finished.error is not None:
        error = error_of(finished.error)
        if isinstance(error, AuthenticationFailed | NotEntitled):
            return 4
        return max(error.exit_code, 1)
    return EXIT_OF_OUTCOME.get(finished.outcome, 1)


def error_line(error: ErrorInfo, log_file: Path) -> str:
    """One line: what, provider, status, code, what to do, where more is."""
    text = " ".join(error.message.split())
    details = [
        f"{name} {value}"
        for name, value in (
            ("provider", error.provider),
            ("status", error.status),
            ("code", error.code),
            ("request", error.request_id),
        )
        if value and str(value) not in text
    ]
    parts = [f"hermes: {text}", f"({', '.join(details)})" if details else "", " ".join(error.hint.split())]
    return " ".join(part for part in parts if part) + f" [log: {log_file}]"


def usage_report(session_id: str, finished: TurnFinished | None, error: HermesError | None = None) -> dict[str, Any]:
    usage = finished.usage if finished else None
    failure = finished.error if finished else ErrorInfo.of(error) if error else None
    return {
        "session_id": session_id,
        "provider": finished.provider if finished else "",
        "model": finished.model if finished else "",
        "input_tokens": usage.input_tokens if usage else 0,
        "output_tokens": usage.output_tokens if usage else 0,
        "cache_read_tokens": usage.cache_read_tokens if usage else 0,
        "cache_write_tokens": usage.cache_write_tokens if usage else 0,
        "reasoning_tokens": usage.reasoning_tokens if usage else 0,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.output_tokens if usage else 0,
        "total_tokens": usage.total_tokens if usage else 0,
        "api_call_count": finished.api_calls if finished else 0,
        "estimated_cost_usd": finished.cost_usd if finished else None,
        "outcome": finished.outcome if finished else "failed",
        "error": f"{failure.kind}: {failure.message}" if failure else None,
    }


def open_usage_file(file: str) -> None:
    """Makes sure, before anything is spent, that the usage can be written.

    Raises:
        ConfigError: it cannot.
    """
    try:
        Path(file).open("a").close()
    except OSError as error:
        raise ConfigError(
            f"The usage file {file} cannot be written: {error.strerror}.", hint="Choose another --usage-file."
        ) from None


def write_usage(file: str, report: dict[str, Any]) -> None:
    Path(file).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
