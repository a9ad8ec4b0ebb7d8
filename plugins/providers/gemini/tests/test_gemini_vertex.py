"""Vertex AI: where it is, and the tokens of an account, from a token endpoint that checks what it is sent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

from hermes import (
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    Endpoint,
    HermesError,
    ModelRequest,
    ModelsQuery,
    ToolCallPart,
)
from hermes_carrier.http import Outgoing
from hermes_plugin_gemini import account
from hermes_plugin_gemini.account import Accounts
from hermes_plugin_gemini.carrier import located
from hermes_plugin_gemini.provider import Gemini
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Fail, ModelServer
from hermes_testkit.provider_cases import Outcome, assistant, outcome_of, result, user

AUDIENCE = "https://oauth2.googleapis.com/token"
"""What google-auth writes into every assertion, wherever it is sent."""
EMAIL = "robot@tests.iam.gserviceaccount.com"


class TokenServer:
    """Gives out tokens for assertions signed by ``key``. ``seconds``: how long each is good for."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.given = 0
        self.seconds = 3600
        self.refuses = False
        server = self
        numbers = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                if server.refuses:
                    self.answer(400, {"error": "invalid_grant", "error_description": "Account disabled."})
                    return
                claims = jwt.decode(form["assertion"][0], certs=numbers, audience=AUDIENCE)
                assert claims["iss"] == EMAIL
                assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
                server.given += 1
                token = {"access_token": f"ya29.{server.given}", "expires_in": server.seconds, "token_type": "Bearer"}
                self.answer(200, token)

            def answer(self, status: int, body: dict[str, Any]) -> None:
                encoded = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def tokens(key: rsa.RSAPrivateKey) -> Iterator[TokenServer]:
    server = TokenServer(key)
    yield server
    server.stop()


