"""Spans to a collector: what it receives, which traces, and that nothing waits for it."""

import socket
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic, process_time, sleep
from uuid import UUID, uuid5

import pytest
from structlog.testing import capture_logs

from adapters.tls import tls_context
from adapters.tracing import BATCH, ENDED, QUEUE, SENT, TRY_EVERY_S, OtlpSpans
from application.command_bus.bus import CommandBus
from application.command_bus.spans import TRACING, Span
from application.commands.facility import RegisterFacility
from application.handlers import HANDLERS
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import CONTEXT, facility_entry
from tests.span_collector import span_sink

TRACE = "0af7651916cd43dd8448eb211c80319c"
WITHIN_S = 60.0
COMMANDS = 50
NOW = datetime(2026, 7, 14, 21, 0, 0, 250_000, tzinfo=UTC)


def spans_to(url: str, *, ratio: float = 1.0) -> OtlpSpans:
    resource = {"service.name": "gridproof-relay", "service.instance.id": "host:1"}
    return OtlpSpans(url, resource=resource, ratio=ratio, now=lambda: NOW, tls=tls_context())


def span(number: int = 1, *, parent_id: str | None = None, error: str | None = None) -> Span:
    at_ns = int(NOW.timestamp()) * 1_000_000_000
    about: dict[str, str | int] = {"gridproof.facility": "fac-001", "gridproof.delivery": 2}
    return Span(
        "bms command", TRACE, f"{number:016x}", parent_id, "consumer", at_ns, at_ns + 1_500, about, error
    )


def test_a_collector_receives_spans_with_their_ids_times_and_process() -> None:
    with span_sink() as sink:
        spans = spans_to(sink.url)
        spans.record(span(1, error="BmsTimedOut"))
        spans.record(span(2, parent_id=f"{1:016x}"))
        spans.close(WITHIN_S)
        first, second = sorted(sink.spans, key=lambda one: one.span_id)
    assert (first.trace_id, first.parent_id, second.parent_id) == (TRACE, "", first.span_id)
    assert (first.process, first.instance, first.name) == ("relay", "host:1", "bms command")
    assert second.ended_ns - second.started_ns == 1_500
    assert second.attributes == {"gridproof.facility": "fac-001", "gridproof.delivery": 2}
    assert (first.failed, first.attributes["error.type"], second.failed) == (True, "BmsTimedOut", False)


def test_times_are_those_of_the_wall_clock() -> None:
    with closing(spans_to("http://127.0.0.1:9")) as spans:
        assert timedelta(microseconds=spans.now_ns() / 1_000) + datetime.fromtimestamp(0, UTC) == NOW


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_the_share_of_traces_is_the_ratio_also_of_ids_made_from_uuids(ratio: float) -> None:
    """The version of a UUID stands in the half of the id by which samplers usually decide."""
    ids = [uuid5(UUID(int=1), str(number)).hex for number in range(4_000)]
    with closing(spans_to("http://127.0.0.1:9", ratio=ratio)) as spans:
        share = sum(map(spans.is_sampled, ids)) / len(ids)
    assert share == pytest.approx(ratio, abs=0.03)


@pytest.mark.parametrize("trace_id", ["", "no id", "z" * 32, "z" * 18 + "0" * 14])
def test_an_id_that_is_none_is_not_sampled(trace_id: str) -> None:
    with closing(spans_to("http://127.0.0.1:9")) as spans:
        assert not spans.is_sampled(trace_id)


