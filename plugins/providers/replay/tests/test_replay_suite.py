"""The recorded model does what every provider has to do: the suite's replies, written down as cassettes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from hermes import Endpoint, Provider
from hermes_plugin_replay.player import Player
from hermes_testkit.model_server import Call, ErrorChunk, Fail, Say, Scripted, Think, Tokens
from hermes_testkit.provider_cases import FAILINGS, KEY, Stage
from hermes_testkit.provider_suite import ProviderSuite
from hermes_testkit.replies import Element, elements_of


def recorded(element: Element) -> dict[str, Any]:
    match element:
        case Say():
            return {"text": element.text}
        case Think():
            return {"thinking": element.text}
        case Call():
            arguments = element.arguments if isinstance(element.arguments, str) else dict(element.arguments)
            return {"tool_call": {"name": element.name, "arguments": arguments or {}}}
        case Tokens():
            return {
                "usage": {
                    "input_tokens": element.prompt - element.cached,
                    "output_tokens": element.completion,
                    "cache_read_tokens": element.cached,
                    "reasoning_tokens": element.reasoning,
                }
            }
        case Fail():
            same = [failing.kind for failing in FAILINGS if failing.fail == element]
            like = [failing.kind for failing in FAILINGS if failing.fail.status == element.status]
            kind = (same or like)[0]
            error: dict[str, Any] = {"kind": kind.__name__, "status": element.status, "hint": "Look."}
            if "Retry-After" in element.headers:
                error["retry_after"] = float(element.headers["Retry-After"])
            return {"error": error}
        case ErrorChunk():
            return {"error": {"kind": "Overloaded", "message": element.message}}
        case _:
            raise AssertionError(f"a cassette has no word for {element!r}")


class TestReplay(ProviderSuite):
    def make_provider(self) -> Provider:
        return Player()

    @contextmanager
    def stage(self, *script: Scripted) -> Iterator[Stage]:
        calls = []
        for reply in script:
            assert not callable(reply)
            elements = elements_of(Say(reply) if isinstance(reply, str) else reply)
            calls.append({"events": [recorded(element) for element in elements]})
        with TemporaryDirectory() as folder:
            file = Path(folder) / "suite.yaml"
            file.write_text(yaml.safe_dump(json.loads(json.dumps(calls)), allow_unicode=True), encoding="utf-8")
            yield Stage(Endpoint(provider="suite", key=KEY), str(file))