@pytest.fixture
def robot(tmp_path: Path, key: rsa.RSAPrivateKey, tokens: TokenServer) -> Path:
    """The file of a service account."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": private.decode(),
        "private_key_id": "k1",
        "project_id": "tests",
        "token_uri": tokens.url,
    }
    file = tmp_path / "robot.json"
    file.write_text(json.dumps(info))
    return file


def endpoint_of(server: ModelServer, credentials: Path | str, **more: Any) -> Endpoint:
    return Endpoint(
        provider="vertex",
        base_url=f"{server.root}/v1/projects/tests/locations/europe-west4/publishers/google",
        options={"credentials": str(credentials), "project": "tests", "location": "europe-west4"},
        quirks={"call_ids": False},
        **more,
    )


def request(endpoint: Endpoint, *messages: Any) -> ModelRequest:
    return ModelRequest(
        id="r1",
        session_id="s",
        turn_id="t",
        model="gemini-3.8-flash",
        endpoint=endpoint,
        messages=messages or (user("Hi"),),
    )


def ask(*requests: ModelRequest) -> list[Outcome]:
    async def work() -> list[Outcome]:
        provider = Gemini()
        try:
            return [await outcome_of(provider, asked) for asked in requests]
        finally:
            await provider.close()

    return asyncio.run(work())


@pytest.mark.parametrize("carrier", ["http", "sdk"])
def test_a_turn_with_tools_over_an_account(
    carrier: Any, model_server: ModelServer, tokens: TokenServer, robot: Path
) -> None:
    model_server.script([Call("look", {"n": 1}), Call("look", {"n": 2})], "Two.")
    endpoint = endpoint_of(model_server, robot, carrier=carrier)
    (first,) = ask(request(endpoint))
    one, two = first.calls
    assert one.id != two.id
    states = tuple(event.state for event in first.events if hasattr(event, "state"))
    answer = assistant(one, two, state=states)
    (second,) = ask(request(endpoint, user("Hi"), answer, result(two, "2"), result(one, "1")))
    assert (second.error, second.text) == (None, "Two.")
    seen = model_server.requests[1]
    assert seen.headers["authorization"] == "Bearer ya29.2"
    assert "x-goog-api-key" not in seen.headers
    responses = [part["functionResponse"]["response"]["output"] for part in seen.json["contents"][2]["parts"]]
    assert responses == ["1", "2"]
    assert seen.json["contents"][1]["parts"][0]["thoughtSignature"]
    assert b'"id"' not in seen.body


@pytest.mark.parametrize("carrier", ["http", "sdk"])
def test_a_token_serves_until_it_ends(
    carrier: Any, model_server: ModelServer, tokens: TokenServer, robot: Path
) -> None:
    asked = request(endpoint_of(model_server, robot, carrier=carrier))
    assert [outcome.text for outcome in ask(asked, asked, asked)] == ["OK"] * 3
    assert tokens.given == 1


def test_a_token_about_to_end_is_renewed(model_server: ModelServer, tokens: TokenServer, robot: Path) -> None:
    tokens.seconds = 60
    asked = request(endpoint_of(model_server, robot))
    ask(asked, asked)
    assert [seen.headers["authorization"] for seen in model_server.requests] == ["Bearer ya29.1", "Bearer ya29.2"]


def test_many_calls_at_once_get_one_token_off_the_event_loop(tokens: TokenServer, robot: Path) -> None:
    endpoint = Endpoint(provider="vertex", options={"credentials": str(robot)})
    used = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **more: Any) -> Any:
            used.append(1)
            return super().submit(*arguments, **more)

    async def work() -> list[dict[str, str]]:
        asyncio.get_running_loop().set_default_executor(Watched(4))
        accounts = Accounts()
        return await asyncio.gather(*(accounts.authorization(endpoint) for _ in range(8)))

    assert asyncio.run(work()) == [{"authorization": "Bearer ya29.1"}] * 8
    assert tokens.given == 1
    assert used


def test_two_accounts_are_kept_apart(model_server: ModelServer, tokens: TokenServer, robot: Path) -> None:
    other = robot.with_name("other.json")
    other.write_text(robot.read_text())
    ask(*(request(endpoint_of(model_server, file)) for file in (robot, other, robot)))
    sent = [seen.headers["authorization"] for seen in model_server.requests]
    assert sent == ["Bearer ya29.1", "Bearer ya29.2", "Bearer ya29.1"]


def test_a_persons_login_is_an_account_too(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    info = {"client_id": "c", "client_secret": "s", "refresh_token": "a-refresh-token", "quota_project_id": "billed"}
    file.write_text(json.dumps({"type": "authorized_user", **info}))
    person = account.account_of(Endpoint(provider="vertex", options={"credentials": str(file)}))
    assert (person.refresh_token, person.quota_project_id) == ("a-refresh-token", "billed")
    assert not person.valid


def test_the_processs_own_account_is_used_where_it_is_named(
    model_server: ModelServer, robot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(robot))
    (outcome,) = ask(request(endpoint_of(model_server, "adc")))
    assert outcome.text == "OK"


def failure(endpoint: Endpoint) -> HermesError:
    try:
        (outcome,) = ask(request(endpoint))
    except HermesError as error:
        return error
    assert outcome.error is not None
    return outcome.error


@pytest.mark.parametrize("carrier", ["http", "sdk"])
class TestTrouble:
    @pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"type": "service_account"}', '{"type": "odd"}'])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_what_is_no_account(
        self, text: str | None, carrier: Any, model_server: ModelServer, tmp_path: Path
    ) -> None:
        file = tmp_path / "account.json"
        if text is not None:
            file.write_text(text)
        error = failure(endpoint_of(model_server, file, carrier=carrier))
        assert type(error) is ConfigError
        assert str(file) in str(error)
        assert "GOOGLE_APPLICATION_CREDENTIALS" in error.hint
        assert not model_server.requests

    def test_an_account_that_gets_no_token(
        self, carrier: Any, model_server: ModelServer, tokens: TokenServer, robot: Path
    ) -> None:
        tokens.refuses = True
        error = failure(endpoint_of(model_server, robot, carrier=carrier))
        assert type(error) is AuthenticationFailed
        assert "Account disabled." in str(error)
        assert str(robot) in error.hint
        assert not model_server.requests

    def test_a_token_that_is_not_accepted(self, carrier: Any, model_server: ModelServer, robot: Path) -> None:
        model_server.script(Fail(401))
        error = failure(endpoint_of(model_server, robot, carrier=carrier))
        assert type(error) is AuthenticationFailed
        assert str(robot) in error.hint

    def test_a_token_endpoint_that_is_not_there(
        self, carrier: Any, model_server: ModelServer, tokens: TokenServer, robot: Path
    ) -> None:
        info = json.loads(robot.read_text())
        robot.write_text(json.dumps({**info, "token_uri": "http://127.0.0.1:1/token"}))
        error = failure(endpoint_of(model_server, robot, carrier=carrier))
        assert type(error) is ConnectionFailed
        assert error.hint


def test_each_exception_of_google_auth_is_one_of_ours() -> None:
    found = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    ours = [kind for kind in found if kind.__module__ == "google.auth.exceptions"]
    assert exceptions.RefreshError in ours
    known = tuple(kind for kind, _ in account.FAILURES)
    assert not [kind for kind in ours if not issubclass(kind, known)]


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_each_location_has_its_host(location: str, host: str) -> None:
    base = f"https://{location}-aiplatform.googleapis.com/v1/projects/p/locations/{location}/publishers/google"
    endpoint = Endpoint(provider="vertex", base_url=base)
    call = Outgoing(method="POST", path="/models/x", headers={}, timeout=1.0)
    there = f"https://{host}/v1/projects/p/locations/{location}/publishers/google"
    assert located(endpoint, call).base_url == there
    listing = Outgoing(method="GET", path="/models", headers={}, timeout=1.0)
    assert located(endpoint, listing).base_url == f"https://{host}/v1beta1/publishers/google"


def test_an_address_of_ones_own_stays_as_it_is() -> None:
    call = Outgoing(method="POST", path="/models/x", headers={}, timeout=1.0)
    for base in ("http://127.0.0.1:1/v1beta", "https://global-aiplatform.googleapis.com.example.test/v1"):
        endpoint = Endpoint(provider="vertex", base_url=base)
        assert located(endpoint, call) is endpoint


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "https://generativelanguage.googleapis.com/"])
def test_an_address_without_a_path_gets_the_version(base: str) -> None:
    endpoint = Endpoint(provider="gemini", base_url=base)
    for method in ("POST", "GET"):
        call = Outgoing(method=method, path="/models/x", headers={}, timeout=1.0)
        assert located(endpoint, call).base_url == f"{base.rstrip('/')}/v1beta"


@pytest.mark.parametrize("carrier", ["http", "sdk"])
def test_the_host_alone_is_an_address(model_server: ModelServer, carrier: Any) -> None:
    endpoint = Endpoint(provider="gemini", base_url=model_server.root, key="AIza-key", carrier=carrier)
    (outcome,) = ask(request(endpoint, user("Hi")))
    assert (outcome.error, outcome.text) == (None, "OK")


def test_models_are_listed_where_vertex_lists_them(model_server: ModelServer, robot: Path) -> None:
    model_server.models = ["gemini-a", "gemini-b"]

    async def work() -> list[str]:
        provider = Gemini()
        listed = await provider.models(ModelsQuery(endpoint=endpoint_of(model_server, robot)))
        await provider.close()
        return [model.id for model in listed.models]

    assert asyncio.run(work()) == ["gemini-a", "gemini-b"]
    assert model_server.other_requests[0].route == "/v1beta1/publishers/google/models"


def test_express_mode_takes_a_key(model_server: ModelServer) -> None:
    base = f"{model_server.root}/v1/publishers/google"
    endpoint = Endpoint(provider="vertex-express", base_url=base, key="AQ.key", quirks={"call_ids": False})
    call = ToolCallPart(id="c1", name="look")
    (outcome,) = ask(request(endpoint, user("Hi"), assistant(call), result(call, "1")))
    assert outcome.text == "OK"
    assert model_server.requests[0].headers["x-goog-api-key"] == "AQ.key"


def test_variables_are_all_it_takes(hermes: Hermes, model_server: ModelServer, robot: Path) -> None:
    address = f"{model_server.root}/v1/projects/tests/locations/global/publishers/google"
    hermes.environ |= {"GOOGLE_APPLICATION_CREDENTIALS": str(robot), "GOOGLE_VERTEX_BASE_URL": address}
    done = hermes("-z", "Hello")
    assert (done.code, done.out.strip()) == (0, "OK"), done.err
    (seen,) = model_server.requests
    assert seen.headers["authorization"] == "Bearer ya29.1"
    assert seen.route.endswith("/publishers/google/models/gemini-3.8-flash:streamGenerateContent")
