"""Metrics of live streams."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from gaudi_asr_cli.serve.live import LiveObserver
from gaudi_asr_cli.serve.metrics import PREFIX, SECONDS, ServerMetrics


class LiveMetrics(LiveObserver):
    """Counts what happens in live streams, beside the metrics of the server."""

    def __init__(self, metrics: ServerMetrics) -> None:
        registry = metrics.registry
        self._metrics = metrics
        self._open = Gauge(f"{PREFIX}_live_streams", "Open live streams.", registry=registry)
        self._audio_s = Counter(
            f"{PREFIX}_live_audio_seconds", "Audio of live streams in seconds.", registry=registry
        )
        self._errors = Counter(
            f"{PREFIX}_live_errors", "Live streams that failed.", ["code"], registry=registry
        )
        self._latency_s = Histogram(
            f"{PREFIX}_live_final_seconds",
            "Seconds from the end of speech to its final transcript.",
            buckets=SECONDS,
            registry=registry,
        )

    def stream_opened(self) -> None:
        self._open.inc()

    def stream_closed(self, seconds: float) -> None:
        self._open.dec()
        self._audio_s.inc(seconds)

    def stream_failed(self, code: str) -> None:
        self._errors.labels(code).inc()

    def noticed(self, message: str) -> None:
        self._metrics.noticed(message)

    def final_sent(self, latency_s: float) -> None:
        self._latency_s.observe(latency_s)
