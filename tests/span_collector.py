"""A collector of OpenTelemetry for tests: rotel, a real one, which passes what it receives on to this process."""

from __future__ import annotations

import gzip
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from adapters.embedded.loopback import free_port

ROTEL = Path(str(files("rotel"))) / "rotel-agent"


@dataclass(frozen=True)
class CollectedSpan:
    """A span as the collector passes it on."""

    process: str
    """The service without `gridproof-`: the worker."""
    instance: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: none."""
    started_ns: int
    ended_ns: int
    attributes: dict[str, str | int]
    failed: bool


@dataclass
class SpanSink:
    """An OTLP receiver over HTTP."""

    url: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)
    first_request: threading.Event = field(default_factory=threading.Event)
    """Set by the first request."""

    def of_trace(self, trace_id: str) -> list[CollectedSpan]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource_spans in request.resource_spans:
            about = _values(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self.spans += [_collected(about, span) for span in scope_spans.spans]


def _values(attributes: Any) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in attributes
    }


def _collected(about: dict[str, str | int], span: Any) -> CollectedSpan:
    return CollectedSpan(
        process=str(about["service.name"]).removeprefix("gridproof-"),
        instance=str(about["service.instance.id"]),
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
    )


class _QuietServer(ThreadingHTTPServer):
    """A client that gave up is no error."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        return


@contextmanager
def span_sink(
    *, port: int = 0, answer: threading.Event | None = None, status: int = 200
) -> Iterator[SpanSink]:
    """A receiver in this process. It answers nothing before `answer` is set."""
    sink = SpanSink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._body()
            sink.first_request.set()
            if answer is not None:
                answer.wait()
            sink.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            document = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            if status == HTTPStatus.MOVED_PERMANENTLY:
                self.send_header("location", "https://elsewhere/")
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: Any) -> None:
            return

    with _QuietServer(("127.0.0.1", port), Handler) as server:
        sink.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield sink
        server.shutdown()


@contextmanager
def collector(folder: Path) -> Iterator[SpanSink]:
    """rotel before a sink; the `url` is rotel's."""
    with span_sink() as sink:
        address = f"127.0.0.1:{free_port()}"
        agent = subprocess.Popen(
            [
                ROTEL,
                "start",
                f"--otlp-http-endpoint={address}",
                f"--otlp-grpc-endpoint=127.0.0.1:{free_port()}",
                "--exporter=otlp",
                f"--otlp-exporter-endpoint={sink.url}",
                "--otlp-exporter-protocol=http",
                f"--pid-file={folder / 'rotel.pid'}",
                f"--log-file={folder / 'rotel.log'}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        sink.url = f"http://{address}"
        try:
            yield sink
        finally:
            agent.terminate()
            agent.wait()
