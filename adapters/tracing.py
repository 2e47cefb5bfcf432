"""Spans to a collector of OpenTelemetry: OTLP over HTTP, in batches, from a thread of its own and a bounded queue."""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from prometheus_client import Counter
from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NotConnected
from urllib3.exceptions import ProtocolError

from adapters.tls import connection_problem, plain_hint
from application.command_bus.spans import Span

QUEUE, BATCH = 4_096, 512
"""Spans that wait at most, some 8 MB; if there are more, the oldest are dropped."""
EVERY_S = 1.0
TIMEOUT_S = 10.0
"""Of a request to the collector with its repetitions."""
TRY_EVERY_S = 2.0
"""While the collector takes no spans, one is recorded so often, to see whether it does again."""
LEAVE_WITHIN_S = 1.0
"""How long the end of a process waits for the collector."""
NO_ANSWER = "it did not answer in time"
REDIRECTS = range(300, 400)
TRACE_ID_DIGITS = 32
RANDOM_BITS = 56
"""The random part of a trace id is at its end (W3C Trace Context, level 2): other bits of ours are those of a UUID's
version."""
ENDED = Counter("gridproof_spans_ended", "Spans of this process that ended in sampled traces")
SENT = Counter("gridproof_spans_sent", "Spans of this process that the collector took")
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_log = structlog.get_logger("tracing")


class OtlpSpans:
    """SpanRecorder. Nothing waits for the collector, and while it takes no spans, none are recorded.

    `url` is the collector's base address; `now` the time on the wall; `ratio` the share of traces that are recorded;
    `tls` what an https collector is verified by, a context of its own: the connections change it.
    """

    def __init__(
        self,
        url: str,
        *,
        resource: dict[str, str],
        ratio: float,
        now: Callable[[], datetime],
        tls: ssl.SSLContext,
    ) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `_Collector` says it once
        self._now = now
        self._below = int(ratio * (1 << RANDOM_BITS))
        self._collector = _Collector(url, tls)
        self._processor = BatchSpanProcessor(
            self._collector,
            max_queue_size=QUEUE,
            schedule_delay_millis=EVERY_S * 1_000,
            max_export_batch_size=BATCH,
            export_timeout_millis=TIMEOUT_S * 1_000,
        )
        self._ids = _GivenIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource(resource), id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("gridproof")

    def is_sampled(self, trace_id: str) -> bool:
        try:
            if len(trace_id) != TRACE_ID_DIGITS or int(trace_id, 16) % (1 << RANDOM_BITS) >= self._below:
                return False
        except ValueError:  # of a message that somebody else wrote
            return False
        return self._collector.wants_a_span()

    def now_ns(self) -> int:
        return int(self._now().timestamp() * 1e6) * 1_000

    def record(self, span: Span) -> None:
        self._ids.given.ids = int(span.trace_id, 16), int(span.span_id, 16)
        parent = None
        if span.parent_id is not None:
            parent = SpanContext(
                int(span.trace_id, 16), int(span.parent_id, 16), True, TraceFlags(TraceFlags.SAMPLED)
            )
        started = self._tracer.start_span(
            span.name,
            context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=span.started_ns,
        )
        if span.error is not None:
            started.set_attribute("error.type", span.error)
            started.set_status(Status(StatusCode.ERROR))
        started.end(end_time=max(span.started_ns, span.ended_ns))
        ENDED.inc()

    def close(self, within_s: float = LEAVE_WITHIN_S) -> None:
        """Send what waits, for so many wall seconds at most."""
        self._collector.leave(within_s)
        ending = threading.Thread(target=self._processor.shutdown, name="end of tracing", daemon=True)
        ending.start()
        ending.join(within_s)


class _GivenIds(IdGenerator):
    """The ids of the span that this thread records."""

    def __init__(self) -> None:
        self.given = threading.local()

    def generate_trace_id(self) -> int:
        return int(self.given.ids[0])

    def generate_span_id(self) -> int:
        return int(self.given.ids[1])


class _Link(HTTPAdapter):
    """Connections to the collector, verified by `tls` alone; notes how the last request ended."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self.said = NO_ANSWER
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self._tls)

    def cert_verify(self, *_: Any) -> None:
        """Load nothing into the context: requests would add a list of its own."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        try:
            response = super().send(request, **options | {"verify": True, "cert": None, "proxies": {}})
            if response.status_code in REDIRECTS:  # the exporter would count it as taken
                elsewhere = response.headers.get("location", "no address")
                raise RequestException(f"it redirects to {elsewhere}: use the collector's own address")
        except Exception as error:
            self.said = connection_problem(error)
            if _was_closed(error) and str(request.url).startswith("http:"):
                self.said += f"; {plain_hint('https')}"
            raise
        self.said = f"{response.status_code} {response.reason}"
        return response


def _was_closed(error: Exception) -> bool:
    """True if the connection was there, and ended without an answer."""
    return isinstance(error, NotConnected) and isinstance(error.__context__, ProtocolError)


class _Collector(SpanExporter):
    """Sends batches, and logs when the collector begins and ceases to take them."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._link, session = _Link(tls), Session()
        session.trust_env = False  # no proxy, no .netrc: as our other links
        for scheme in ("http://", "https://"):
            session.mount(scheme, self._link)
        self._exporter = OTLPSpanExporter(
            endpoint=f"{url.rstrip('/')}/v1/traces",
            timeout=TIMEOUT_S,
            compression=Compression.Gzip,
            session=session,
        )
        self._takes_spans = True
        self._try_at_s = 0.0
        self._until_s: float | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._until_s is not None and time.monotonic() > self._until_s:
            return SpanExportResult.FAILURE
        self._link.said = NO_ANSWER
        result = self._exporter.export(spans)
        took = result is SpanExportResult.SUCCESS
        if took:
            SENT.inc(len(spans))
        if self._until_s is None:
            self._log_change(took=took)
        return result

    def wants_a_span(self) -> bool:
        """True if it is worth the work to record one."""
        if self._takes_spans:
            return True
        now_s = time.monotonic()
        if now_s < self._try_at_s:
            return False
        self._try_at_s = now_s + TRY_EVERY_S
        return True

    def _log_change(self, *, took: bool) -> None:
        if took and not self._takes_spans:
            _log.info("the collector takes spans again")
        if not took and self._takes_spans:
            self._try_at_s = time.monotonic() + TRY_EVERY_S
            problem = "the collector takes no spans; none are recorded until it does"
            _log.warning(problem, why=self._link.said, see="GRIDPROOF_OTLP_URL")
        self._takes_spans = took

    def leave(self, within_s: float) -> None:
        """Send nothing after so many wall seconds."""
        self._until_s = time.monotonic() + within_s

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
