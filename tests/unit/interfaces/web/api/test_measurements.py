"""Each number of a DR event with the domain event that it comes from, over the real projections of a generated log."""

from datetime import date
from typing import Any

import msgspec
import pytest
from eventsourcing.utils import resolve_topic

from domain.baseline import SkippedDay
from interfaces.web.api.dr_event.measurements import (
    FacilityMeasurementDocument,
    MeasurementsDocument,
    _for_utility,
)
from interfaces.web.authentication.concurrency_limit import TenantConcurrencyLimit
from tests.measured_figures import figures
from tests.unit.interfaces.web.api.test_performance import Measured
from tests.unit.interfaces.web.edge import problem_of


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured()


def numbers(items: list[dict[str, Any]]) -> dict[str, float]:
    return {item["name"]: item["value"] for item in items}


def test_the_numbers_are_those_of_the_performance(measured: Measured) -> None:
    document = measured.read("measurements").json()
    msgspec.convert(document, MeasurementsDocument)
    performance = measured.read("performance").json()
    assert numbers(document["numbers"])["delivered_kw"] == performance["delivered_kw"]
    assert numbers(document["numbers"])["target_kw"] == performance["target_kw"]
    assert numbers(document["numbers"])["committed"] == performance["batch"]["committed"]
    for item, part in zip(document["items"], performance["items"], strict=True):
        own = numbers(item["numbers"])
        assert item["facility_id"] == part["facility_id"]
        assert own["delivered_kw"] == part["delivered_kw"]
        assert own["coverage_pct"] == part["measurement"]["coverage_pct"]


def test_the_origin_of_a_number_is_the_domain_event_that_gave_it_that_value(measured: Measured) -> None:
    document = measured.read("measurements").json()
    entries = {entry.position: entry for entry in measured.entries}
    for number in [*document["numbers"], *document["items"][0]["numbers"]]:
        entry = entries[number["origin"]["position"]]
        assert isinstance(entry.domain_event, resolve_topic(number["origin"]["topic"]))
        before = measured.read(f"measurements?as_of={entry.position - 1}")
        then = measured.read(f"measurements?as_of={entry.position}").json()
        told = {*_facts(then["numbers"]), *(f for item in then["items"] for f in _facts(item["numbers"]))}
        assert (number["name"], number["value"]) in told
        if before.status_code == 200:
            assert number not in [
                *before.json()["numbers"],
                *(n for item in before.json()["items"] for n in item["numbers"]),
            ]


def test_a_key_of_one_facility_sees_the_numbers_of_that_facility_only(measured: Measured) -> None:
    own = measured.read("measurements").json()["items"][0]["facility_id"]
    document = measured.read("measurements", measured.edge.key("dashboard", facility=own)).json()
    assert (document["numbers"], [item["facility_id"] for item in document["items"]]) == ([], [own])


def test_a_utility_sees_its_own_dr_event_only(measured: Measured) -> None:
    utility = measured.dr_event.state.utility_id
    own = measured.read("measurements", measured.edge.key("utility", utility=utility))
    assert own.status_code == 200
    positions = {number["origin"]["position"] for number in own.json()["numbers"]}
    assert positions == {None}, "a position tells how much others have recorded"
    other = measured.read("measurements", measured.edge.key("utility", utility="somebody-else"))
    assert problem_of(other)["status"] == 404


def test_a_facilitys_measurement_has_every_recorded_figure_and_its_domain_event(measured: Measured) -> None:
    first = measured.read("measurements").json()["items"][0]
    document = measured.read(f"measurements/{first['facility_id']}").json()
    found = msgspec.convert(document, FacilityMeasurementDocument)
    assert document["numbers"] == first["numbers"]
    assert found.figures is not None
    assert found.figures.delivered_kw == numbers(first["numbers"])["delivered_kw"]
    (revision,) = found.revisions
    (number,) = [n for n in found.numbers if n.name == "delivered_kw"]
    assert revision.origin == number.origin
    assert revision.delivered_kw == found.figures.delivered_kw
    assert revision.origin.position is not None
    before = measured.read(f"measurements/{first['facility_id']}?as_of={revision.origin.position - 1}").json()
    assert (before["figures"], before["revisions"]) == (None, [])


def test_a_key_of_one_facility_reads_no_measurement_of_another(measured: Measured) -> None:
    own, other = (item["facility_id"] for item in measured.read("measurements").json()["items"][:2])
    key = measured.edge.key("dashboard", facility=own)
    assert measured.read(f"measurements/{own}", key).json()["facility_id"] == own
    assert problem_of(measured.read(f"measurements/{other}", key))["status"] == 404


def test_a_utility_learns_of_no_day_on_which_the_facility_served_another_dr_event() -> None:
    shown = _for_utility(
        figures(
            skipped=(SkippedDay(date(2026, 7, 13), "dr_event_day"), SkippedDay(date(2026, 7, 3), "holiday")),
            dr_event_days=(date(2026, 7, 13),),
        )
    )
    assert [day.why for day in shown.skipped] == ["holiday"]
    assert shown.dr_event_days == ()


def test_the_reads_of_a_tenant_are_one_limited_call_each(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of up to a hundred facilities are folded from the log for the present too."""
    limited, run = list[str](), TenantConcurrencyLimit.run

    async def noted(self: TenantConcurrencyLimit, tenant: str, call: Any) -> Any:
        limited.append(tenant)
        return await run(self, tenant, call)

    monkeypatch.setattr(TenantConcurrencyLimit, "run", noted)
    utility = measured.dr_event.state.utility_id
    key = measured.edge.key("utility", utility=utility)
    for path in ("measurements", "measurements/fac-001"):
        assert measured.read(path, key).status_code == 200
    assert limited == [utility] * 2


def _facts(items: list[dict[str, Any]]) -> set[tuple[str, float]]:
    return {(item["name"], item["value"]) for item in items}
