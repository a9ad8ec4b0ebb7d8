"""``hermes auth``, as a person types it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes

KEY = "sk-acme-0123456789abcdefghij"
ACME = {"transport": "chat_completions", "base_url": "http://127.0.0.1:9/v1", "models": ["m"], "key_env": ["ACME_KEY"]}


@pytest.fixture
def acme(hermes: Hermes, logins: Any) -> Hermes:
    """Two providers: ``acme``, with keys and logins, and ``plain``, with keys alone."""
    spec = {**ACME, "aliases": ["acme-inc"], "oauth": logins.oauth()}
    hermes.configure({"providers": {"acme": spec, "plain": {**ACME, "key_env": ["PLAIN_KEY"]}}})
    return hermes


def added(hermes: Hermes, *arguments: str, key: str = KEY) -> str:
    """The id of a new key."""
    ran = hermes("auth", "add", *arguments, stdin=f"{key}\n")
    assert ran.code == 0, ran.err
    return ran.out.split()[1]


def listed(hermes: Hermes, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(hermes("auth", "list", *arguments, "--json").out)
    return found


def status(hermes: Hermes, *arguments: str) -> list[dict[str, Any]]:
    ran = hermes("auth", "status", *arguments, "--json")
    assert ran.code == 0, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)
    return found


def test_a_key_is_added_listed_and_removed_and_never_shown(acme: Hermes) -> None:
    name = added(acme, "acme-inc", "--label", "work")
    assert stat.S_IMODE((acme.home / "auth.json").stat().st_mode) == 0o600
    (entry,) = listed(acme)
    assert (entry["id"], entry["provider"], entry["label"], entry["stub"]) == (name, "acme", "work", "sk-…ghij")
    told = [acme("auth", command, *more) for command in ("list", "status") for more in ([], ["--json"])]
    assert all(ran.code == 0 and "sk-…ghij" in ran.out for ran in told)
    assert all(KEY not in ran.out + ran.err for ran in told)
    assert listed(acme, "plain") == []
    assert f"Removed {name} (acme, work)." in acme("auth", "remove", name).out
    assert listed(acme) == []
    ran = acme("auth", "remove", name)
    assert (ran.code, "hermes auth list" in ran.err) == (2, True)


def test_a_key_as_an_argument_is_refused_and_not_told_again(acme: Hermes) -> None:
    ran = acme("auth", "add", "acme", KEY)
    assert (ran.code, ran.out) == (2, "")
    assert "A key is not given as an argument" in ran.err
    assert "read from stdin" in ran.err
    assert KEY not in ran.err
    assert not (acme.home / "auth.json").exists()


def test_a_key_in_the_place_of_the_provider_is_not_told_again(acme: Hermes) -> None:
    ran = acme("auth", "add", KEY)
    assert (ran.code, ran.out) == (2, "")
    assert "No provider" in ran.err
    assert KEY not in ran.err


@pytest.mark.parametrize("name", ["device_url", "token_url", "exchange_url", "authorize_url"])
def test_an_address_without_tls_is_told_before_the_person_does_anything(acme: Hermes, logins: Any, name: str) -> None:
    oauth = logins.oauth(**{name: "http://me:pw-of-mine@logins.example/x"})
    acme.configure({"providers": {"acme": {**ACME, "oauth": oauth}}})
    ran = acme("auth", "login", "acme", "--no-browser")
    assert (ran.code, ran.out) == (2, "")
    assert "has an address without TLS: 'http://***@logins.example/x'" in ran.err
    assert "pw-of-mine" not in ran.err
    assert "Open " not in ran.err
    assert not logins.seen


@pytest.mark.parametrize(("refresh", "told"), [("r-1", "renewed at the next call"), ("", "log in again")])
def test_of_a_login_that_has_ended_the_status_says_what_follows(acme: Hermes, refresh: str, told: str) -> None:
    entry = {"id": "e-1", "provider": "acme", "kind": "oauth", "secret": "access-1", "refresh": refresh, "expires": 1e9}
    acme.home.mkdir(mode=0o700, exist_ok=True)
    file = acme.home / "auth.json"
    file.write_text(json.dumps({"version": 1, "credentials": [entry]}))
    file.chmod(0o600)
    out = acme("auth", "status", "acme").out
    assert re.search(rf"ended 2001-09-\d\d \d\d:\d\d:\d\d; {told}", out), out


@pytest.mark.parametrize("key", ["", "two words", "with\ttab"])
def test_what_is_no_key_is_refused(acme: Hermes, key: str) -> None:
    ran = acme("auth", "add", "acme", stdin=f"{key}\n")
    assert (ran.code, "a key is one word" in ran.err) == (2, True)
    assert not (acme.home / "auth.json").exists()


def test_a_key_is_there_once(acme: Hermes) -> None:
    name = added(acme, "acme")
    ran = acme("auth", "add", "acme", stdin=f"{KEY}\n")
    assert (ran.code, f"as {name}" in ran.err) == (2, True)
    added(acme, "acme", "--user", "telegram:1")
    assert len(listed(acme)) == 2


def test_a_provider_that_is_not_there_is_told(acme: Hermes) -> None:
    for command in (["add", "acmee"], ["login", "acmee"], ["status", "acmee"], ["reset", "acmee"], ["list", "acmee"]):
        ran = acme("auth", *command, stdin=f"{KEY}\n")
        assert (ran.code, 'Did you mean "acme"?' in ran.err) == (2, True)
    ran = acme("auth", "login", "plain")
    assert ran.code == 2
    assert "hermes auth add plain" in ran.err
    assert "Logins: acme" in ran.err


def test_the_status_says_what_is_used_what_rests_and_why(acme: Hermes) -> None:
    first, second = added(acme, "acme"), added(acme, "acme", "--label", "spare", key=f"{KEY}2")
    acme.environ["ACME_KEY"] = f"{KEY}3"
    rests = {"acme/ACME_KEY": {"until": 4e9, "reason": "429 slow down"}, first: {"until": 1.0, "reason": "long ago"}}
    (acme.home / "run").mkdir(exist_ok=True)
    (acme.home / "run" / "resting-keys.json").write_text(json.dumps(rests))
    (state,) = status(acme)
    assert (state["provider"], state["strategy"]) == ("acme", "fill_first")
    assert [key["source"] for key in state["keys"]] == ["env:ACME_KEY", f"auth:{first}", "auth:spare"]
    assert [(key["id"], key["next"], key["resting_why"]) for key in state["keys"]] == [
        ("acme/ACME_KEY", False, "429 slow down"),
        (first, True, ""),
        (second, False, ""),
    ]
    assert "rests until 2096" in acme("auth", "status", "acme").out
    assert acme("auth", "reset", "plain").out == "No key rests.\n"
    assert acme("auth", "reset").out == "1 key(s) rested and will be tried again.\n"
    assert [key["next"] for key in status(acme, "acme")[0]["keys"]] == [True, False, False]


def test_the_doctor_finds_keys_that_cannot_be_used(acme: Hermes) -> None:
    settings = {"transport": "chat_completions", "base_url": "http://127.0.0.1:9/v1", "models": ["m"]}
    acme.configure({"model": {"provider": "acme"}, "providers": {"acme": settings}})
    names = [added(acme, "acme"), added(acme, "acme", key=f"{KEY}2")]
    assert "all 2 keys rest" not in acme("doctor", "--offline").out
    rests = {name: {"until": 4e9, "reason": "429"} for name in names}
    (acme.home / "run" / "resting-keys.json").write_text(json.dumps(rests))
    assert "all 2 keys rest" in acme("doctor", "--offline").out


def test_a_login_is_renewed_by_a_new_one_and_ended_by_logout(acme: Hermes, logins: Any) -> None:
    for _ in range(2):
        assert acme("auth", "login", "acme", "--no-browser").code == 0
    assert acme("auth", "login", "acme", "--no-browser", "--label", "other").code == 0
    mine, other = listed(acme)
    assert (mine["label"], other["label"]) == ("", "other")
    assert json.loads((acme.home / "auth.json").read_text())["credentials"][0]["secret"] == "access-2"
    added(acme, "acme")
    ran = acme("auth", "logout", "acme")
    assert [line.split()[1] for line in ran.out.splitlines()] == [mine["id"], other["id"]]
    assert [entry["kind"] for entry in listed(acme)] == ["key"]
    ran = acme("auth", "logout", "acme")
    assert (ran.code, "There is no login" in ran.err) == (2, True)


def test_a_flow_may_be_chosen_where_there_are_two(acme: Hermes, logins: Any, browser: str) -> None:
    acme.environ["BROWSER"] = browser
    ran = acme("auth", "login", "acme-inc", "--flow", "pkce")
    assert ran.code == 0, ran.err
    assert [seen.path for seen in logins.seen] == ["/authorize", "/token"]
    assert acme("auth", "login", "acme", "--flow", "sms").code == 2


def test_what_is_one_users_is_used_for_that_user_alone(acme: Hermes) -> None:
    everyones, anns = added(acme, "acme"), added(acme, "acme", "--user", "ann", key=f"{KEY}2")
    assert [key["id"] for key in status(acme)[0]["keys"]] == [everyones]
    keys = status(acme, "acme", "--user", "ann")[0]["keys"]
    assert [(key["id"], key["user"], key["next"]) for key in keys] == [(anns, "ann", True), (everyones, "", False)]


def test_a_lasting_token_is_kept_for_exchange(acme: Hermes, logins: Any) -> None:
    """As a login's is: requests carry what it is exchanged for."""
    oauth = logins.oauth(exchange_url=f"{logins.url}/exchange")
    acme.configure({"providers": {"acme": {**ACME, "oauth": oauth}}})
    added(acme, "acme")
    (entry,) = json.loads((acme.home / "auth.json").read_text())["credentials"]
    assert (entry["kind"], entry["refresh"], entry.get("secret", "")) == ("oauth", KEY, "")
    assert "not fetched yet" in acme("auth", "list").out