def test_while_the_collector_hangs_work_goes_on_and_the_oldest_spans_are_dropped() -> None:
    answer = Event()
    with span_sink(answer=answer) as sink:
        spans = spans_to(sink.url)
        for number in range(BATCH):
            spans.record(span(number + 1))
        assert sink.first_request.wait(WITHIN_S)
        last = BATCH + 2 * QUEUE
        for number in range(BATCH, last):  # each returns, although the collector has not answered yet
            spans.record(span(number + 1))
        answer.set()
        spans.close(WITHIN_S)
        received = {int(one.span_id, 16) for one in sink.spans}
    assert last in received
    assert len(received) <= QUEUE + 2 * BATCH


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (403, "403 Forbidden"),
        (301, "RequestException: it redirects to https://elsewhere/: use the collector's own address"),
        (304, "RequestException: it redirects to no address: use the collector's own address"),
    ],
)
def test_the_log_says_once_what_a_collector_that_takes_no_spans_answered(status: int, why: str) -> None:
    sent = SENT._value.get()
    with span_sink(status=status) as sink, capture_logs() as logged:
        spans = spans_to(sink.url)
        for number in range(2):
            spans.record(span(number + 1))
            assert spans._processor.force_flush()
        spans.close(WITHIN_S)
    [line] = logged
    assert (line["log_level"], line["why"], line["see"]) == ("warning", why, "GRIDPROOF_OTLP_URL")
    assert SENT._value.get() == sent


def test_the_log_says_why_a_collector_cannot_be_reached() -> None:
    with capture_logs() as logged:
        spans = spans_to("https://127.0.0.1:9")
        spans.record(span())
        spans._processor.force_flush()
        spans.close(WITHIN_S)
    assert "Connection refused" in logged[0]["why"]
    assert "begin the address" not in logged[0]["why"]


def test_a_collector_that_comes_back_receives_spans_again() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    spans = spans_to(f"http://127.0.0.1:{port}")
    spans.record(span(1))
    refused = SENT._value.get()
    with span_sink(port=port) as sink:
        until = monotonic() + WITHIN_S
        while not sink.spans and monotonic() < until:
            spans.record(span(2))
            sleep(0.1)
        spans.close(WITHIN_S)
        assert f"{2:016x}" in {one.span_id for one in sink.spans}
    assert SENT._value.get() > refused


def test_while_the_collector_is_away_nothing_is_recorded_but_a_try_now_and_then() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    spans = spans_to(f"http://127.0.0.1:{port}")
    assert spans.is_sampled(TRACE)
    spans.record(span(1))
    assert spans._processor.force_flush()
    began = monotonic()
    tries = sum(spans.is_sampled(TRACE) for _ in range(10_000))
    assert tries <= 1 + (monotonic() - began) / TRY_EVERY_S
    with span_sink(port=port):
        until = began + WITHIN_S
        while sum(spans.is_sampled(TRACE) for _ in range(1_000)) < 1_000:
            assert monotonic() < until
            spans.record(span(2))
            spans._processor.force_flush()
            sleep(0.1)
        spans.close(WITHIN_S)


def test_commands_have_the_same_results_without_a_collector_with_one_and_with_one_that_is_away() -> None:
    """Prints the processor time of a command on a store in memory."""

    def topics_and_us(spans: OtlpSpans | None) -> tuple[list[str], float]:
        store = FakeEventStore()
        bus = CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook())
        TRACING.recorder = spans
        try:
            began_s = process_time()
            for number in range(COMMANDS):
                bus.handle(RegisterFacility(entry=facility_entry(f"fac-{number:03}")), CONTEXT)
            each_us = (process_time() - began_s) / COMMANDS * 1e6
        finally:
            TRACING.recorder = None
        return [entry.topic for entry in store.read_after(0, 100 * COMMANDS)], each_us

    topics_and_us(None)  # what only the first call does
    off, off_us = topics_and_us(None)
    with span_sink() as sink, closing(spans_to(sink.url)) as spans:
        before = ENDED._value.get()
        there, there_us = topics_and_us(spans)
        recorded = ENDED._value.get() - before
    with closing(spans_to("http://127.0.0.1:9")) as spans:
        spans.record(span())
        assert spans._processor.force_flush()
        away, away_us = topics_and_us(spans)
    assert there == away == off
    assert recorded == COMMANDS + len(off)
    sys.stdout.write(
        f"a command: {off_us:,.0f} us without spans, {there_us:,.0f} us with {recorded / COMMANDS:.0f}, "
        f"{away_us:,.0f} us once the collector is away\n"
    )
