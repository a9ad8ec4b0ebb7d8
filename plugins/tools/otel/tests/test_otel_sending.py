"""Where telemetry goes, and that it is in nobody's way where it cannot."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from hermes import App, tool
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
MakeApp = Callable[..., App]


class Tools:
    name = "tools"

    @tool(risk="read", effects="none")
    async def look(self) -> str:
        """Look."""
        return "seen"


@pytest.fixture
def make(home: Path) -> MakeApp:
    def make(environ: dict[str, str] | None = None, **section: Any) -> App:
        model = ScriptedModel([say("", call("look")), say("Done.")] * 20)
        return make_app(
            home,
            Tools(),
            model=model,
            only=("otel",),
            overrides={"otel": {"flush_seconds": 30, **section}},
            environ=environ,
        )

    return make


async def turn(app: App) -> str:
    return (await collect((await app.conversation()).send("go")))[-1].outcome


def run(app: App) -> tuple[str, float]:
    """The outcome, and how many seconds the app took to close."""

    async def work() -> tuple[str, float]:
        outcome = await turn(app)
        started = time.monotonic()
        await app.close()
        return outcome, time.monotonic() - started

    return asyncio.run(work())


def log_of(home: Path) -> str:
    file = home / "logs" / "agent.log"
    return file.read_text() if file.exists() else ""


def test_the_resource_and_the_headers_are_the_settings(make: MakeApp, collector: Any, home: Path) -> None:
    secret = "Authorization=Bearer%20abc%3Ddef, X-Team = blue"
    app = make(
        {HEADERS: secret},
        endpoint=f"{collector.url}/",
        headers_secret=HEADERS,
        service_name="my-agent",
    )
    assert run(app)[0] == "done"
    assert collector.resource["service.name"] == "my-agent"
    assert set(collector.requests) == {"/v1/traces", "/v1/metrics"}
    for headers in collector.headers:
        assert (headers["authorization"], headers["x-team"]) == ("Bearer abc=def", "blue")
        assert headers["content-type"] == "application/x-protobuf"
    assert "abc=def" not in log_of(home)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, "neither otel.endpoint nor otel.file is set"),
        ({"endpoint": "localhost:4318"}, "otel.endpoint is no address of a collector"),
        ({"endpoint": "http://127.0.0.1:9", "headers_secret": HEADERS}, "is not set"),
        ({"endpoint": "http://127.0.0.1:9", "headers_secret": HEADERS}, "holds no headers"),
    ],
    ids=["nothing set", "no address", "no secret", "odd secret"],
)
def test_where_nothing_can_be_sent_it_is_said_once(
    make: MakeApp, home: Path, section: dict[str, Any], told: str
) -> None:
    app = make({HEADERS: "just a token"} if told == "holds no headers" else None, **section)

    async def work() -> list[str]:
        async with app:
            return [await turn(app), await turn(app)]

    assert asyncio.run(work()) == ["done", "done"]
    assert log_of(home).count("otel sends nothing") == 1
    assert told in log_of(home)


NOTHING_IMPORTED = """
    import asyncio, sys
    from pathlib import Path
    from hermes_testkit.scripted import collect, make_app

    async def main(endpoint):
        settings = {"otel": {"endpoint": endpoint, "flush_seconds": 30}}
        async with make_app(Path(sys.argv[1]), only=("otel",), overrides=settings) as app:
            before = any(name.split(".")[0] == "opentelemetry" for name in sys.modules)
            await collect((await app.conversation()).send("go"))
        return before, any(name.split(".")[0] == "opentelemetry" for name in sys.modules)

    print(*asyncio.run(main(sys.argv[2])))
