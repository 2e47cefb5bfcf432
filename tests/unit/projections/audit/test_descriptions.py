"""Every domain event of a DR event has a description for people."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.dispatch import Dispatch
from domain.dr_event import DREvent, EventPrice
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from projections.audit.descriptions import DESCRIPTIONS, description_of, reason_of, topic_of
from tests.property.projections.projected_logs import long_life
from tests.sample_values import STARTS_AT


def _own(aggregate: type) -> set[type[DomainEvent]]:
    return {
        kind
        for kind in vars(aggregate).values()
        if isinstance(kind, type)
        and issubclass(kind, DomainEvent)
        and kind.__name__ not in {"Event", "Created"}
    }


def _name(kind: object) -> str:
    return str(kind).partition("'")[2].partition("'")[0]


OF_FACILITY = {Facility.Reserved, Facility.Released, Facility.RestoreAwaited, Facility.RestoreConfirmed}
STORY = _own(DREvent) | _own(Dispatch) | OF_FACILITY


_seeds = iter(range(200))
_examples: dict[type, DomainEvent] = {}


def example(kind: type) -> DomainEvent:
    """A domain event of that kind from a walk of the portfolio. Raises StopIteration if none of 200 walks has one."""
    while kind not in _examples:
        for entry in long_life(next(_seeds)):
            _examples.setdefault(type(entry.domain_event), entry.domain_event)
    return _examples[kind]


def test_the_table_has_every_domain_event_of_a_dr_event_and_no_other() -> None:
    assert set(DESCRIPTIONS) == STORY


@pytest.mark.parametrize("kind", sorted(STORY, key=_name), ids=_name)
def test_a_description_is_readable_and_names_the_facility(kind: type[DomainEvent]) -> None:
    sentence = description_of(example(kind), "fac-007")
    assert sentence != topic_of(example(kind))
    assert len(sentence) > 10
    assert "None" not in sentence
    assert "datetime" not in sentence
    if not issubclass(kind, DREvent.Event):
        assert "fac-007" in sentence or kind is Dispatch.BmsCommandReissued


@pytest.mark.parametrize(
    "kind",
    sorted((kind for kind in STORY if "reason" in kind.__struct_fields__), key=_name),
    ids=_name,
)
def test_the_stated_reason_of_a_domain_event_is_in_its_explanation(kind: type[DomainEvent]) -> None:
    given = example(kind)
    stated = getattr(given, "reason")  # noqa: B009  # only some kinds have one
    why = reason_of(given)
    if stated is None:
        assert why is None
        return
    assert why is not None
    assert str(stated) in why


def test_a_refusal_lists_every_reason() -> None:
    rejected = example(DREvent.Rejected)
    assert reason_of(rejected) == "facility_in_maintenance (fac-001): a new chiller"


def test_a_domain_event_without_a_description_is_described_by_its_topic() -> None:
    registered = example(Facility.Registered)
    assert description_of(registered, None) == "facility.registered.v1"


def test_kind_and_prices_are_described_where_the_utility_gave_them() -> None:
    accepted = example(DREvent.Accepted)
    plain = description_of(accepted, "")
    prices = tuple(EventPrice(starts_at=STARTS_AT + timedelta(hours=n), per_kwh=f"0.0{n}") for n in range(6))
    assert "per kWh" not in plain
    priced = description_of(replace(accepted, kind="test", prices=prices[:1]), "")
    assert priced == f"{plain}; kind test; per kWh 0.00 at 2026-07-14 21:00:00Z"
    assert description_of(replace(accepted, prices=prices), "").endswith("00:00:00Z and 2 more prices")


def test_a_modification_tells_its_prices_too() -> None:
    changed = replace(example(DREvent.Modified), prices=(EventPrice(starts_at=STARTS_AT, per_kwh="-1"),))
    assert description_of(changed, "").endswith("; per kWh -1 at 2026-07-14 21:00:00Z")
