"""What-if in money over HTTP: a settlement beside a hypothetical one."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from application.commands.program import AgreeProgram
from domain.program.settlement_rule import Energy
from interfaces.web.api.dr_event import what_if
from tests.fakes.public_holidays import FakePublicHolidays
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, STARTS_AT, UTILITY, program_entry
from tests.settled_log import RULE, entries_of, readings, settled_system
from tests.settled_system import completed, corrected_to, measured
from tests.unit.interfaces.web.edge import Edge, codes_of, problem_of

PATH = f"/api/dr-events/{DR_EVENT_ID}/what-if"
DOUBLE = {"schema": "settlement-rule/1", "currency": "USD", "energy": {"rate": "3.00"}}


class Api(NamedTuple):
    client: TestClient[Litestar]
    edge: Edge

    def ask(self, body: Any, *, key: dict[str, str] | None = None) -> Any:
        return self.client.post(PATH, json=body, headers=key or self.edge.key("operator"))

    def answer(self, body: Any, **others: Any) -> Any:
        response = self.ask(body, **others)
        assert response.status_code == 200, response.text
        return response.json()

    def refusal(self, body: Any, **others: Any) -> tuple[int, list[str], str]:
        document = problem_of(self.ask(body, **others))
        return document["status"], codes_of(document), document["detail"]


def api_over(there: InProcessSystem, telemetry: FakeTelemetryStore | None = None) -> Edge:
    entries = entries_of(there)
    edge = Edge(
        others={
            "stream_log": FakeStreamLog(entries),
            "telemetry": telemetry or FakeTelemetryStore(),
            "public_holidays": FakePublicHolidays(),
        }
    )
    edge.read_models = FakeReadModels(entries)  # type: ignore[assignment]  # the real projections, in memory
    return edge


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    there = settled_system()
    there.scenario.after(
        AgreeProgram(entry=program_entry(settlement=replace(RULE, energy=Energy(rate="2.00")))),
        AgreeProgram(entry=program_entry(settlement=None)),
    )
    telemetry = FakeTelemetryStore()
    telemetry.import_intervals(readings())
    edge = api_over(there, telemetry)
    with edge.client() as client:
        yield Api(client, edge)


@pytest.fixture
def over(request: pytest.FixtureRequest) -> Iterator[Api]:
    edge = request.param()
    with edge.client() as client:
        yield Api(client, edge)


def moved(document: Any) -> list[tuple[str, str, str, str]]:
    return [(one["unit"], one["component"], one["old"], one["new"]) for one in document["changes"]]


def reasons(document: Any) -> dict[str, str]:
    return {one["why"]: one["amount"] for one in document["by_reason"]}


def test_another_rule_answers_line_by_line_beside_the_settlement_in_force(api: Api) -> None:
    found = api.answer({"rule": DOUBLE})
    assert (found["in_force"]["total"], found["what_if"]["total"]) == ("290.00", "600.00")
    assert (found["difference"], found["currency"], reasons(found)) == ("310.00", "USD", {"rule": "310.00"})
    assert moved(found) == [
        ("fac-001", "energy", "180.00", "360.00"),
        ("fac-002", "energy", "120.00", "240.00"),
        ("fac-002", "penalty", "-10.00", "0.00"),
    ]
    assert (found["revision"], found["program_version"], found["alteration"]["rule"]) == (0, 1, "given")


def test_the_rule_of_another_version_of_the_program_is_named_by_its_number(api: Api) -> None:
    found = api.answer({"program_version": 2})
    assert (found["what_if"]["total"], found["alteration"]["rule"]) == ("390.00", "version 2")


@pytest.mark.parametrize(
    ("bound", "code"), [("MOST_FACILITIES", "too_many_facilities"), ("MOST_STEPS", "too_many_steps")]
)
def test_a_large_dr_event_is_answered_on_the_command_line(
    api: Api, bound: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_if, bound, 1)
    status, codes, detail = api.refusal({"rule": DOUBLE})
    assert (status, codes) == (422, [code])
    assert f"gridproof audit what-if {DR_EVENT_ID}" in detail


def test_a_version_without_a_rule_is_refused(api: Api) -> None:
    status, codes, detail = api.refusal({"program_version": 3})
    assert (status, codes) == (409, ["no_rule"])
    assert "version 3 of program summer-peak has no settlement rule" in detail


def test_the_rule_of_a_shipped_programme_is_named(api: Api) -> None:
    found = api.answer({"programme": "psegli-csrp"})
    assert found["what_if"]["total"] == "50.00"


def test_without_a_facility_its_lines_are_removed_and_all_others_stay(api: Api) -> None:
    found = api.answer({"without": ["fac-002"]})
    assert moved(found) == [("fac-002", "energy", "120.00", "0.00"), ("fac-002", "penalty", "-10.00", "0.00")]
    assert reasons(found) == {"event": "-110.00"}
    assert [one["what_if"] is None for one in found["facilities"]] == [False, True]


def test_another_baseline_is_measured_again_on_the_stored_readings(api: Api) -> None:
    found = api.answer({"baseline": {"method": "high-4-of-5"}})
    assert reasons(found) == {"baseline": found["difference"]}
    assert found["what_if"]["total"] == "420.00"  # 520 kW adjusted: 80 and 60 kW, none short
    assert found["measured_again"]["fac-001"] == {
        "delivered_kw": 80.0, "why": None, "same_readings": False,
    }  # fmt: skip


def test_a_baseline_that_needs_more_days_leaves_the_facility_out_with_the_reason(api: Api) -> None:
    found = api.answer({"baseline": {"method": "firm-service-level"}})
    assert "level" in found["measured_again"]["fac-001"]["why"]
    assert (found["what_if"]["status"], found["what_if"]["reasons"]) == ("not_settled", ["baseline"])
    assert found["what_if"]["total"] is None


def test_as_of_a_position_before_the_settlement_what_the_measurements_give_is_compared(api: Api) -> None:
    settled_at = api.answer({"without": ["fac-002"]})["position"]
    found = api.answer({"without": ["fac-002"], "as_of": str(settled_at - 1)})
    assert (found["revision"], found["in_force"]["total"], found["as_of"]) == (None, "290.00", settled_at - 1)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"program_version": 9}, "unknown_version", "the newest is 3"),
        ({"programme": "nobody"}, "unknown_programme", "pge-cbp"),
        ({"programme": "coned-csrp-reservation", "without": ["fac-009"]}, "unknown_facility", "fac-009"),
        ({"rule": DOUBLE | {"currency": "EUR"}}, "currency", "nothing is converted"),
        ({"rule": DOUBLE | {"energy": {"price": "event"}}}, "price_missing", "price"),
        ({"baseline": {"method": "regression"}}, "command_line_only", "gridproof audit what-if"),
    ],
)
def test_what_has_no_amounts_is_refused_with_the_reason(api: Api, body: Any, code: str, text: str) -> None:
    status, codes, detail = api.refusal(body)
    assert (status, codes) == (422, [code])
    assert text in detail


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "say what is to be different"),
        ({"rule": DOUBLE, "programme": "pge-cbp"}, "give one of"),
        ({"rule": DOUBLE | {"energy": {"rate": 3}}}, "cannot be settled by"),
        ({"rule": {"currency": "USD", "share": "2"}}, "cannot be settled by"),
        ({"baseline": {"method": "guess"}}, "caiso-10-in-10"),
        ({"baseline": {"method": "x-of-y", "parameters": {"x": 9, "y": 3}}}, ""),
        ({"without": [""]}, "missing or wrong"),
        ({"unknown": 1}, "missing or wrong"),
        ({"without": ["fac-001"], "as_of": "yesterday"}, "as_of"),
    ],
)
def test_a_wrong_body_is_refused_by_name(api: Api, body: Any, text: str) -> None:
    status, codes, detail = api.refusal(body)
    assert status == 400
    assert codes
    assert text in detail


def test_every_wrong_member_of_a_rule_is_named(api: Api) -> None:
    wrong = {"currency": "usd", "energy": {"rate": 3}}
    reasons = problem_of(api.ask({"rule": wrong}))["reasons"]
    assert {reason["field"] for reason in reasons} >= {"rule.currency", "rule.energy.rate"}


def test_a_rule_of_more_than_64_kb_is_refused(api: Api) -> None:
    kinds = {f"kind-{number}": {"share": "0." + "1" * 5_000} for number in range(15)}
    assert api.refusal({"rule": DOUBLE | {"kinds": kinds}})[0] == 413


def test_a_utility_asks_only_for_its_own_dr_event_and_for_no_other_baseline(api: Api) -> None:
    own, foreign = api.edge.key("utility", utility=UTILITY), api.edge.key("utility", utility="somebody-else")
    assert api.answer({"rule": DOUBLE}, key=own)["difference"] == "310.00"
    assert api.refusal({"rule": DOUBLE}, key=foreign)[0] == 404
    assert api.refusal({"baseline": {"method": "high-4-of-5"}}, key=own)[0] == 403


def test_a_facilitys_key_may_not_ask(api: Api) -> None:
    assert api.refusal({"rule": DOUBLE}, key=api.edge.key("owner", facility="fac-001"))[0] == 403


@pytest.mark.parametrize("over", [lambda: api_over(settled_system(rule=None))], indirect=True)
def test_a_dr_event_without_an_agreed_rule_is_compared_with_nothing(over: Api) -> None:
    found = over.answer({"rule": DOUBLE})
    assert (found["in_force"]["reasons"], found["in_force"]["total"]) == (["no_rule"], None)
    assert (found["what_if"]["total"], reasons(found)) == ("600.00", {"rule": "600.00"})
    assert over.refusal({"without": ["fac-001"]})[:2] == (409, ["no_rule"])


@pytest.mark.parametrize("over", [lambda: api_over(measured())], indirect=True)
def test_a_dr_event_that_is_measured_and_not_settled_yet_is_compared_with_what_it_gives(over: Api) -> None:
    found = over.answer({"rule": DOUBLE})
    assert (found["revision"], found["in_force"]["total"]) == (None, "300.00")


def corrected() -> Edge:
    there = settled_system()
    there.scenario.after(corrected_to("fac-001", 400.0))
    return api_over(there)


@pytest.mark.parametrize("over", [corrected], indirect=True)
def test_a_correction_that_is_not_settled_yet_is_not_part_of_what_is_in_force(over: Api) -> None:
    assert over.answer({"rule": DOUBLE})["in_force"]["total"] == "290.00"


@pytest.mark.parametrize("over", [lambda: api_over(completed())], indirect=True)
def test_a_dr_event_that_is_not_measured_yet_is_refused_with_what_is_waited_for(over: Api) -> None:
    status, codes, detail = over.refusal({"rule": DOUBLE})
    assert (status, codes) == (409, ["not_allowed_now"])
    assert "not every facility is measured" in detail


def without_window() -> Edge:
    telemetry = FakeTelemetryStore()
    telemetry.import_intervals(readings(until=STARTS_AT))
    return api_over(settled_system(), telemetry)


@pytest.mark.parametrize("over", [without_window], indirect=True)
def test_another_baseline_is_refused_where_readings_are_gone(over: Api) -> None:
    status, codes, detail = over.refusal({"baseline": {"method": "high-4-of-5"}})
    assert (status, codes) == (409, ["readings_gone"])
    assert "fac-001, fac-002" in detail
    assert over.answer({"rule": DOUBLE})["difference"] == "310.00"


def test_no_command_is_given(api: Api) -> None:
    api.answer({"rule": DOUBLE})
    assert api.edge.commands.given == []