"""


@pytest.mark.parametrize(("configured", "told"), [(False, "False False"), (True, "False True")])
def test_opentelemetry_is_imported_when_there_is_something_to_send(
    home: Path, collector: Any, configured: bool, told: str
) -> None:
    script = textwrap.dedent(NOTHING_IMPORTED)
    endpoint = collector.url if configured else ""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(home), endpoint], capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout.strip(), ran.stderr) == (told, "")
    assert bool(collector.spans) is configured


def test_a_collector_that_hangs_holds_up_nothing(make: MakeApp, make_collector: Any, home: Path) -> None:
    """Many turns run while it hangs; the end waits as long as the settings say, and says what is lost."""
    collector = make_collector(hanging=True)
    app = make(endpoint=collector.url, flush_seconds=0.3)

    async def work() -> float:
        outcomes = [await turn(app) for _ in range(10)]
        assert outcomes == ["done"] * 10
        started = time.monotonic()
        await app.close()
        return time.monotonic() - started

    assert 0.3 <= asyncio.run(work()) < 3
    assert collector.reached.is_set()
    assert "not all could be sent within 0.3 s" in log_of(home)


def test_a_collector_that_is_not_there_holds_up_nothing(make: MakeApp, home: Path, capfd: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        outcome, seconds = run(make(endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (outcome, seconds < 2) == ("done", True)
    assert "Failed to export" in log_of(home)
    assert capfd.readouterr() == ("", ""), "the command line's output is not ours"


def test_a_collector_that_is_overloaded_holds_up_nothing(make: MakeApp, make_collector: Any, home: Path) -> None:
    collector = make_collector(503)
    outcome, seconds = run(make(endpoint=collector.url))
    assert (outcome, seconds < 2) == ("done", True)
    assert collector.requests
    assert "503" in log_of(home)


def test_what_comes_after_an_outage_is_sent(make: MakeApp, make_collector: Any) -> None:
    """The collector refuses the first turn's spans for good, and takes the second one's."""
    collector = make_collector(400)
    assert run(make(endpoint=collector.url))[0] == "done"
    collector.answer = 200
    assert run(make(endpoint=collector.url))[0] == "done"
    assert len(collector.named("invoke_agent hermes")) == 1


def test_a_file_gets_the_same_as_json_lines(make: MakeApp, collector: Any, tmp_path: Path) -> None:
    file = tmp_path / "otel.jsonl"
    run(make(endpoint=collector.url, file=str(file)))
    run(make(file=str(file)))
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    traces = [line for line in lines if "resourceSpans" in line]
    assert len(traces) == 2
    assert len([line for line in lines if "resourceMetrics" in line]) == 2
    spans = {span["name"]: span for span in traces[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]}
    sent = collector.one("execute_tool look")
    written = spans["execute_tool look"]
    assert (written["traceId"], written["spanId"], written["parentSpanId"]) == (sent.trace, sent.id, sent.parent)
    assert written["kind"] == 1
    assert Parse(json.dumps(traces[0]), ExportTraceServiceRequest()).resource_spans


def test_a_relative_file_is_in_the_plugins_own_folder(make: MakeApp, home: Path) -> None:
    run(make(file="spans.jsonl"))
    assert "resourceSpans" in (home / "plugin-data" / "otel" / "spans.jsonl").read_text()


def test_a_file_that_cannot_be_written_holds_up_nothing(make: MakeApp, home: Path, tmp_path: Path) -> None:
    assert run(make(file=str(tmp_path / "no" / "such" / "folder")))[0] == "done"
    assert "Exception while exporting" in log_of(home)


def test_two_apps_in_one_process_are_told_apart(tmp_path: Path, make_collector: Any) -> None:
    one, other = make_collector(), make_collector()

    async def work() -> None:
        apps = [
            make_app(
                tmp_path / name,
                only=("otel",),
                overrides={"otel": {"endpoint": to.url, "service_name": name, "flush_seconds": 30}},
            )
            for name, to in (("one", one), ("other", other))
        ]
        await asyncio.gather(*(turn(app) for app in apps))
        for app in apps:
            await app.close()

    asyncio.run(work())
    assert (one.resource["service.name"], other.resource["service.name"]) == ("one", "other")
    assert len(one.spans) == len(other.spans) == 2
