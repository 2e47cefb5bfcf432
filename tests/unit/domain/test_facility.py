"""A facility serves one DR event at a time."""

from contextlib import nullcontext
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from domain.errors import FacilityNotAvailable, NotAllowedNow, ReasonRequired
from domain.facility import Facility, Reservation
from tests.sample_values import ENDS_AT, STARTS_AT, provenance

ONE, TWO = UUID(int=1), UUID(int=2)
HOUR, INSTANT = timedelta(hours=1), timedelta(microseconds=1)


@pytest.fixture
def facility() -> Facility:
    return Facility.register(
        provenance(), facility_id="fac-001", tz="UTC", latitude=1.0, longitude=2.0, weather_cell="c"
    )


def reserve(facility: Facility, dr_event_id: UUID, starts_at: datetime, ends_at: datetime) -> None:
    facility.reserve(
        provenance(),
        Reservation(dr_event_id=dr_event_id, starts_at=starts_at, ends_at=ends_at, prepared_from=starts_at),
    )


@pytest.mark.parametrize(
    ("starts_at", "ends_at"),
    [
        (STARTS_AT, ENDS_AT),
        (STARTS_AT - HOUR, STARTS_AT + INSTANT),
        (ENDS_AT - INSTANT, ENDS_AT + HOUR),
        (STARTS_AT - HOUR, ENDS_AT + HOUR),
        (STARTS_AT + INSTANT, ENDS_AT - INSTANT),
    ],
)
def test_an_overlapping_reservation_is_refused(
    facility: Facility, starts_at: datetime, ends_at: datetime
) -> None:
    reserve(facility, ONE, STARTS_AT, ENDS_AT)
    with pytest.raises(FacilityNotAvailable, match=f"fac-001 serves DR event {ONE}"):
        reserve(facility, TWO, starts_at, ends_at)
    assert set(facility.state.reservations) == {str(ONE)}


@pytest.mark.parametrize(
    ("lead_min", "gap_min", "is_free"), [(0, 0, False), (0, 5, True), (10, 14, False), (10, 15, True)]
)
def test_a_building_is_restored_before_it_is_prepared_for_the_next(
    facility: Facility, lead_min: int, gap_min: int, is_free: bool
) -> None:
    lead, gap = timedelta(minutes=lead_min), timedelta(minutes=gap_min)

    def reserve_hour(dr_event_id: UUID, starts_at: datetime) -> None:
        facility.reserve(
            provenance(),
            Reservation(
                dr_event_id=dr_event_id,
                prepared_from=starts_at - lead,
                starts_at=starts_at,
                ends_at=starts_at + HOUR,
            ),
        )

    reserve_hour(ONE, STARTS_AT)
    refused = pytest.raises(FacilityNotAvailable, match=f"fac-001 serves DR event {ONE}")
    for two, starts_at in ((TWO, STARTS_AT + HOUR + gap), (UUID(int=3), STARTS_AT - gap - HOUR)):
        with nullcontext() if is_free else refused:
            reserve_hour(two, starts_at)
    assert len(facility.state.reservations) == (3 if is_free else 1)


@pytest.mark.parametrize("status", ["maintenance", "deactivated"])
def test_a_facility_that_is_not_active_cannot_be_reserved(facility: Facility, status: str) -> None:
    if status == "maintenance":
        facility.start_maintenance(provenance(), reason="boiler")
    else:
        facility.deactivate(provenance(), reason="sold")
    with pytest.raises(FacilityNotAvailable, match=f"fac-001 is {status}"):
        reserve(facility, ONE, STARTS_AT, ENDS_AT)


@pytest.mark.parametrize("served", [True, False])
def test_only_served_dr_events_count_against_the_limits(facility: Facility, served: bool) -> None:
    reserve(facility, ONE, STARTS_AT, ENDS_AT)
    facility.release(provenance(), dr_event_id=ONE, served=served)
    assert facility.state.reservations == {}
    assert facility.state.served == ({str(ONE): STARTS_AT} if served else {})


def test_a_repeated_release_or_one_without_a_reservation_records_nothing(facility: Facility) -> None:
    reserve(facility, ONE, STARTS_AT, ENDS_AT)
    facility.release(provenance(), dr_event_id=ONE, served=True)
    version = facility.version
    facility.release(provenance(), dr_event_id=ONE, served=False)
    facility.release(provenance(), dr_event_id=TWO, served=True)
    assert facility.version == version
    assert facility.state.served == {str(ONE): STARTS_AT}


def test_a_release_records_the_window_of_the_reservation(facility: Facility) -> None:
    reserve(facility, ONE, STARTS_AT, ENDS_AT)
    facility.release(provenance(), dr_event_id=ONE, served=True)
    released = list(facility.collect_events())[-1]
    assert isinstance(released, Facility.Released)
    assert (released.starts_at, released.ends_at, released.served) == (STARTS_AT, ENDS_AT, True)


def test_a_deactivated_facility_has_no_maintenance(facility: Facility) -> None:
    facility.deactivate(provenance(), reason="sold")
    facility.deactivate(provenance(), reason="sold again")
    facility.end_maintenance(provenance())
    with pytest.raises(NotAllowedNow, match="reactivate it first"):
        facility.start_maintenance(provenance(), reason="boiler")
    assert (facility.version, facility.state.status) == (2, "deactivated")


def test_a_reason_is_required(facility: Facility) -> None:
    for act in (facility.start_maintenance, facility.deactivate):
        with pytest.raises(ReasonRequired):
            act(provenance(), reason=" \n")
    assert facility.version == 1


def serve_daily(facility: Facility, days: int) -> list[UUID]:
    """The ids of DR events that it serves, one a day."""
    ids = [UUID(int=day + 1) for day in range(days)]
    for day, dr_event_id in enumerate(ids):
        starts_at = STARTS_AT + timedelta(days=day)
        facility.reserve(
            provenance(starts_at),
            Reservation(
                dr_event_id=dr_event_id,
                starts_at=starts_at,
                ends_at=starts_at + HOUR,
                prepared_from=starts_at,
            ),
        )
        facility.release(provenance(starts_at + HOUR), dr_event_id=dr_event_id, served=True)
    return ids


def test_dr_events_of_the_last_800_days_count(facility: Facility) -> None:
    ids = serve_daily(facility, 1_000)
    state = facility.state
    assert set(state.served) == set(state.served_until) == {str(one) for one in ids[-801:]}


def test_a_dr_event_without_a_restore_counts_for_good(facility: Facility) -> None:
    reserve(facility, TWO, STARTS_AT, ENDS_AT)
    facility.await_restore(provenance(), dr_event_id=TWO)
    facility.release(provenance(), dr_event_id=TWO, served=True)
    later = STARTS_AT + timedelta(days=2_000)
    facility.reserve(
        provenance(later),
        Reservation(dr_event_id=ONE, starts_at=later, ends_at=later + HOUR, prepared_from=later),
    )
    assert set(facility.state.served) == {str(ONE), str(TWO)}
