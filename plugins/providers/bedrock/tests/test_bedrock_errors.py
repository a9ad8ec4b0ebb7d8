"""What Bedrock says of a refused request, as errors: the class, the line, and the next step."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from botocore.session import Session

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    Endpoint,
    ModelNotFound,
    NotEntitled,
    Overloaded,
    ProviderError,
    RateLimited,
)
from hermes_plugin_bedrock.errors import error_of
from hermes_plugin_bedrock.regions import control_plane, is_bare, profile_ids, region_of

KEY = "ABSK-a-secret-key"
OPUS = "anthropic.claude-opus-5-5"


def endpoint(region: str = "eu-west-1", key: str = KEY, **options: str) -> Endpoint:
    url = f"https://bedrock-runtime.{region}.amazonaws.com"
    source = "env:AWS_BEARER_TOKEN_BEDROCK" if key else ""
    return Endpoint(provider="bedrock", base_url=url, key=key, key_source=source, options=options)


def error(
    status: int, kind: str, message: str, *, model: str = OPUS, place: Endpoint | None = None, **headers: str
) -> ProviderError:
    named = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"} if kind else {}
    return error_of(
        status,
        {**named, "x-amzn-requestid": "q1", **headers},
        json.dumps({"message": message}).encode(),
        place or endpoint(),
        model,
    )


ON_DEMAND = (
    f"Invocation of model ID {OPUS} with on-demand throughput isn’t supported. Retry your request with the ID or ARN "
    "of an inference profile that contains this model."
)


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected", "hint"),
    [
        (400, "ValidationException", ON_DEMAND, ModelNotFound, f"eu.{OPUS} or global.{OPUS}"),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFound, "hermes model list"),
        (403, "AccessDeniedException", "Model not found: x", ModelNotFound, "hermes model list"),
        (
            404,
            "ResourceNotFoundException",
            "Model use case details have not been submitted for this account.",
            ModelNotFound,
            "eu-west-1.console.aws.amazon.com/bedrock/home?region=eu-west-1#/model-catalog",
        ),
        (403, "AccessDeniedException", "You don't have access to the model.", NotEntitled, "#/modelaccess"),
        (403, "AccessDeniedException", "Please make sure your API Key is valid.", AuthenticationFailed, "#/api-keys"),
        (403, "AccessDeniedException", "Bearer Token has expired", AuthenticationFailed, "last 12 hours"),
        (403, "ExpiredTokenException", "The security token is expired", AuthenticationFailed, "#/api-keys"),
        (403, "UnrecognizedClientException", "The security token is invalid.", AuthenticationFailed, "#/api-keys"),
        (403, "", "The security token included in the request is expired", AuthenticationFailed, "#/api-keys"),
        (403, "InvalidSignatureException", "The request signature we calculated", AuthenticationFailed, "#/api-keys"),
        (403, "MissingAuthenticationTokenException", "Missing Token", AuthenticationFailed, "#/api-keys"),
        (429, "ThrottlingException", "Too many requests", RateLimited, "max_tokens"),
        (429, "ModelNotReadyException", "Warming up", RateLimited, "quota"),
        (400, "ServiceQuotaExceededException", "Your request exceeds the quota", RateLimited, "quota"),
        (429, "ThrottlingException", "Too many tokens per day, please wait", NotEntitled, "quota"),
        (400, "ValidationException", "Input is too long for requested model.", ContextOverflow, "conversation"),
        (400, "ValidationException", "Output blocked by content filtering policy", ContentRefused, "policy"),
        (400, "ValidationException", "messages.0: blank", BadRequest, "providers.bedrock"),
        (408, "ModelTimeoutException", "x", Overloaded, "later"),
        (424, "ModelErrorException", "x", Overloaded, "later"),
        (500, "InternalServerException", "x", Overloaded, "later"),
        (503, "ServiceUnavailableException", "x", Overloaded, "later"),
    ],
)
def test_refusals(status: int, kind: str, message: str, expected: type[ProviderError], hint: str) -> None:
    found = error(status, kind, message)
    assert type(found) is expected
    assert hint in found.hint
    assert str(found) == f"bedrock: {status} {kind or found.code}: {message}".replace("  ", " ")
    assert (found.status, found.request_id, found.provider) == (status, "q1", "bedrock")
    assert KEY not in str(found) + found.hint


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (402, "The account has no valid payment instrument."),
        (403, "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: a valid payment instrument is required."),
    ],
)
def test_without_money_the_billing_page_is_named(status: int, message: str) -> None:
    place = msgspec.structs.replace(endpoint(), billing_url="https://console.aws.amazon.com/billing/home")
    found = error(status, "AccessDeniedException", message, place=place)
    assert type(found) is NotEntitled
    assert "https://console.aws.amazon.com/billing/home" in found.hint
    assert "modelaccess" not in found.hint


def test_a_long_wait_is_said() -> None:
    assert error(429, "ThrottlingException", "Slow", **{"retry-after": "3600"}).hint.startswith("Wait 1 hour, or ask")


KINDS = {
    "AccessDeniedException": NotEntitled,
    "ThrottlingException": RateLimited,
    "ResourceNotFoundException": ModelNotFound,
    "ModelTimeoutException": Overloaded,
    "InternalServerException": Overloaded,
    "ServiceUnavailableException": Overloaded,
    "ValidationException": BadRequest,
    "ModelNotReadyException": RateLimited,
    "ModelErrorException": Overloaded,
    "ModelStreamErrorException": Overloaded,
}


def test_every_exception_of_the_service_becomes_an_error_of_ours() -> None:
    """A new one in Amazon's model of the wire fails here."""
    service = Session().get_service_model("bedrock-runtime")
    shapes: dict[str, Any] = {}
    for name in ("Converse", "ConverseStream"):
        shapes.update({shape.name: shape for shape in service.operation_model(name).error_shapes})
    events = service.operation_model("ConverseStream").output_shape.members["stream"].members.values()
    shapes.update({shape.name: shape for shape in events if shape.metadata.get("exception")})
    assert {
        name: type(error(shape.metadata["error"]["httpStatusCode"], name, "x")) for name, shape in shapes.items()
    } == KINDS


