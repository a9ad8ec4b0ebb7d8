"""Each way to log in, against a server that checks what the RFCs say it has to."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ConfigError,
    ConnectionFailed,
    NotEntitled,
    OAuthSpec,
    Overloaded,
    RateLimited,
    RefreshRequest,
    StoredCredential,
)
from hermes_plugin_auth import device, pkce
from hermes_plugin_auth.browser import Person
from hermes_plugin_auth.refresher import OAuthRefresher
from hermes_plugin_auth.tokens import OAuthServer, Tokens
from hermes_testkit.scripted import SetClock

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(autouse=True)
def nobody_types(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def spec(logins: Any, **changes: Any) -> OAuthSpec:
    return msgspec.convert(logins.oauth(**changes), OAuthSpec)


def fetch(url: str) -> str:
    with OPENER.open(url, timeout=20) as page:
        text: str = page.read().decode()
        return text


def log_in(way: Any, oauth: OAuthSpec, clock: SetClock, visit: Callable[[str], object] = lambda url: None) -> Tokens:
    """``visit``: what the browser does with the page."""

    async def work() -> Tokens:
        server, visits = OAuthServer("acme"), []

        def open_page(url: str) -> None:
            visits.append(asyncio.ensure_future(asyncio.to_thread(visit, url)))

        try:
            found: Tokens = await way.log_in(server, oauth, clock, Person(lambda text: None, open_page), "again")
            return found
        finally:
            await asyncio.gather(*visits)
            await server.close()

    return asyncio.run(work())


def test_a_device_is_polled_at_the_pace_that_the_server_sets(logins: Any, clock: SetClock) -> None:
    logins.device = {"interval": 3, "expires_in": 900}
    logins.polls = [{"error": "authorization_pending"}, {"error": "slow_down"}, {"error": "authorization_pending"}]
    began = clock.now()
    tokens = log_in(device, spec(logins, scopes=["one", "two"]), clock)
    assert tokens == Tokens("access-1", "refresh-1", clock.now() + 3600)
    assert clock.now() - began == 3 + 3 + 8 + 8, "slow_down adds five seconds for good"
    assert logins.seen[0].fields == {"client_id": "client-1", "scope": "one two"}


def test_errors_that_come_with_the_status_200_are_errors_too(logins: Any, clock: SetClock) -> None:
    logins.refusal = 200
    logins.polls = [{"error": "authorization_pending"}, {"error": "slow_down", "interval": 20}]
    began = clock.now()
    assert log_in(device, spec(logins), clock).access == "access-1"
    assert clock.now() - began == 1 + 1 + 20


def test_a_server_that_names_no_pace_is_asked_every_five_seconds(logins: Any, clock: SetClock) -> None:
    logins.device, began = {"expires_in": 900}, clock.now()
    log_in(device, spec(logins), clock)
    assert clock.now() - began == 5


@pytest.mark.parametrize(
    ("error", "sentence"), [("access_denied", "was refused"), ("expired_token", "not typed in, in time")]
)
def test_a_device_login_that_is_over_says_why(logins: Any, clock: SetClock, error: str, sentence: str) -> None:
    logins.polls = [{"error": "authorization_pending"}, {"error": error}]
    with pytest.raises(AuthenticationFailed, match=sentence) as caught:
        log_in(device, spec(logins), clock)
    assert caught.value.hint == "again"


def test_a_device_login_ends_with_its_code(logins: Any, clock: SetClock) -> None:
    logins.device = {"interval": 5, "expires_in": 30}
    logins.polls = [{"error": "authorization_pending"}] * 100
    began = clock.now()
    with pytest.raises(AuthenticationFailed, match="in time"):
        log_in(device, spec(logins), clock)
    assert clock.now() - began <= 30


def test_a_poll_that_fails_in_passing_is_made_again(logins: Any, clock: SetClock) -> None:
    logins.failures = [(503, {}), (429, {})]
    assert log_in(device, spec(logins), clock).access == "access-1"


def test_the_browser_comes_back_to_a_free_port_with_a_proof(logins: Any, clock: SetClock) -> None:
    tokens = log_in(pkce, spec(logins, flow="pkce", scopes=["a"], authorize_params={"x": "y"}), clock, fetch)
    assert tokens.access == "access-1"
    authorize, token = logins.seen
    assert authorize.fields["x"] == "y"
    assert authorize.fields["scope"] == "a"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", authorize.fields["redirect_uri"])
    assert token.fields["redirect_uri"] == authorize.fields["redirect_uri"]
    assert len(token.fields["code_verifier"]) >= 43, "RFC 7636, section 4.1"
    assert token.fields["code_verifier"] != authorize.fields["code_challenge"], "S256, not plain"


def test_a_redirect_with_another_state_is_not_taken(logins: Any, clock: SetClock) -> None:
    """A page elsewhere cannot log us in to its own account."""
    statuses = []

    def visit(url: str) -> None:
        landing = re.search(r"redirect_uri=([^&]+)", url)
        assert landing is not None
        page = urllib.request.unquote(landing[1])  # type: ignore[attr-defined]
        for wrong in (f"{page}?code=theirs&state=theirs", f"{page}?code=theirs", page.replace("callback", "else")):
            try:
                fetch(wrong)
            except urllib.request.HTTPError as error:  # type: ignore[attr-defined]
                statuses.append(error.code)
                error.close()
        assert "You are logged in" in fetch(url)

    assert log_in(pkce, spec(logins, flow="pkce"), clock, visit).access == "access-1"
    assert statuses == [400, 400, 404]
    assert [seen.fields["code"] for seen in logins.seen if seen.path == "/token"] == ["code-1"]


def test_a_login_that_is_refused_in_the_browser_says_so(logins: Any, clock: SetClock) -> None:
    logins.deny = "access_denied"
    with pytest.raises(AuthenticationFailed, match="access_denied"):
        log_in(pkce, spec(logins, flow="pkce"), clock, fetch)


def test_a_way_that_the_provider_does_not_have_is_told(logins: Any, clock: SetClock) -> None:
    with pytest.raises(ConfigError, match="no login by a code"):
        log_in(device, spec(logins, device_url=""), clock)
    with pytest.raises(ConfigError, match="no login by a browser"):
        log_in(pkce, spec(logins, authorize_url=""), clock)


def test_secrets_go_nowhere_without_tls(logins: Any, clock: SetClock) -> None:
    with pytest.raises(ConfigError, match="without TLS"):
        log_in(device, spec(logins, device_url="http://logins.example/device"), clock)


def refresh(logins: Any, clock: SetClock, credential: StoredCredential, **changes: Any) -> StoredCredential:
    request = RefreshRequest(credential=credential, oauth=spec(logins, **changes))
    return asyncio.run(OAuthRefresher(clock).refresh(request))


def held(**fields: Any) -> StoredCredential:
    return StoredCredential(
        id="c1", provider="acme", kind="oauth", **{"secret": "old", "refresh": "refresh-0", **fields}
    )


def test_a_token_is_renewed_and_the_refresh_token_with_it(logins: Any, clock: SetClock) -> None:
    logins.good.add("refresh-0")
    logins.json_body = True
    renewed = refresh(logins, clock, held(label="mine"), json_body=True)
    assert (renewed.secret, renewed.refresh, renewed.expires) == ("access-1", "refresh-1", clock.now() + 3600)
    assert (renewed.id, renewed.label) == ("c1", "mine")


def test_a_server_that_does_not_rotate_leaves_the_refresh_token(logins: Any, clock: SetClock) -> None:
    logins.good.add("refresh-0")
    logins.rotate = False
    assert refresh(logins, clock, held()).refresh == "refresh-0"


def test_the_end_of_a_token_may_be_in_the_token(logins: Any, clock: SetClock) -> None:
    logins.good.add("refresh-0")
    logins.token_extra = {}
    logins.make_token = lambda number: "eyJhbGciOiJub25lIn0.eyJleHAiOjE5MDAwMDAwMDB9.c2ln"
    assert refresh(logins, clock, held()).expires == 1_900_000_000


@pytest.mark.parametrize(
    ("failure", "kind", "hint"),
    [
        ((400, {"error": "invalid_grant"}), AuthenticationFailed, "hermes auth login acme --label mine"),
        (
            (401, {"error": {"code": "refresh_token_reused", "message": "used"}}),
            AuthenticationFailed,
            "auth login acme",
        ),
        ((400, {"error": "invalid_request"}), BadRequest, "nothing is lost"),
        ((403, {"message": "no subscription"}), NotEntitled, "auth login acme"),
        ((429, {}), RateLimited, "nothing is lost"),
        ((503, {}), Overloaded, "nothing is lost"),
        ((200, {"what": "is this"}), Overloaded, "nothing is lost"),
    ],
)
def test_what_a_server_answers_instead_of_a_token(
    logins: Any, clock: SetClock, failure: tuple[int, dict[str, Any]], kind: type[Exception], hint: str
) -> None:
    logins.failures = [failure]
    with pytest.raises(kind) as caught:
        refresh(logins, clock, held(label="mine"))
    assert type(caught.value) is kind
    assert hint in caught.value.hint  # type: ignore[attr-defined]
    assert "refresh-0" not in str(caught.value)


def test_a_server_that_cannot_be_reached_is_a_failure_that_passes(logins: Any, clock: SetClock) -> None:
    logins.close()
    with pytest.raises(ConnectionFailed):
        refresh(logins, clock, held())


def test_a_login_without_a_refresh_token_has_to_be_made_again(logins: Any, clock: SetClock) -> None:
    with pytest.raises(AuthenticationFailed, match="cannot be renewed"):
        refresh(logins, clock, held(refresh=""))
    assert logins.seen == []


def test_a_lasting_token_is_exchanged_for_one_that_says_where_it_is_good(logins: Any, clock: SetClock) -> None:
    logins.good.add("refresh-0")
    ends, address = clock.now() + 1500, "https://api.business.example"
    logins.exchange = (200, {"token": "tid=1", "expires_at": ends, "endpoints": {"api": address}})
    changes = {"exchange_url": f"{logins.url}/exchange", "exchange_headers": {"editor": "hermes"}}
    found = refresh(logins, clock, held(), **changes)
    assert (found.secret, found.refresh, found.expires, found.base_url) == ("tid=1", "refresh-0", ends, address)
    assert logins.seen[0].headers["editor"] == "hermes"
    logins.exchange = (200, {"token": "tid=2", "endpoints": {"api": "http://api.example"}})
    with pytest.raises(ConfigError, match="without TLS"):
        refresh(logins, clock, held(), **changes)


def test_a_token_of_a_variable_that_is_refused_names_the_variable(logins: Any, clock: SetClock) -> None:
    found = StoredCredential(id="acme/ACME_TOKEN", provider="acme", kind="oauth", refresh="wrong")
    with pytest.raises(AuthenticationFailed) as caught:
        refresh(logins, clock, found, exchange_url=f"{logins.url}/exchange")
    assert "Set ACME_TOKEN to another token" in caught.value.hint
