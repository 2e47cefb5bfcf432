"""What a demo is observed with: a collector of its spans, and Prometheus where it is installed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from adapters.embedded.loopback import free_port
from tests.prometheus_server import Prometheus, prometheus
from tests.span_collector import CollectedSpan, SpanSink, collector

WORKERS = 14
"""Ports that are scraped; each worker takes the next free one."""
ACCEPTED = 202
NOTIFICATION = "POST /webhooks/utility/dr-notification"
PICTURES = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))


@dataclass(frozen=True)
class DemoObserver:
    sink: SpanSink
    metrics: Prometheus | None
    began_s: float
    settings: dict[str, str]
    """Of the system that is observed."""

    def dr_event(self) -> list[CollectedSpan]:
        """The spans of the trace that the accepted request began; the demo's first one is refused."""
        [request] = [
            span
            for span in self.sink.spans
            if span.name == NOTIFICATION and span.attributes["gridproof.status"] == ACCEPTED
        ]
        return self.sink.of_trace(request.trace_id)


@contextmanager
def observing(folder: Path) -> Iterator[DemoObserver]:
    """A system with these settings may start in the block."""
    base, web = free_port(), free_port()
    installed = shutil.which("prometheus")
    ports = [web, *range(base, base + WORKERS)]
    scraping = nullcontext() if installed is None else prometheus(Path(installed), folder, ports)
    with collector(folder) as sink, scraping as metrics:
        settings = {
            "GRIDPROOF_OTLP_URL": sink.url,
            "GRIDPROOF_WORKER_METRICS_BIND": f"127.0.0.1:{base}",
            "GRIDPROOF_HTTP_METRICS_BIND": f"127.0.0.1:{web}",
        }
        yield DemoObserver(sink, metrics, time.time(), settings)
