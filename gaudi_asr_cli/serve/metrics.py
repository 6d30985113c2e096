"""Metrics of the server, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from fastapi import APIRouter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.responses import Response

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.serving.messages import BatchDone, ServedTranscript
from gaudi_asr_cli.core.serving.service import ServiceObserver, TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError, as_api_error

PREFIX = "gaudi_asr"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
RTFX = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
"""Upper edges of the buckets of histograms."""

Notify = Callable[[str], None]


def ignore_notice(message: str) -> None:
    """Ignore what the operator should read."""


class ServerMetrics(ServiceObserver):
    """Counts what happens in the server.

    Args:
        notify: Receives what the operator should read.
    """

    def __init__(self, notify: Notify) -> None:
        self.registry = CollectorRegistry()
        self._notify = notify
        self._requests = self._counter(
            "requests", "Requests by status and error code.", "status", "code"
        )
        self._audio_s = self._counter("audio_seconds", "Transcribed audio in seconds.", "model")
        self._ended = self._counter("worker_ends", "Worker processes that ended.", "model")
        phases = "Seconds of requests by phase: upload, queue, decode, compute, total."
        self._phase_s = self._histogram("phase_seconds", phases, SECONDS, "model", "phase")
        self._rtfx = self._histogram("rtfx", "Audio over total time, by request.", RTFX, "model")
        self._calls = self._histogram(
            "batch_size", "Clips or windows in a batch.", BATCH_ROWS, "model"
        )
        graphs = "Graphs captured so far, by the worker that ran the last batch."
        self._graphs = Gauge(f"{PREFIX}_graphs", graphs, ["model"], registry=self.registry)
        self._shared = self._histogram(
            "batch_requests", "Requests in a batch.", BATCH_ROWS, "model"
        )

    def watch(self, service: TranscriptionService) -> None:
        """Show the queue of a service, and the workers and graphs of its models."""
        text = "Processes that take requests of a model."
        workers = Gauge(f"{PREFIX}_workers", text, ["model"], registry=self.registry)
        for name in service.models:
            workers.labels(name).set_function(partial(service.count_workers, name))
        for name, opened in service.opened.items():
            if opened.graphs is not None:
                self._graphs.labels(name).set(opened.graphs)
        values: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("requests_in_flight", "Requests in the server.", lambda: service.in_flight),
            ("requests_queued", "Requests that no worker has begun.", lambda: service.queued),
            ("ready", "1 if every model takes requests.", lambda: service.ready),
        )
        for name, text, value in values:
            Gauge(f"{PREFIX}_{name}", text, registry=self.registry).set_function(value)

    def request_done(
        self, model: str, result: ServedTranscript, upload_s: float, total_s: float
    ) -> None:
        """Count a request that was answered."""
        self._requests.labels("200", "").inc()
        self._audio_s.labels(model).inc(result.duration_s)
        phases: Mapping[str, float] = {"upload": upload_s, **result.phases_s, "total": total_s}
        for phase, seconds in phases.items():
            self._phase_s.labels(model, phase).observe(seconds)
        if total_s > 0:
            self._rtfx.labels(model).observe(result.duration_s / total_s)

    def request_failed(self, status: int, code: str | None) -> None:
        """Count a request that was answered with an error."""
        self._requests.labels(str(status), code or "").inc()

    @contextmanager
    def counted_failures(self) -> Iterator[None]:
        """Count the error that leaves the block, if one does."""
        try:
            yield
        except ApiError as error:
            self.request_failed(error.status, error.code)
            raise
        except AsrError as error:
            answer = as_api_error(error)
            self.request_failed(answer.status, answer.code)
            raise

    def batch_done(self, model: str, batch: BatchDone) -> None:
        self._calls.labels(model).observe(batch.calls)
        self._shared.labels(model).observe(batch.requests)
        if batch.graphs is not None:
            self._graphs.labels(model).set(batch.graphs)

    def worker_ended(self, model: str, end: str) -> None:
        self._ended.labels(model).inc()
        self._notify(f"{model}: {end}")

    def noticed(self, message: str) -> None:
        self._notify(message)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        name = f"{PREFIX}_{name}"
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)


def metrics_routes(metrics: ServerMetrics) -> APIRouter:
    """Return the route that Prometheus reads."""
    router = APIRouter()

    @router.get("/metrics")
    async def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
