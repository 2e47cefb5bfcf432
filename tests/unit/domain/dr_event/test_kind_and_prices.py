"""The kind and the prices of a DR event: recorded with the notice, and changed without another plan."""

import json
from datetime import timedelta

import pytest

from application.event_store.event_mapper import decode_domain_event, encode_state
from domain.dr_event import DREvent, EventPrice
from domain.errors import NotAllowedNow
from tests.sample_values import STARTS_AT, notice, provenance
from tests.state_walks import DREventWalk, dr_event_walk

PRICES = (
    EventPrice(starts_at=STARTS_AT, per_kwh="0.08123"),
    EventPrice(starts_at=STARTS_AT + timedelta(hours=1), per_kwh="-0.0100"),
)
TO_COMPLETED = ("accept", "schedule", "prepare_due", "start_due", "end_due", "complete")


def walked(*steps: str) -> DREventWalk:
    walk = dr_event_walk()
    for step in steps:
        walk.take(step)
    return walk


def repriced(walk: DREventWalk, number: int = 1, kind: str = "event") -> DREvent:
    walk.aggregate.reprice(provenance(), notice=notice(modification_number=number), kind=kind, prices=PRICES)
    return walk.aggregate


def test_a_dr_event_without_kind_and_prices_is_an_event_without_prices() -> None:
    state = walked("accept").aggregate.state
    assert (state.kind, state.prices) == ("event", ())


def test_prices_keep_the_digits_that_the_utility_sent() -> None:
    dr_event = repriced(walked("accept"))
    [recorded] = [e for e in dr_event.pending_events if isinstance(e, DREvent.Modified)]
    again = decode_domain_event(
        DREvent.Modified.TOPIC, dr_event.id, recorded.originator_version, encode_state(recorded)
    )
    assert again == recorded
    assert dr_event.state.prices == PRICES


@pytest.mark.parametrize("place", [1, 2])
def test_what_was_recorded_before_kinds_and_prices_reads_as_an_event_without_prices(place: int) -> None:
    recorded = walked("accept", "modify").recorded[place]
    assert isinstance(recorded, DREvent.Accepted | DREvent.Modified)
    older = json.loads(encode_state(recorded))
    del older["kind"], older["prices"]
    read = decode_domain_event(
        recorded.TOPIC, recorded.originator_id, recorded.originator_version, json.dumps(older).encode()
    )
    assert read == recorded


def test_other_prices_leave_the_plan_as_it_is() -> None:
    before = walked("accept", "schedule", "prepare_due", "start_due")
    dr_event = repriced(before)
    assert not dr_event.state.plan_outdated
    assert dr_event.state.modification_number == 1


def test_the_prices_of_an_outdated_plan_leave_it_outdated() -> None:
    assert repriced(walked("accept", "schedule", "modify"), number=2).state.plan_outdated


def test_the_same_notice_with_a_higher_number_is_still_planned_anew() -> None:
    assert walked("accept", "schedule", "modify").aggregate.state.plan_outdated


def test_prices_may_come_after_the_end() -> None:
    state = repriced(walked(*TO_COMPLETED)).state
    assert (state.status, state.prices, state.plan_outdated) == ("completed", PRICES, False)


def test_the_kind_stays_after_the_end() -> None:
    with pytest.raises(NotAllowedNow, match="is completed: only its prices can change"):
        repriced(walked(*TO_COMPLETED), kind="test")


def test_another_request_is_no_change_of_prices() -> None:
    with pytest.raises(NotAllowedNow, match="was requested otherwise"):
        walked("accept").aggregate.reprice(
            provenance(), notice=notice(modification_number=1, target_kw=1.0), kind="event", prices=PRICES
        )
