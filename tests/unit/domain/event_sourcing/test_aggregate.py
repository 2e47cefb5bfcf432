"""The base of aggregates: complete provenance, state as one struct, deterministic ids."""

from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from domain.errors import DomainError
from domain.event_sourcing.aggregate import domain_event_id
from domain.facility import Facility
from tests.sample_values import NOW, provenance


def registered() -> Facility:
    return Facility.register(
        provenance(), facility_id="fac-001", tz="UTC", latitude=1.0, longitude=2.0, weather_cell="c"
    )


def test_the_id_of_a_domain_event_follows_from_its_stream_and_version() -> None:
    stream = UUID(int=5)
    assert domain_event_id(stream, 3) == uuid5(stream, "3")
    [creation] = registered().collect_events()
    assert creation.domain_event_id == domain_event_id(creation.originator_id, 1)  # type: ignore[attr-defined]


def test_every_domain_event_has_its_complete_provenance() -> None:
    facility = registered()
    later = provenance(NOW + timedelta(minutes=3))
    facility.start_maintenance(later, reason="boiler")
    creation, started = facility.collect_events()
    for recorded, given in ((creation, provenance()), (started, later)):
        for name in ("correlation_id", "causation_id", "actor", "tenant", "trace_id", "recorded_at"):
            assert getattr(recorded, name) == getattr(given, name)


def test_the_timestamp_comes_from_the_provenance_and_not_from_a_clock() -> None:
    facility = registered()
    assert (facility.created_on, facility.modified_on) == (NOW, NOW)
    facility.start_maintenance(provenance(NOW - timedelta(days=900)), reason="boiler")
    assert facility.modified_on == NOW - timedelta(days=900)


def test_the_state_is_an_immutable_value() -> None:
    facility = registered()
    before = facility.state
    facility.start_maintenance(provenance(), reason="boiler")
    assert (before.status, facility.state.status) == ("active", "maintenance")
    with pytest.raises(AttributeError):
        before.status = "deactivated"  # type: ignore[misc]


def test_every_domain_error_has_its_own_code() -> None:
    kinds = DomainError.__subclasses__()
    codes = [kind.code for kind in kinds]
    assert len(kinds) > 6
    assert len(set(codes)) == len(codes)
    assert DomainError.code not in codes
