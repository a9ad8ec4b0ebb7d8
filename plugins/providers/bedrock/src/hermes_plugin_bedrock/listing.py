"""The lists of models that the control plane gives: foundation models, and the profiles they are called by."""

from __future__ import annotations

from typing import Any

from hermes.contracts.provider import ModelInfo
from hermes_carrier.listing import entries_of

PROFILES_PATH = "/inference-profiles?maxResults=1000"


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The models of either list that answer with text and can be called as they are; None if it is no list."""
    if (profiles := entries_of(body, "inferenceProfileSummaries")) is not None:
        return [
            ModelInfo(id=str(entry["inferenceProfileId"]))
            for entry in profiles
            if entry.get("inferenceProfileId") and entry.get("status") in (None, "ACTIVE")
        ]
    models = entries_of(body, "modelSummaries")
    return None if models is None else [_model(entry) for entry in models if _callable(entry)]


def _callable(entry: dict[str, Any]) -> bool:
    called = "ON_DEMAND" in (entry.get("inferenceTypesSupported") or ["ON_DEMAND"])
    return called and "TEXT" in (entry.get("outputModalities") or ["TEXT"]) and bool(entry.get("modelId"))


def _model(entry: dict[str, Any]) -> ModelInfo:
    cycle = entry.get("modelLifecycle")
    ends = cycle.get("endOfLifeTime") if isinstance(cycle, dict) else None
    return ModelInfo(id=str(entry["modelId"]), retires=ends[:10] if isinstance(ends, str) else "")
