"""With a key no vendor's SDK is imported; with the carrier ``sdk`` only the one that is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_testkit.model_server import ModelServer
from hermes_testkit.wires import WIRES

ADDRESSES = {"chat_completions": "/v1", "responses": "/v1", "gemini": "/v1beta"}
SDKS = {
    "chat_completions": {"openai"},
    "responses": {"openai"},
    "anthropic_messages": {"anthropic"},
    "gemini": {"google.genai"},
    "bedrock_converse": {"botocore"},
}
OTHERS = {"boto3", "google.auth"}
PROGRAM = """
import asyncio, json, sys
from hermes import App, TurnFinished

async def main(home, settings):
    pair = {"AWS_ACCESS_KEY_ID": "AKIA0123456789ABCDEF", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    environ = {"A_KEY": "sk-0123456789abcdef", **pair}
    async with App(home, environ=environ, overrides=json.loads(settings)) as app:
        conversation = await app.conversation()
        async for event in conversation.send("Hi"):
            pass
        assert isinstance(event, TurnFinished)
        assert event.text == "OK", event.error

asyncio.run(main(*sys.argv[1:]))
print(json.dumps(sorted(sys.modules)))
"""


def imported(home: Path, wire: str, **spec: object) -> set[str]:
    """The SDKs that a turn on this wire leaves imported."""
    with ModelServer(default="OK") as server:
        address = f"{server.root}{ADDRESSES.get(wire, '')}"
        provider = {"transport": wire, "base_url": address, "models": ["m"], "key_env": "A_KEY", **spec}
        plugins = {"enabled": ["openai", "anthropic", "gemini", "bedrock"]}
        settings = {"providers": {"own": provider}, "model": {"provider": "own"}, "plugins": plugins}
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(home), json.dumps(settings)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout)) & set.union(OTHERS, *SDKS.values())


@pytest.mark.parametrize("wire", WIRES)
def test_a_key_imports_no_sdk(tmp_path: Path, wire: str) -> None:
    assert imported(tmp_path, wire) == set()


@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire != "bedrock_converse"])
def test_the_sdk_carrier_imports_only_its_own(tmp_path: Path, wire: str) -> None:
    assert imported(tmp_path, wire, carrier="sdk") - OTHERS == SDKS[wire]


def test_a_signed_request_imports_only_what_signs(tmp_path: Path) -> None:
    options = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
    spec = {"key_env": [], "options_env": options, "key_options": ["access_key"], "options": {"region": "us-east-1"}}
    assert imported(tmp_path, "bedrock_converse", **spec) == {"botocore"}
