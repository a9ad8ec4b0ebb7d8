"""A chat whose key is in Bitwarden, and chats beside a Bitwarden that does not answer."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import ModelServer

KEY = "key-of-the-fake-provider"


@pytest.fixture
def chat(hermes: Hermes, model_server: ModelServer, vault: Any) -> Hermes:
    """The command line with a provider that takes a key, and with Bitwarden set up."""
    provider = {
        "transport": "chat_completions",
        "base_url": model_server.url,
        "models": ["test-model"],
        "key_env": "FAKE_API_KEY",
    }
    hermes.configure({"model": {"provider": "fake"}, "providers": {"fake": provider}})
    hermes.environ |= {"PATH": os.environ["PATH"], "BWS_ACCESS_TOKEN": "0.token"}
    model_server.script("Hello.")
    return hermes


def test_a_key_from_the_vault_reaches_the_provider_and_no_log(
    chat: Hermes, model_server: ModelServer, vault: Any
) -> None:
    vault.hold({"FAKE_API_KEY": KEY})
    ran = chat("-z", "hi")
    assert (ran.code, ran.out) == (0, "Hello.\n")
    assert model_server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert all(KEY not in log.read_text() for log in chat.home.glob("logs/*"))


def test_a_chat_that_needs_nothing_of_it_does_not_ask_it(chat: Hermes, vault: Any) -> None:
    vault.hold({}, problem="The access token is invalid, expired, or revoked.")
    chat.environ["FAKE_API_KEY"] = KEY
    ran = chat("-z", "hi")
    assert (ran.code, ran.out, ran.err) == (0, "Hello.\n", "")
    assert vault.calls() == []


def test_a_chat_whose_key_comes_later_in_the_order_goes_on_and_is_told_once(
    chat: Hermes, model_server: ModelServer, vault: Any
) -> None:
    vault.hold({}, problem="The access token is invalid, expired, or revoked.")
    provider = {"transport": "chat_completions", "base_url": model_server.url, "models": ["test-model"]}
    chat.configure(
        {
            "providers": {
                "first": {**provider, "key_env": "FIRST_API_KEY", "priority": 1},
                "second": {**provider, "key_env": "SECOND_API_KEY", "priority": 2},
            }
        }
    )
    chat.environ["SECOND_API_KEY"] = KEY
    ran = chat("-z", "hi")
    assert (ran.code, ran.out) == (0, "Hello.\n")
    assert ran.err.count("invalid, expired, or revoked") == 1
    assert model_server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert len(vault.calls()) == 1


def test_a_key_that_cannot_be_had_is_told_with_its_cause(chat: Hermes, vault: Any) -> None:
    vault.hold({"FAKE_API_KEY": KEY}, problem="The access token is invalid, expired, or revoked.")
    ran = chat("-z", "hi")
    assert ran.code == 2
    assert "Secrets of bitwarden cannot be read: bws failed: The access token is invalid" in ran.err
    assert "FAKE_API_KEY" in ran.err
