"""A collector: a real HTTP server that reads OTLP's protobuf."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Seen(NamedTuple):
    """A span as it came."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: float
    end: float
    attributes: dict[str, Any]
    status: int
    status_message: str
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]


class Point(NamedTuple):
    """A point of a metric. ``total``: the sum of a histogram, or the counter's value."""

    attributes: dict[str, Any]
    total: float
    count: int
    bounds: tuple[float, ...]


class Collector:
    """``answer`` is the status it gives; while ``hanging`` is set it gives none before `close`."""

    def __init__(self, answer: int = 200, *, hanging: bool = False) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Seen] = []
        self.resource: dict[str, Any] = {}
        self.metrics: dict[str, list[Point]] = {}
        self.reached = threading.Event()
        self._released = threading.Event()
        if not hanging:
            self._released.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Seen:
        (found,) = self.named(name)
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append(self.path)
                collector.headers.append(dict(self.headers))
                collector.reached.set()
                collector._released.wait(60)
                if collector.answer == 200:
                    collector._take(self.path, body)
                try:
                    self.send_response(collector.answer)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the client has given up

            def log_message(self, format: str, *values: object) -> None:  # noqa: A002 (http.server's name)
                pass

        return Handler

    def _take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = _attributes(group.resource.attributes)
                self.spans += [_span(span) for scope in group.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
                    self.metrics[metric.name] = _points(metric)
        else:
            raise AssertionError(f"nobody asked for {path}")


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(inner) for inner in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def _span(span: Any) -> Seen:
    return Seen(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        attributes=_attributes(span.attributes),
        status=span.status.code,
        status_message=span.status.message,
        events=[(event.name, _attributes(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _points(metric: Any) -> list[Point]:
    if metric.WhichOneof("data") == "histogram":
        return [
            Point(_attributes(point.attributes), point.sum, point.count, tuple(point.explicit_bounds))
            for point in metric.histogram.data_points
        ]
    return [Point(_attributes(point.attributes), point.as_int, 0, ()) for point in metric.sum.data_points]


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.fixture
def make_collector() -> Iterator[Any]:
    """Makes collectors that answer otherwise; arguments of `Collector`."""
    made: list[Collector] = []

    def make(*arguments: Any, **options: Any) -> Collector:
        made.append(Collector(*arguments, **options))
        return made[-1]

    yield make
    for running in made:
        running.close()
