"""A DR event; which command is allowed in which state is tested in tests/property/dispatch/test_state_machine.py."""

from typing import Any
from uuid import UUID

import pytest

from domain.dr_event import Batch, DREvent
from domain.errors import NotAllowedNow, ReasonRequired
from domain.identifiers import callback_id, dr_event_id
from tests.sample_values import UTILITY, UTILITY_EVENT, notice, provenance
from tests.state_walks import DREventWalk, dr_event_walk


def walked(*steps: str) -> DREventWalk:
    walk = dr_event_walk()
    for step in steps:
        walk.take(step)
    return walk


TO_RECOVERING = ("accept", "schedule", "prepare_due", "start_due", "end_due")


def test_a_repeated_notification_has_the_same_stream() -> None:
    assert walked().aggregate.id == dr_event_id(UTILITY, UTILITY_EVENT)


@pytest.mark.parametrize(
    ("committed", "failed", "outcome"),
    [(3, 0, "full"), (2, 1, "partial"), (1, 2, "partial"), (0, 3, "failed")],
)
def test_the_outcome_follows_from_the_facilities_that_served(
    committed: int, failed: int, outcome: str
) -> None:
    dr_event = walked(*TO_RECOVERING).aggregate
    batch = Batch(asked=3, prepared=3, committed=committed, failed=failed, restored=committed)
    dr_event.complete(provenance(), batch=batch, failed_facilities=())
    assert (dr_event.state.outcome, dr_event.state.batch) == (outcome, batch)


def test_later_domain_events_name_the_facilities_of_the_plan() -> None:
    walk = walked(*TO_RECOVERING)
    named = [e.facility_ids for e in walk.recorded if hasattr(e, "facility_ids")]
    assert named == [("fac-001", "fac-002")] * 3


def test_a_refusal_names_the_allowed_states() -> None:
    with pytest.raises(
        NotAllowedNow, match="is accepted and cannot be judged; allowed when opened, rejected"
    ):
        walked("accept", "accept")


def test_a_rejection_names_its_reasons() -> None:
    with pytest.raises(ReasonRequired):
        walked().aggregate.reject(provenance(), notice=notice(), reasons=())


def test_a_dr_event_that_was_not_judged_has_no_notice() -> None:
    with pytest.raises(NotAllowedNow, match="was not judged yet"):
        _ = walked().aggregate.state.judged_notice


def test_a_utility_without_an_address_gets_no_callback() -> None:
    dr_event = walked().aggregate
    dr_event.request_callback(provenance(), kind="accepted", body="{}")
    acceptance: dict[str, Any] = {
        "notice": notice(callback_url=None),
        "program_version": 1,
        "capacity_kw": 1.0,
        "capacity_source": "declared",
        "shortfall_kw": 0.0,
    }
    dr_event.accept(provenance(), **acceptance)
    dr_event.request_callback(provenance(), kind="accepted", body="{}")
    assert not [e for e in dr_event.collect_events() if isinstance(e, DREvent.CallbackRequested)]


def test_two_occasions_for_the_same_callback_give_two_callbacks() -> None:
    """Rejected, judged again and rejected again: each rejection gives a callback."""
    walk = walked("reject")
    dr_event = walk.aggregate
    found: list[UUID] = []
    for _ in range(2):
        dr_event.request_callback(provenance(), kind="rejected", body="{}")
        requested = list(dr_event.collect_events())[-1]
        assert isinstance(requested, DREvent.CallbackRequested)
        assert requested.callback_id == callback_id(dr_event.id, "rejected", requested.originator_version - 1)
        found.append(requested.callback_id)
        walk.take("reject")
    assert len(set(found)) == 2
    assert set(dr_event.state.callbacks.values()) == {"requested"}