def test_the_code_is_shown_and_the_tokens_are_not(acme: Hermes, logins: Any) -> None:
    ran = acme("auth", "login", "acme", "--no-browser")
    assert f"Open {logins.url}/activate" in ran.err
    assert "WDJB-MJHT" in ran.err
    assert not {"access-1", "refresh-1", "device-1"} & set((ran.out + ran.err).split())


def test_the_login_of_another_program_is_copied_when_that_is_asked_for(acme: Hermes) -> None:
    oauth = {"flow": "device", "client_id": "c", "token_url": "https://logins.example/token"}
    names = ("anthropic", "openai-codex")
    acme.configure({"providers": {name: {**ACME, "key_env": [], "oauth": oauth} for name in (*names, "acme")}})
    home = Path(acme.environ["HOME"])
    claude = {"claudeAiOauth": {"accessToken": "ca", "refreshToken": "cr", "expiresAt": 1_900_000_000_000}}
    codex = {"OPENAI_API_KEY": None, "tokens": {"access_token": "a.eyJleHAiOjE5MDAwMDAwMDB9.s", "refresh_token": "xr"}}
    for name, data in ((".claude/.credentials.json", claude), (".codex/auth.json", codex)):
        (home / name).parent.mkdir()
        (home / name).write_text(json.dumps(data))
    for name, file in zip(names, (".claude/.credentials.json", ".codex/auth.json"), strict=True):
        ran = acme("auth", "login", name, "--import")
        assert ran.code == 0, ran.err
        assert "Copied the access token and the refresh token of C" in ran.err
        assert str(home / file) in ran.err
    kept = json.loads((acme.home / "auth.json").read_text())["credentials"]
    assert [(entry["refresh"], entry["expires"]) for entry in kept] == [("cr", 1.9e9), ("xr", 1.9e9)]
    (home / ".codex/auth.json").write_text('{"OPENAI_API_KEY": "sk-x"}')
    ran = acme("auth", "login", "openai-codex", "--import")
    assert (ran.code, "holds no login" in ran.err) == (2, True)
    ran = acme("auth", "login", "acme", "--import")
    assert (ran.code, "anthropic, openai-codex" in ran.err) == (2, True)


def test_the_help_imports_neither_http_nor_a_keyring(acme: Hermes) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "hermes.cli.main", "auth", "--help"]
    ran = subprocess.run(command, env=acme.environ, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "hermes_plugin_auth.logins" in imported
    assert not {"httpx2", "keyring", "hermes_carrier"} & imported