def test_other_forms_of_a_body_are_read() -> None:
    place = endpoint()
    typed = error_of(400, {}, b'{"__type":"com.amazon.coral#ValidationException","Message":"Bad."}', place)
    assert str(typed) == "bedrock: 400 ValidationException: Bad."
    gateway = error_of(503, {"retry-after": "3"}, b"<html><body>No route</body></html>", place)
    assert str(gateway) == "bedrock: 503: No route"
    assert (type(gateway), gateway.retry_after) == (Overloaded, 3.0)
    nested = error_of(400, {}, b'{"error": {"message": "Bad.", "type": "x"}}', place)
    assert "Bad." in str(nested)
    assert type(error_of(500, {}, b"[]", place)) is Overloaded


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"profile": "work"}, "aws sso login --profile work"),
        ({"access_key": "AKIA"}, "AWS_SESSION_TOKEN"),
        ({}, "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_signed_requests_that_are_refused_name_what_they_were_signed_with(options: dict[str, str], hint: str) -> None:
    found = error(403, "ExpiredTokenException", "The token has expired", place=endpoint(key="", **options))
    assert isinstance(found, AuthenticationFailed)
    assert hint in found.hint


def test_secrets_that_amazon_repeats_are_not_told() -> None:
    sentence = "The request signature we calculated… The Canonical String should have been 'x-amz-security-token:t0ken'"
    found = error(403, "InvalidSignatureException", sentence, place=endpoint(key="", session_token="t0ken"))
    assert isinstance(found, AuthenticationFailed)
    assert "t0ken" not in str(found)


@pytest.mark.parametrize(
    ("region", "prefixes"),
    [
        ("us-west-2", ["us", "global"]),
        ("us-gov-west-1", ["us-gov", "global"]),
        ("eu-central-1", ["eu", "global"]),
        ("ca-central-1", ["ca", "global"]),
        ("ap-northeast-1", ["jp", "apac", "global"]),
        ("ap-northeast-2", ["apac", "global"]),
        ("ap-southeast-2", ["au", "apac", "global"]),
        ("sa-east-1", ["global"]),
    ],
)
def test_profiles_of_a_region(region: str, prefixes: list[str]) -> None:
    assert profile_ids("m", region) == [f"{prefix}.m" for prefix in prefixes]
    assert region_of(endpoint(region)) == region
    assert all(not is_bare(found) for found in profile_ids("m", region))


def test_ids_and_addresses() -> None:
    assert is_bare(OPUS)
    assert is_bare("us-model.x")
    assert not is_bare("arn:aws:bedrock:us-east-1:1:inference-profile/us.x")
    own = Endpoint(provider="b", base_url="http://127.0.0.1:1", options={"region": "eu-north-1"})
    assert (region_of(own), region_of(Endpoint(provider="b"))) == ("eu-north-1", "us-east-1")
    assert (
        region_of(Endpoint(provider="b", base_url="https://bedrock-runtime-fips.us-west-2.amazonaws.com"))
        == "us-west-2"
    )
    private = Endpoint(provider="b", base_url="https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com")
    assert region_of(private) == "eu-west-3"
    assert control_plane("https://bedrock-runtime.eu-west-1.amazonaws.com") == "https://bedrock.eu-west-1.amazonaws.com"
    assert control_plane("https://bedrock-runtime-fips.a.amazonaws.com") == "https://bedrock-fips.a.amazonaws.com"
    assert control_plane("http://127.0.0.1:1/x") == "http://127.0.0.1:1/x"
