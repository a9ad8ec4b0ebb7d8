"""Signed requests: botocore checks the signature on the other side, and finds the credentials on this one."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hermes import (
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    Endpoint,
    HermesError,
    Message,
    ModelFinished,
    ModelRequest,
    ModelsQuery,
    NotEntitled,
    TextPart,
)
from hermes_plugin_bedrock.aws_failures import KINDS, RAISED, failure_of
from hermes_plugin_bedrock.provider import BedrockConverse
from hermes_testkit.model_server import Fail, ModelServer, Say, SeenRequest

REGION = "eu-north-1"
PAIRS = {"AKIAPAIR": "secret-of-the-pair", "AKIAFILE": "secret-of-the-file", "ASIAROLE": "secret-of-the-role"}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those of a test; what is in the environment is another's."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAANOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-another")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def verified(seen: SeenRequest) -> Any:
    """Answers with the key's id, if the signature is what botocore makes of the request."""
    told = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/bedrock/aws4_request, "
        r"SignedHeaders=([^,]+), Signature=(\w+)",
        seen.headers["authorization"],
    )
    assert told is not None, seen.headers["authorization"]
    key, region, names, signature = told.groups()
    signed = {name: seen.headers[name] for name in names.split(";")}
    request = AWSRequest(method=seen.method, url=f"http://{signed['host']}{seen.path}", data=seen.body, headers=signed)
    request.context["timestamp"] = signed["x-amz-date"]
    auth = SigV4Auth(Credentials(key, PAIRS.get(key, "?")), "bedrock", region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if signature != expected or region != REGION:
        return Fail(403, code="InvalidSignatureException", message="The request signature we calculated does not match")
    return Say(f"{key} {signed.get('x-amz-security-token', '')}".strip())


def request(server: ModelServer, *, key: str = "", carrier: Any = "http", **options: str) -> ModelRequest:
    endpoint = Endpoint(
        provider="bedrock", base_url=server.root, key=key, carrier=carrier, options={"region": REGION, **options}
    )
    messages = (Message(role="user", parts=(TextPart("Grüße"),)),)
    model = "us.anthropic.claude-test-v1:0"
    return ModelRequest(id="r", session_id="s", turn_id="t", endpoint=endpoint, model=model, messages=messages)


def ask(*requests: ModelRequest, between: Callable[[], None] = lambda: None) -> list[str | HermesError]:
    """One provider asked several times: what each answer says."""

    async def one(provider: BedrockConverse, asked: ModelRequest) -> str | HermesError:
        try:
            events = [event async for event in provider.stream(asked)]
        except HermesError as error:
            return error
        assert isinstance(events[-1], ModelFinished)
        return "".join(getattr(event, "text", "") for event in events)

    async def work() -> list[str | HermesError]:
        provider = BedrockConverse()
        said = []
        for asked in requests:
            said.append(await one(provider, asked))
            between()
        await provider.close()
        return said

    return asyncio.run(work())


PAIR = {"access_key": "AKIAPAIR", "secret_key": PAIRS["AKIAPAIR"]}


def test_a_key_pair_signs(model_server: ModelServer) -> None:
    model_server.default = verified
    assert ask(request(model_server, **PAIR), request(model_server, **PAIR, session_token="t/o+k")) == [
        "AKIAPAIR",
        "AKIAPAIR t/o+k",
    ]
    assert model_server.requests[0].path.endswith("/us.anthropic.claude-test-v1%3A0/converse-stream")


def test_a_wrong_secret_is_refused(model_server: ModelServer) -> None:
    model_server.default = verified
    (error,) = ask(request(model_server, access_key="AKIAPAIR", secret_key="wrong"))
    assert isinstance(error, AuthenticationFailed)
    assert "AWS_SECRET_ACCESS_KEY" in error.hint


def test_a_key_comes_before_what_could_sign_unless_the_carrier_says_so(model_server: ModelServer) -> None:
    model_server.script("bearer", verified)
    asked = [request(model_server, key="ABSK", **PAIR), request(model_server, key="ABSK", carrier="sdk", **PAIR)]
    assert ask(*asked) == ["bearer", "AKIAPAIR"]
    assert model_server.requests[0].headers["authorization"] == "Bearer ABSK"


def test_lists_of_models_are_signed(model_server: ModelServer) -> None:
    async def work() -> list[str]:
        provider = BedrockConverse()
        try:
            listed = await provider.models(ModelsQuery(endpoint=request(model_server, **PAIR).endpoint))
            return [model.id for model in listed.models]
        finally:
            await provider.close()

    assert asyncio.run(work()) == ["test-model"]
    for seen in model_server.other_requests:
        assert isinstance(verified(seen), Say)
    assert model_server.other_requests[1].query == {"maxResults": "1000"}


def test_half_a_pair_is_an_error_before_any_call(model_server: ModelServer) -> None:
    (error,) = ask(request(model_server, access_key="AKIAPAIR"))
    assert isinstance(error, ConfigError)
    assert "AWS_SECRET_ACCESS_KEY" in str(error)
    assert model_server.requests == []


def write_profile(tmp_path: Path, key: str) -> None:
    lines = f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {PAIRS.get(key, 'old')}\n"
    (tmp_path / "aws_shared_credentials_file").write_text(lines)


def test_a_profile_signs_and_is_read_again_when_it_is_refused(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.default = verified
    write_profile(tmp_path, "AKIAOLD")
    asked = request(model_server, profile="work")
    refused, answer = ask(asked, asked, between=lambda: write_profile(tmp_path, "AKIAFILE"))
    assert isinstance(refused, AuthenticationFailed)
    assert "aws sso login --profile work" in refused.hint
    assert answer == "AKIAFILE"


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        ("", ConfigError, "work"),
        (
            "[profile work]\nsso_start_url = https://sso.test/start\nsso_region = eu-north-1\n"
            "sso_account_id = 1\nsso_role_name = r\n",
            AuthenticationFailed,
            "aws sso login --profile work",
        ),
        (
            "[profile work]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nmfa_serial = m\n"
            "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n",
            AuthenticationFailed,
            "aws sso login --profile work",
        ),
        ("[profile work\n", ConfigError, "~/.aws/config"),
    ],
    ids=["missing", "logged-out", "one-time-code", "unreadable"],
)
def test_a_profile_that_gives_no_credentials(
    model_server: ModelServer, tmp_path: Path, config: str, kind: type[HermesError], words: str
) -> None:
    (tmp_path / "aws_config_file").write_text(config)
    (error,) = ask(request(model_server, profile="work"))
    assert type(error) is kind
    assert words in f"{error} {error.hint}"
    assert model_server.requests == []


