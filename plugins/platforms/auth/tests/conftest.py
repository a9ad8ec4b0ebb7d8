"""A login server, as the RFCs have it, and a browser: both real, both on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

WITHIN = 30.0


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, str]


class LoginServer:
    """Gives out codes and tokens to ``client_id`` alone, and checks all that a client has to prove.

    ``polls``: the errors with which polls are answered before the person agrees. ``refusal``: the status that errors
    come with (GitHub: 200). ``failures``: answers that come first, whatever is asked of the token address.
    ``rotate``: a refresh token is good once. ``gate``: refreshes wait for it.
    """

    def __init__(self, client_id: str = "client-1") -> None:
        self.client_id = client_id
        self.json_body = False
        self.polls: list[dict[str, Any]] = []
        self.refusal = 400
        self.failures: list[tuple[int, dict[str, Any]]] = []
        self.device: dict[str, Any] = {"interval": 1, "expires_in": 900}
        self.token_extra: dict[str, Any] = {"expires_in": 3600}
        self.rotate = True
        self.deny = ""
        self.make_token: Callable[[int], str] = lambda number: f"access-{number}"
        self.exchange: tuple[int, dict[str, Any]] = (404, {})
        self.gate = threading.Event()
        self.gate.set()
        self.seen: list[Seen] = []
        self.refreshes = 0
        self.good: set[str] = set()
        self._issued = 0
        self._codes: dict[str, dict[str, str]] = {}
        self._changed = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                server.answer(self, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                as_json = self.headers["content-type"] == "application/json"
                fields = json.loads(body) if as_json else {k: v[0] for k, v in parse_qs(body.decode()).items()}
                server.answer(self, fields)

            def log_message(self, *arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self._http.shutdown()
        self._http.server_close()

    def wait_for(self, condition: Callable[[LoginServer], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), WITHIN), "it did not come to that"

    def oauth(self, **changes: Any) -> dict[str, Any]:
        """How people log in here, as a manifest says it."""
        return {
            "flow": "device",
            "client_id": self.client_id,
            "device_url": f"{self.url}/device",
            "token_url": f"{self.url}/token",
            "authorize_url": f"{self.url}/authorize",
            **changes,
        }

    def answer(self, handler: BaseHTTPRequestHandler, fields: dict[str, str]) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._changed:
            self.seen.append(Seen(handler.command, parts.path, headers, fields or query))
            self._changed.notify_all()
        if fields.get("grant_type") == "refresh_token":
            assert self.gate.wait(WITHIN), "nobody opened the gate"
        status, body, more = self._routed(parts.path, headers, query, fields)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in more.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _routed(
        self, path: str, headers: dict[str, str], query: dict[str, str], fields: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        with self._changed:
            match path:
                case "/authorize":
                    return self._authorize(query)
                case "/shown":
                    return 200, f"<p id=code>{query['code']}#{query['state']}</p>", {}
                case "/exchange":
                    known = headers.get("authorization", "").removeprefix("Bearer ") in self.good
                    status, body = self.exchange if known else (401, {"message": "Bad credentials"})
                    return status, body, {}
            if (headers["content-type"] == "application/json") is not self.json_body:
                return 415, {"error": "invalid_request", "error_description": "not that kind of body"}, {}
            if fields.get("client_id") != self.client_id:
                return 401, {"error": "invalid_client"}, {}
            if path == "/device":
                self._codes["device-1"] = {"scope": fields.get("scope", "")}
                page = {"verification_uri": f"{self.url}/activate", "user_code": "WDJB-MJHT"}
                return 200, {"device_code": "device-1", **page, **self.device}, {}
            if self.failures:
                return *self.failures.pop(0), {}
            return self._token(fields)

    def _authorize(self, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        wanted = {"response_type": "code", "client_id": self.client_id, "code_challenge_method": "S256"}
        if any(query.get(name) != value for name, value in wanted.items()) or len(query.get("code_challenge", "")) < 43:
            return 400, "what is that?", {}
        code = f"code-{len(self._codes) + 1}"
        self._codes[code] = query
        answer = {"error": self.deny} if self.deny else {"code": code}
        location = f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"
        return 302, "", {"location": location}

    def _token(self, fields: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        match fields.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:device_code" if fields.get("device_code") in self._codes:
                if self.polls:
                    return self.refusal, self.polls.pop(0), {}
                return 200, self._issue(), {}
            case "authorization_code":
                asked = self._codes.pop(fields.get("code", ""), None)
                digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if asked and (asked["code_challenge"], asked["redirect_uri"]) == (challenge, fields["redirect_uri"]):
                    return 200, self._issue(), {}
            case "refresh_token" if fields.get("refresh_token") in self.good:
                self.refreshes += 1
                if self.rotate:
                    self.good.remove(fields["refresh_token"])
                return 200, self._issue(rotated=self.rotate), {}
        return 400, {"error": "invalid_grant", "error_description": "it is not good any more"}, {}

    def _issue(self, *, rotated: bool = True) -> dict[str, Any]:
        self._issued += 1
        access, refresh = self.make_token(self._issued), f"refresh-{self._issued}"
        self.good.update((access, refresh))
        return {"access_token": access, **({"refresh_token": refresh} if rotated else {}), **self.token_extra}


@pytest.fixture
def logins() -> Iterator[LoginServer]:
    server = LoginServer()
    yield server
    server.close()


BROWSER = """
import sys, urllib.request
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1]) as page:
    open(sys.argv[0] + ".page", "w").write(page.read().decode())
"""


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """What the variable BROWSER is to be: a program that opens a page, follows it and agrees to everything."""
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    return f"{sys.executable} {script} %s"
