"""What both of OpenAI's APIs have in common: keys, errors, headers and the list of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..replies import Fail, Reason
from ..seen import SeenRequest
from .form import CREATED, Entry, body_of, members

_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "The account has no credit left."),
    403: ("invalid_request_error", "model_not_allowed", "The project may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("server_error", "server_is_overloaded", "The server is overloaded."),
    529: ("overloaded_error", "overloaded", "Overloaded."),
}
_REASONS: dict[Reason, tuple[str, str, str]] = {
    "overflow": (
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    "filtered": ("invalid_request_error", "content_filter", "The prompt was flagged by the content filter."),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}


class OpenAIApi:
    """The part of a `Form` that Chat Completions and Responses share."""

    base = "/v1"
    content_type = "text/event-stream; charset=utf-8"

    def lists(self, request: SeenRequest) -> bool:
        return request.method == "GET" and request.route == "/v1/models"

    def denied(self, request: SeenRequest, key: str) -> Fail | None:
        """None without a key: servers of one's own speak these wires, too."""
        return Fail(401) if key and request.bearer != key else None

    def model(self, request: SeenRequest, asked: Mapping[str, Any]) -> str:
        return str(asked.get("model", ""))

    def streams(self, request: SeenRequest, asked: Mapping[str, Any]) -> bool:
        return bool(asked.get("stream"))

    def headers(self, number: int) -> Mapping[str, str]:
        return {"X-Request-Id": f"req_{number}"}

    def failure(self, fail: Fail, number: int) -> tuple[str, Mapping[str, str]]:
        usual = _ERRORS.get(fail.status, ("server_error", None, "The server had an error."))
        kind, code, message = _REASONS[fail.reason] if fail.reason else usual
        made = {"message": fail.message or message, "type": kind, "param": None, "code": fail.code or code}
        return body_of(fail, {"error": made}), {}

    def models(self, entries: Sequence[Entry], request: SeenRequest) -> Mapping[str, Any]:
        common = {"object": "model", "created": CREATED, "owned_by": "tests"}
        return {"object": "list", "data": [{**common, **members(entry)} for entry in entries]}


def invalid(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Fail:
    """What OpenAI says of a malformed request."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Fail(status, {"error": error})
