"""The lists of models that the control plane gives: foundation models, and the profiles they are called by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hermes.contracts.provider import ModelInfo

PROFILES_PATH = "/inference-profiles?maxResults=1000"


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The models of either list that answer with text and can be called as they are; None if it is no list."""
    try:
        listed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    if not isinstance(listed, Mapping):
        return None
    if isinstance(profiles := listed.get("inferenceProfileSummaries"), list):
        return [
            ModelInfo(id=str(entry["inferenceProfileId"]))
            for entry in profiles
            if isinstance(entry, dict) and entry.get("inferenceProfileId") and entry.get("status") in (None, "ACTIVE")
        ]
    if isinstance(models := listed.get("modelSummaries"), list):
        return [_model(entry) for entry in models if isinstance(entry, dict) and _callable(entry)]
    return None


def _callable(entry: dict[str, Any]) -> bool:
    called = "ON_DEMAND" in (entry.get("inferenceTypesSupported") or ["ON_DEMAND"])
    return called and "TEXT" in (entry.get("outputModalities") or ["TEXT"]) and bool(entry.get("modelId"))


def _model(entry: dict[str, Any]) -> ModelInfo:
    cycle = entry.get("modelLifecycle")
    ends = cycle.get("endOfLifeTime") if isinstance(cycle, dict) else None
    return ModelInfo(id=str(entry["modelId"]), retires=ends[:10] if isinstance(ends, str) else "")