def test_the_keys_of_the_process_are_another_users(model_server: ModelServer) -> None:
    (error,) = ask(request(model_server, carrier="sdk"))
    assert isinstance(error, AuthenticationFailed)
    assert "AWS_PROFILE" in error.hint
    assert model_server.requests == []


class Sts:
    """Amazon's service that gives out the credentials of roles; they last ``seconds``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seconds = 3600.0
        self.refuses = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                sts.asked.append(f"{self.headers.get('authorization')} {body}")
                text = sts.answer(body).encode()
                self.send_response(403 if sts.refuses else 200)
                self.send_header("content-type", "text/xml")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name for it)
                pass

        return Handler

    def answer(self, body: str) -> str:
        if self.refuses:
            error = f"<Error><Type>Sender</Type><Code>{self.refuses}</Code><Message>Not allowed.</Message></Error>"
            return f"<ErrorResponse>{error}<RequestId>q</RequestId></ErrorResponse>"
        action = parse_qs(body)["Action"][0]
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.seconds))
        return (
            f"<{action}Response><{action}Result><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/h</Arn>"
            "<AssumedRoleId>i:h</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
            f"<SecretAccessKey>{PAIRS['ASIAROLE']}</SecretAccessKey><SessionToken>token{len(self.asked)}</SessionToken>"
            f"<Expiration>{until}</Expiration></Credentials></{action}Result></{action}Response>"
        )


@pytest.fixture
def sts() -> Iterator[Sts]:
    server = Sts()
    yield server
    server.close()


def in_role(server: ModelServer, sts: Sts) -> ModelRequest:
    return request(server, **PAIR, role="arn:aws:iam::1:role/r", sts_endpoint=sts.url)


def test_a_role_is_assumed_once_while_its_credentials_last(model_server: ModelServer, sts: Sts) -> None:
    model_server.default = verified
    assert ask(*[in_role(model_server, sts)] * 3) == ["ASIAROLE token1"] * 3
    (asked,) = sts.asked
    assert "Credential=AKIAPAIR/" in asked
    assert "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr" in asked


def test_a_role_is_assumed_again_before_its_credentials_expire(model_server: ModelServer, sts: Sts) -> None:
    model_server.default = verified
    sts.seconds = 60.0
    assert ask(*[in_role(model_server, sts)] * 2) == ["ASIAROLE token1", "ASIAROLE token2"]


def test_a_pod_with_a_role_of_its_own_does_not_assume_it_twice(
    model_server: ModelServer, sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amazon's Kubernetes sets AWS_ROLE_ARN, too; that role is the one its token stands for."""
    model_server.default = verified
    (tmp_path / "token").write_text("a-web-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    asked = request(model_server, role="arn:aws:iam::1:role/r")
    assert ask(asked, asked) == ["ASIAROLE token1"] * 2
    (told,) = sts.asked
    assert "Action=AssumeRoleWithWebIdentity" in told


def test_no_secret_is_logged(model_server: ModelServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    model_server.default = verified
    assert ask(request(model_server, **PAIR, session_token="a-session-token")) == ["AKIAPAIR a-session-token"]
    assert "a-session-token" not in caplog.text
    assert PAIR["secret_key"] not in caplog.text


@pytest.mark.parametrize(
    ("code", "kind"), [("AccessDenied", NotEntitled), ("ExpiredTokenException", AuthenticationFailed)]
)
def test_a_role_that_may_not_be_assumed(
    model_server: ModelServer, sts: Sts, code: str, kind: type[HermesError]
) -> None:
    sts.refuses = code
    (error,) = ask(in_role(model_server, sts))
    assert type(error) is kind
    assert "Not allowed." in str(error)
    assert error.hint
    assert PAIRS["AKIAPAIR"] not in str(error)


def test_a_role_service_that_is_not_there(model_server: ModelServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    (error,) = ask(request(model_server, **PAIR, role="arn:aws:iam::1:role/r", sts_endpoint=url))
    assert isinstance(error, ConnectionFailed)
    assert url in str(error)


def exceptions_of_botocore() -> list[type[Exception]]:
    found = vars(botocore.exceptions).values()
    return [
        kind
        for kind in found
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
        if kind.__module__ == "botocore.exceptions"
    ]


@pytest.mark.parametrize("kind", exceptions_of_botocore(), ids=lambda kind: kind.__name__)
def test_every_exception_of_botocores_is_mapped(kind: type[Exception]) -> None:
    """A new one that is not of a known kind fails here; at run time it counts as an error of the settings."""
    assert issubclass(kind, RAISED)
    named = [parent.__name__ for parent in kind.__mro__ if parent.__name__ in KINDS]
    assert named != ["BotoCoreError"] or kind is botocore.exceptions.BotoCoreError, "a kind of its own has to be chosen"
    error: Any = kind.__new__(kind)
    error.response = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    place = Endpoint(provider="bedrock", key="a-secret-key")
    found = failure_of(error, place)
    assert isinstance(found, KINDS[named[0]])
    assert found.hint
    assert json.dumps(str(found)).startswith('"bedrock: ')
