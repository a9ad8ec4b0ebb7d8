"""Every provider that people log in to, as its manifest says it, with a server of this machine in its place."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hermes_testkit.command import Hermes

PROVIDERS = Path(__file__).parents[3] / "providers"
WITHIN = 60.0


def logged_in_to() -> dict[str, dict[str, Any]]:
    found = {}
    for manifest in PROVIDERS.glob("*/src/*/plugin.yaml"):
        providers = yaml.safe_load(manifest.read_text(encoding="utf-8")).get("provides", {}).get("providers", {})
        found.update({name: spec for name, spec in providers.items() if "oauth" in spec})
    return found


SPECS = logged_in_to()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def here(oauth: dict[str, Any], logins: Any) -> dict[str, Any]:
    """The same login at this machine's server: only hosts and ports change."""
    logins.client_id, logins.json_body = oauth["client_id"], oauth.get("json_body", False)
    places = {"token_url": "token", "device_url": "device", "authorize_url": "authorize", "exchange_url": "exchange"}
    moved = {name: f"{logins.url}/{place}" for name, place in places.items() if name in oauth}
    if redirect := oauth.get("redirect_url"):
        parts = urlsplit(redirect)
        ours = parts.hostname in ("localhost", "127.0.0.1")
        moved["redirect_url"] = f"http://{parts.hostname}:{free_port()}{parts.path}" if ours else f"{logins.url}/shown"
    return {**oauth, **moved}


def configured(hermes: Hermes, name: str, logins: Any) -> dict[str, Any]:
    spec = {**SPECS[name], "oauth": here(SPECS[name]["oauth"], logins)}
    hermes.configure({"providers": {name: spec}})
    return spec


def paste(url: str, process: subprocess.Popen[str]) -> None:
    """What a person does with a page that shows a code."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=WITHIN) as page:
        shown = re.search(r"id=code>([^<]+)<", page.read().decode())
    assert shown is not None
    assert process.stdin is not None
    process.stdin.write(f"{shown[1]}\n")
    process.stdin.flush()


def entries(hermes: Hermes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((hermes.home / "auth.json").read_text())["credentials"]
    return found


@pytest.mark.skipif(not SPECS, reason="there are no providers beside this package")
@pytest.mark.parametrize("name", sorted(SPECS))
def test_people_can_log_in(name: str, hermes: Hermes, logins: Any, browser: str) -> None:
    spec = configured(hermes, name, logins)
    exchange = {"token": "short-lived", "expires_at": 4_000_000_000, "endpoints": {"api": f"{logins.url}/api"}}
    logins.exchange = (200, exchange)
    hermes.environ["BROWSER"] = browser
    shown = spec["oauth"].get("redirect_url", "").startswith(logins.url)
    process = hermes.start("auth", "login", name, *(["--no-browser"] if shown else []), stdin=subprocess.PIPE)
    if shown:
        assert process.stderr is not None
        paste(next(line for line in process.stderr if line.startswith("http")).strip(), process)
    out, err = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, err
    (entry,) = entries(hermes)
    assert out == f"Logged in: {entry['id']} ({name}).\n"
    assert (entry["provider"], entry["kind"]) == (name, "oauth")
    if "exchange_url" in spec["oauth"]:
        assert (entry["secret"], entry["refresh"], entry["base_url"]) == (
            "short-lived",
            "access-1",
            f"{logins.url}/api",
        )
    else:
        assert (entry["secret"], entry["refresh"]) == ("access-1", "refresh-1")
    asked = next(seen for seen in logins.seen if seen.path in ("/device", "/authorize"))
    assert asked.fields.get("scope", "") == " ".join(spec["oauth"].get("scopes", []))
    assert "access-1" not in out + err


def test_a_code_that_is_pasted_has_to_be_of_this_login(hermes: Hermes, logins: Any) -> None:
    oauth = logins.oauth(flow="pkce", redirect_url=f"{logins.url}/shown")
    hermes.configure({"providers": {"acme": {"transport": "chat_completions", "base_url": logins.url, "oauth": oauth}}})
    ran = hermes("auth", "login", "acme", "--no-browser", stdin="code-1#of-another\n")
    assert ran.code == 4
    assert "what was pasted is not the answer to this login" in ran.err
    assert "hermes auth login acme" in ran.err
    assert not (hermes.home / "auth.json").exists()
    assert logins.seen == []


def test_the_address_that_the_browser_ends_at_may_be_pasted(hermes: Hermes, logins: Any) -> None:
    """Where the browser is on another machine, it cannot come back to this one."""
    oauth = logins.oauth(flow="pkce", redirect_url=f"http://localhost:{free_port()}/landing")
    hermes.configure({"providers": {"acme": {"transport": "chat_completions", "base_url": logins.url, "oauth": oauth}}})
    process = hermes.start("auth", "login", "acme", "--no-browser", stdin=subprocess.PIPE)
    assert process.stderr is not None
    page = next(line for line in process.stderr if line.startswith("http")).strip()

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    with pytest.raises(urllib.request.HTTPError) as stopped:  # type: ignore[attr-defined]
        opener.open(page, timeout=WITHIN)
    assert process.stdin is not None
    process.stdin.write(f"{stopped.value.headers['location']}\n")
    stopped.value.close()
    _, err = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, err
    assert entries(hermes)[0]["secret"] == "access-1"
