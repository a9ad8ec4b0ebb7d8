"""Regions, and the inference profiles by which their models are called."""

from __future__ import annotations

import re

from hermes.contracts.provider import Endpoint

DEFAULT = "us-east-1"
GLOBAL = "global"
_HOST = re.compile(r"https?://(?:[a-z0-9-]+\.)?bedrock(?:-runtime)?(?:-fips)?\.([a-z0-9-]+)\.")
_RUNTIME = re.compile(r"^(https?://)bedrock-runtime((?:-fips)?\.)")
_PREFIXED = re.compile(r"(?:us-gov|us|eu|apac|global|jp|au|ca)\.")
_GEOGRAPHIES = (
    ("us-gov-", ("us-gov",)),
    ("us-", ("us",)),
    ("eu-", ("eu",)),
    ("ca-", ("ca",)),
    ("ap-northeast-1", ("jp", "apac")),
    ("ap-northeast-3", ("jp", "apac")),
    ("ap-southeast-2", ("au", "apac")),
    ("ap-southeast-4", ("au", "apac")),
    ("ap-", ("apac",)),
)


def region_of(endpoint: Endpoint) -> str:
    """Of the address; behind an address of one's own, what the options say."""
    found = _HOST.match(endpoint.base_url)
    return found[1] if found else endpoint.options.get("region") or DEFAULT


def control_plane(base_url: str) -> str:
    """Where models are listed. An address that is not Amazon's own serves both."""
    return _RUNTIME.sub(r"\1bedrock\2", base_url)


def is_bare(model: str) -> bool:
    """Whether it is neither an ARN nor the id of a profile."""
    return not (model.startswith("arn:") or _PREFIXED.match(model))


def prefixes(region: str) -> tuple[str, ...]:
    """Of the profiles that stay within the region's geography, the nearest first."""
    return next((found for start, found in _GEOGRAPHIES if region.startswith(start)), ())


def profile_ids(model: str, region: str) -> list[str]:
    """What the model may be called by in that region."""
    return [f"{prefix}.{model}" for prefix in (*prefixes(region), GLOBAL)]
