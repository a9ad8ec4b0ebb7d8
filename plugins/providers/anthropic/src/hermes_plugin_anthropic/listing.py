"""The list of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.provider import ModelInfo
from hermes_carrier.listing import entries_of, model_of

_INPUTS = {"image_input": "image", "pdf_input": "file"}


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The entries of ``/v1/models`` without retired ones; None if ``body`` is no list of them."""
    entries = entries_of(body, "data")
    if entries is None:
        return None
    return [_completed(model_of(entry), entry) for entry in entries if _served(entry)]


def _served(entry: Mapping[str, Any]) -> bool:
    return "id" in entry and entry.get("lifecycle") != "retired"


def _completed(model: ModelInfo, entry: Mapping[str, Any]) -> ModelInfo:
    """With what Anthropic says in words of its own."""
    window, most, retires = entry.get("max_input_tokens"), entry.get("max_tokens"), entry.get("retires_at")
    can = entry.get("capabilities")
    return msgspec.structs.replace(
        model,
        context_window=window if isinstance(window, int) else model.context_window,
        max_output=most if isinstance(most, int) else model.max_output,
        retires=retires[:10] if isinstance(retires, str) else "",
        inputs=[ours for theirs, ours in _INPUTS.items() if _supported(can, theirs)] if can else None,
    )


def _supported(capabilities: Any, name: str) -> bool:
    found = capabilities.get(name) if isinstance(capabilities, Mapping) else None
    return isinstance(found, Mapping) and found.get("supported") is True
