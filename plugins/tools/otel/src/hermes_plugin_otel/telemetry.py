"""OpenTelemetry's providers, made for one app and known to nobody else. Lives on the recorder's thread."""

from __future__ import annotations

import logging
import threading

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from hermes import __version__

from .json_lines import JsonLines, MetricLines, SpanLines
from .metrics import Metrics
from .sending import MetricSender, SpanSender
from .settings import Settings
from .tracker import Tracker
from .turn_ids import TurnIds

LONGEST_ATTRIBUTE = 32_768
"""Characters. What is longer is cut; only content is."""


class Telemetry:
    """Where ``tracker`` puts what it makes: to the collector, into the file, or both."""

    def __init__(self, settings: Settings, log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._troubles = Troubles(log)
        logging.getLogger("opentelemetry").addHandler(self._troubles)
        resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
        file = JsonLines(settings.file) if settings.file else None
        ids = TurnIds()
        self._traces = TracerProvider(
            resource=resource,
            shutdown_on_exit=False,
            id_generator=ids,
            span_limits=SpanLimits(max_attribute_length=LONGEST_ATTRIBUTE),
        )
        readers = []
        self._senders: tuple[SpanSender | MetricSender, ...] = ()
        if settings.endpoint:
            spans, metrics = self._senders = SpanSender(settings), MetricSender(settings)
            self._traces.add_span_processor(BatchSpanProcessor(spans))
            readers.append(PeriodicExportingMetricReader(metrics))
        if file is not None:
            self._traces.add_span_processor(BatchSpanProcessor(SpanLines(file)))
            readers.append(PeriodicExportingMetricReader(MetricLines(file)))
        self._metrics = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self.tracker = Tracker(
            self._traces.get_tracer("hermes", __version__),
            Metrics(self._metrics.get_meter("hermes", __version__)),
            ids,
            capture_content=settings.capture_content,
        )

    def close(self) -> None:
        """Sends what is left, traces and metrics at once, so that neither waits for the other's collector."""
        for sender in self._senders:
            sender.hurry()
        ends = [
            threading.Thread(target=self._shut, args=(provider,), name="otel-end", daemon=True)
            for provider in (self._traces, self._metrics)
        ]
        for end in ends:
            end.start()
        for end in ends:
            end.join()
        logging.getLogger("opentelemetry").removeHandler(self._troubles)

    def _shut(self, provider: TracerProvider | MeterProvider) -> None:
        try:
            provider.shutdown()
        except Exception as error:  # noqa: BLE001 (the boundary: a thread's top)
            logging.getLogger("opentelemetry").error("%s", error)

    def say_no_more(self) -> None:
        """The app's log is about to be closed."""
        self._troubles.tell = False


class Troubles(logging.Handler):
    """Takes OpenTelemetry's complaints into the plugin's log, each kind once, and keeps them off standard error."""

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        super().__init__(logging.WARNING)
        self.tell = True
        self._log = log
        self._told: set[object] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if self.tell and record.msg not in self._told:
            self._told.add(record.msg)
            self._log.warning("otel: %s (told once)", record.getMessage())
