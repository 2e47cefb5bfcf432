"""The origins of numbers that are given again with an equal value."""

from domain.dr_event import DREvent, Reason
from projections.as_of.number_origins import dr_event_number_origins
from projections.audit.stream_log import StreamEntry
from tests.fakes.stream_log import FakeStreamLog
from tests.sample_values import DR_EVENT_ID, UTILITY, UTILITY_EVENT, notice, provenance


def origins(dr_event: DREvent, *, until: int | None = None) -> dict[str, tuple[str, int]]:
    happened = (one for one in dr_event.pending_events if isinstance(one, DREvent.Event))
    log = FakeStreamLog(StreamEntry(position, one) for position, one in enumerate(happened, start=1))
    found = dr_event_number_origins(log, DR_EVENT_ID, until)
    return {number.name: (number.origin.topic, number.origin.position) for number in found}


def test_the_target_comes_from_the_notice_in_force_though_a_rejected_one_named_it_before() -> None:
    dr_event = DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=UTILITY_EVENT)
    reason = Reason(code="notice_too_short", detail="ten minutes are agreed")
    dr_event.reject(provenance(), notice=notice(), reasons=(reason,))
    dr_event.accept(
        provenance(),
        notice=notice(notification_id="n-2"),
        program_version=1,
        capacity_kw=300.0,
        capacity_source="forecast",
        shortfall_kw=0.0,
    )
    assert origins(dr_event, until=1) == {}
    assert origins(dr_event, until=2) == {"target_kw": ("dr-event.rejected.v1", 2)}
    assert origins(dr_event) == {
        "target_kw": ("dr-event.accepted.v1", 3),
        "capacity_kw": ("dr-event.accepted.v1", 3),
    }
