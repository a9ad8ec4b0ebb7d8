"""To a collector over HTTP: patiently while the program runs, and with one try each at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .settings import Settings

TRY_AGAIN = frozenset((429, 502, 503, 504))

Batch = TypeVar("Batch", contravariant=True)


class NotTakenError(Exception):
    """The collector was not reached, or did not take it; OpenTelemetry does not try again after this one."""


class OneTry(requests.Session):
    """The official exporters try again for as long as they may; at the end nobody wants to wait for that."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **options)
        except requests.RequestException as error:
            raise NotTakenError(str(error)) from error
        if response.status_code in TRY_AGAIN:
            raise NotTakenError(f"{response.status_code} {response.reason}")
        return response


class Sends(Protocol[Batch]):
    def export(self, batch: Batch, /) -> Any: ...
    def shutdown(self) -> None: ...


class TwoWays:
    """Sends by ``usual``, and from `hurry` on by ``last``, also what ``usual`` was just waiting to send again."""

    def __init__(self, usual: Sends[Any], last: Sends[Any], success: object) -> None:
        self._usual = usual
        self._last = last
        self._success = success
        self._hurries = False

    def send(self, batch: Any) -> Any:
        if not self._hurries:
            result = self._usual.export(batch)
            if result is self._success or not self._hurries:
                return result
        return self._last.export(batch)

    def hurry(self) -> None:
        self._hurries = True
        self._usual.shutdown()

    def shutdown(self) -> None:
        self._last.shutdown()


class SpanSender(SpanExporter):
    def __init__(self, settings: Settings) -> None:
        url, headers = f"{settings.endpoint.rstrip('/')}/v1/traces", dict(settings.headers)
        usual = OTLPSpanExporter(url, headers=headers, timeout=settings.timeout)
        last = OTLPSpanExporter(url, headers=headers, timeout=settings.flush_seconds, session=OneTry())
        self._ways = TwoWays(usual, last, SpanExportResult.SUCCESS)
        self.hurry = self._ways.hurry

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result: SpanExportResult = self._ways.send(spans)
        return result

    def shutdown(self) -> None:
        self._ways.shutdown()


class MetricSender(MetricExporter):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        url, headers = f"{settings.endpoint.rstrip('/')}/v1/metrics", dict(settings.headers)
        usual = OTLPMetricExporter(url, headers=headers, timeout=settings.timeout)
        last = OTLPMetricExporter(url, headers=headers, timeout=settings.flush_seconds, session=OneTry())
        self._ways = TwoWays(usual, last, MetricExportResult.SUCCESS)
        self.hurry = self._ways.hurry

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        result: MetricExportResult = self._ways.send(metrics_data)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._ways.shutdown()
