"""The list of models, as Google's own API and Vertex AI give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes.contracts.provider import ModelInfo
from hermes_carrier.listing import count_of, entries_of


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The models of a list that write text; None if ``body`` is no list."""
    entries = entries_of(body, "models", "publisherModels")
    return None if entries is None else [_model(entry) for entry in entries if "name" in entry and _writes(entry)]


def _writes(entry: Mapping[str, Any]) -> bool:
    """Vertex does not say what its models can do."""
    methods = entry.get("supportedGenerationMethods")
    return not isinstance(methods, list) or "generateContent" in methods


def _model(entry: Mapping[str, Any]) -> ModelInfo:
    return ModelInfo(
        id=str(entry["name"]).removeprefix("publishers/google/").removeprefix("models/"),
        context_window=count_of(entry.get("inputTokenLimit")),
        max_output=count_of(entry.get("outputTokenLimit")),
    )
