"""Spans of commands and what they save, linked across processes; log lines name what is being handled."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace
from structlog.contextvars import get_contextvars

from application.async_batcher import AsyncBatcher
from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus, CommandRequest
from application.command_bus.spans import (
    Span,
    inner_span,
    logged,
    outgoing_traceparent,
    recorded_span,
    traced,
)
from application.command_bus.trace_context import span_id_of
from application.commands.facility import RegisterFacility, StartMaintenance
from application.handlers import HANDLERS
from domain.errors import UnknownFacility
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.recorded_spans import recorded_spans
from tests.sample_values import CONTEXT, facility_entry

TRACE = CONTEXT.trace_id
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
DR_EVENT = UUID("0c8a51f7-0e4d-4b0b-8e8a-0d6f0f5f5f5f")
REGISTER = RegisterFacility(entry=facility_entry("fac-001"))
MAINTENANCE = StartMaintenance(facility_id="fac-001", reason="boiler")


def bus_over(store: FakeEventStore) -> CommandBus:
    return CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook())


def saved_events(store: FakeEventStore) -> dict[str, str]:
    """Span id -> topic of each saved domain event."""
    return {
        span_id_of(entry.domain_event.domain_event_id): f"save {entry.topic}"
        for entry in store.read_after(0, 1_000)
    }


def test_a_command_is_a_child_of_the_work_that_gives_it_and_each_saved_domain_event_is_its_child() -> None:
    store = FakeEventStore()
    with recorded_spans() as recorder:
        with traced("POST /x", TRACE, kind="server") as request:
            assert request is not None
            bus_over(store).handle(REGISTER, replace(CONTEXT, given_in=recorded_span()))
        command = recorder.named("command RegisterFacility")
        assert command.parent_id == request.span_id
        saves = {span.span_id: span.name for span in recorder.spans if span.parent_id == command.span_id}
    assert saves == saved_events(store) != {}
    assert {span.trace_id for span in recorder.spans} == {TRACE}


def test_a_command_that_follows_a_domain_event_in_another_process_is_a_child_of_its_save() -> None:
    store = FakeEventStore()
    with recorded_spans() as recorder:
        bus_over(store).handle(REGISTER, CONTEXT)
        cause = store.read_after(0, 1)[0].domain_event.domain_event_id
        bus_over(store).handle(MAINTENANCE, replace(CONTEXT, causation_id=cause))
        parent = recorder.named("command StartMaintenance").parent_id
    assert parent in {span.span_id for span in recorder.spans if span.name.startswith("save ")}


def test_commands_of_one_batch_have_their_own_parents() -> None:
    store = FakeEventStore()
    bus_over(store).handle(REGISTER, CONTEXT)

    async def give(batcher: CommandBatcher, facility_id: str, trace_id: str) -> None:
        command = RegisterFacility(entry=facility_entry(facility_id))
        with traced(facility_id, trace_id):
            await batcher.handle(command, replace(CONTEXT, trace_id=trace_id, given_in=recorded_span()))

    async def scenario() -> None:
        batcher = CommandBatcher(bus_over(store))
        await asyncio.gather(*(give(batcher, *one) for one in (("a", TRACE), ("b", OTHER), ("c", TRACE))))

    with recorded_spans() as recorder:
        asyncio.run(scenario())
    by_id = {span.span_id: span for span in recorder.spans}
    commands = [span for span in recorder.spans if span.name == "command RegisterFacility"]
    assert len(commands) == 3
    parents = [by_id[str(span.parent_id)] for span in commands]
    assert {parent.name for parent in parents} == {"a", "b", "c"}
    assert all(parent.trace_id == span.trace_id for parent, span in zip(parents, commands, strict=True))
    saves = [span for span in recorder.spans if span.name.startswith("save ")]
    assert {span.parent_id for span in saves} == {span.span_id for span in commands}


def test_a_refused_command_is_an_error_by_its_type_and_saves_nothing() -> None:
    with recorded_spans() as recorder:
        bus = bus_over(FakeEventStore())
        with pytest.raises(UnknownFacility):
            bus.handle(MAINTENANCE, CONTEXT)
        [outcome] = bus.handle_all([CommandRequest(MAINTENANCE, CONTEXT)])
    assert isinstance(outcome.error, UnknownFacility)
    assert [span.error for span in recorder.spans] == ["UnknownFacility"] * 2


def test_of_several_attempts_at_what_happens_once_only_the_successful_one_has_its_id() -> None:
    def publish(*, fails: bool) -> None:
        with traced("publish", TRACE, span_id="1" * 16):
            if fails:
                raise ConnectionError

    with recorded_spans() as recorder:
        with pytest.raises(ConnectionError):
            publish(fails=True)
        publish(fails=False)
    failed, done = recorder.spans
    assert (failed.error, done.error) == ("ConnectionError", None)
    assert done.span_id == "1" * 16 != failed.span_id


def test_an_inner_span_belongs_to_the_work_around_it_and_is_nothing_outside_of_it() -> None:
    with recorded_spans() as recorder:
        with inner_span("SOAP Prepare"):
            assert outgoing_traceparent() is None
        with traced("bms command", TRACE) as work, inner_span("SOAP Prepare", facility="fac-001"):
            sent = outgoing_traceparent()
    assert work is not None
    inner = recorder.named("SOAP Prepare")
    assert (inner.parent_id, inner.attributes) == (work.span_id, {"gridproof.facility": "fac-001"})
    assert str(sent) == f"00-{TRACE}-{inner.span_id}-01"


@pytest.mark.parametrize("samples", [None, False])
def test_without_a_recorder_or_in_an_unsampled_trace_calls_still_carry_the_trace(
    samples: bool | None,
) -> None:
    def sent() -> str:
        with traced("POST callback", TRACE, parent_id="2" * 16) as span:
            assert span is None
            return str(outgoing_traceparent())

    if samples is None:
        assert sent() == f"00-{TRACE}-{'2' * 16}-01"
        return
    with recorded_spans(samples=samples) as recorder:
        assert sent() == f"00-{TRACE}-{'2' * 16}-01"
        bus_over(FakeEventStore()).handle(REGISTER, CONTEXT)
    assert recorder.spans == []


def test_log_lines_name_what_is_handled_and_nothing_of_it_afterwards() -> None:
    with logged(OTHER), traced("bms command", TRACE, dr_event=DR_EVENT, facility="fac-001"):
        said = get_contextvars()
    assert said == {"trace_id": TRACE, "dr_event": str(DR_EVENT), "facility": "fac-001"}
    assert get_contextvars() == {}


def test_a_batch_does_not_name_the_work_of_the_caller_that_began_it() -> None:
    async def answers(requests: Sequence[int]) -> list[dict[str, object]]:
        return [get_contextvars() | {"span": recorded_span()} for _ in requests]

    async def scenario() -> dict[str, object]:
        batcher = AsyncBatcher[int, dict[str, object]](answers)
        with traced("one caller", TRACE):
            return await batcher.get(1)

    with recorded_spans():
        assert asyncio.run(scenario()) == {"span": None}


def test_a_span_holds_no_text_of_a_command() -> None:
    """Reasons are people's words, and addresses may hold secrets."""
    with recorded_spans() as recorder:
        bus = bus_over(FakeEventStore())
        bus.handle(REGISTER, CONTEXT)
        bus.handle(MAINTENANCE, CONTEXT)
    assert "boiler" not in str(recorder.spans)
    assert REGISTER.entry.bms.address not in str(recorder.spans)
    assert {key for span in recorder.spans for key in span.attributes} == {"gridproof.facility"}
    assert all(isinstance(span, Span) for span in recorder.spans)
