"""The performance and the callbacks of a DR event, over the real projections of a generated log."""

from typing import Any

import msgspec
import pytest

from interfaces.web.api.dr_event.performance import FacilityPerformanceDocument, PerformanceDocument
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk
from tests.unit.interfaces.web.edge import Edge, problem_of


class Measured:
    """A measured DR event, and an edge that shows it."""

    def __init__(self) -> None:
        walk = PortfolioWalk()
        self.dr_event = walk.happy()
        walk._tell(self.dr_event, 0)
        walk._tell(self.dr_event, 0)
        self.entries = walk.entries
        self.edge = Edge(others={"stream_log": FakeStreamLog(walk.entries)})
        self.models = FakeReadModels(walk.entries)
        self.edge.read_models = self.models  # type: ignore[assignment]

    def read(self, path: str, key: dict[str, str] | None = None) -> Any:
        key = key or self.edge.key("dashboard")
        with self.edge.client() as client:
            return client.get(f"/api/dr-events/{self.dr_event.id}/{path}", headers=key)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured()


def test_a_performance_has_the_requested_and_the_delivered_power_in_total_and_by_facility(
    measured: Measured,
) -> None:
    document = measured.read("performance").json()
    row = measured.models.dr_events.get(measured.dr_event.id.hex) or measured.models.dr_events.get(
        str(measured.dr_event.id)
    )
    assert row is not None
    assert row.delivered_kw is not None
    assert document["delivered_kw"] == row.delivered_kw
    assert document["delivered_share"] == pytest.approx(row.delivered_kw / row.target_kw)
    assert document["batch"]["asked"] == len(document["items"])
    for item in document["items"]:
        assert item["delivered_share"] == pytest.approx(item["delivered_kw"] / item["target_kw"])
        assert item["measurement"]["baseline_method"]
        assert {"uncertainty", "expected_error"} <= item["measurement"].keys()


def test_what_could_not_be_measured_is_null_in_the_performance_and_the_dr_event() -> None:
    walk = PortfolioWalk()
    dr_event = walk.happy(measurable=False)
    edge = Edge(others={"stream_log": FakeStreamLog(walk.entries)})
    edge.read_models = FakeReadModels(walk.entries)  # type: ignore[assignment]
    with edge.client() as client:
        key = edge.key("dashboard")
        performance = client.get(f"/api/dr-events/{dr_event.id}/performance", headers=key).json()
        document = client.get(f"/api/dr-events/{dr_event.id}", headers=key).json()
        portfolio = client.get("/api/portfolio", headers=key).json()
    for found in (performance, document):
        assert (found["delivered_kw"], found["settlement_status"]) == (None, "not_measurable")
        assert found["measured_facilities"] == 0
        assert found["unmeasured_reasons"] == {"too few days": 3}
    assert performance["delivered_share"] is None
    assert portfolio["last_delivered_kw"] is None
    assert portfolio["last_measured_dr_event"] == str(dr_event.id)


def test_a_performance_document_matches_its_schema(measured: Measured) -> None:
    """Constructors of msgspec do not check types: a row in place of its document would lack the computed fields."""
    whole = msgspec.convert(measured.read("performance").json(), PerformanceDocument)
    assert whole.batch is not None
    assert whole.batch.partial_success is False
    one = measured.read(f"performance/{whole.items[0].facility_id}").json()
    assert msgspec.convert(one, FacilityPerformanceDocument).measurement == whole.items[0].measurement


def test_a_facilitys_performance_has_the_intervals_of_its_measurement(measured: Measured) -> None:
    first = measured.read("performance").json()["items"][0]
    document = measured.read(f"performance/{first['facility_id']}").json()
    assert {name: document[name] for name in first} == first
    assert len(document["intervals"]) == first["measurement"]["intervals"] > 0
    assert {"starts_at", "baseline_kw", "adjusted_kw", "metered_kw", "delivered_kw"} == set(
        document["intervals"][0]
    )


def test_the_performance_of_a_facility_that_takes_no_part_is_answered_404(measured: Measured) -> None:
    assert problem_of(measured.read("performance/fac-nowhere"))["status"] == 404


def test_callbacks_show_their_final_state(measured: Measured) -> None:
    (told,) = measured.read("callbacks").json()["items"]
    assert (told["kind"], told["state"], told["attempts"]) == ("started", "delivered", 2)
    assert told["requested_at"] <= told["concluded_at"]


@pytest.mark.parametrize("path", ["performance", "performance/fac-001", "callbacks"])
def test_a_utility_sees_only_its_own_dr_events(measured: Measured, path: str) -> None:
    own = measured.dr_event.state.utility_id
    assert measured.read(path, measured.edge.key("utility", utility=own)).status_code == 200
    other = measured.read(path, measured.edge.key("utility", utility="somebody-else"))
    assert problem_of(other)["status"] == 404
