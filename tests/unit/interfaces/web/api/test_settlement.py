"""Settlements over HTTP: documents, statements, revisions, and who sees what of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from application.commands.dr_event import SettleDREvent
from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import EnrolmentEntry
from application.settlement.document import digest_of, read_document, recomputed
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.program import Program
from interfaces.web.api.settlement import statements
from interfaces.web.api.settlement.forms import preferred_form
from tests.sample_values import DR_EVENT_ID, ENDS_AT, PROGRAM, facility_entry
from tests.settled_edge import FACILITY_MONTH, MONTH, PATH, PROGRAM_MONTH, SettledEdge, measured, ran
from tests.settled_system import MEASURE, SETTLE, corrected_to
from tests.unit.interfaces.web.edge import codes_of, problem_of

HTML, CSV = {"Accept": "text/html"}, {"Accept": "text/csv"}
OTHERS = ("fac-002", "455.5", "477.5", "133.50", "67.50", "313.50", "247.50")
"""What the key of fac-001 must not read: the other facility, its load and amount before and after, and the sums."""


@pytest.fixture(scope="module")
def settled() -> Iterator[tuple[SettledEdge, Any]]:
    """Settled, and settled again after a correction of fac-002."""
    system = SettledEdge(measured(ran()))
    system.do(SETTLE, corrected_to("fac-002", 477.5), MEASURE)
    system.do(SettleDREvent(dr_event_id=DR_EVENT_ID, why="fac-002 was corrected"))
    with system.edge.client() as client:
        yield system, client


@pytest.mark.parametrize("who", ["operator", "auditor", "dashboard"])
def test_the_document_in_force_is_given_byte_for_byte(settled: tuple[SettledEdge, Any], who: str) -> None:
    system, client = settled
    answer = system.get(client, PATH, who)
    document = read_document(answer.content)
    assert (document.revision, document.total) == (1, "247.50")
    in_force = system.models.dr_events.get(str(DR_EVENT_ID)).settlement  # type: ignore[union-attr]
    assert in_force is not None
    assert digest_of(document) == in_force.digest
    assert recomputed(document) == document


def test_earlier_revisions_stay(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    answer = system.get(client, f"{PATH}?revision=0")
    assert (answer.json()["revision"], answer.json()["total"]) == (0, "313.50")
    problem = problem_of(system.get(client, f"{PATH}?revision=7"))
    assert (problem["status"], "newest is 1" in problem["detail"]) == (404, True)


def test_as_of_a_position_the_settlement_is_that_of_then(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    first = next(e.position for e in system.log.entries if type(e.domain_event).__name__ == "Settled")
    assert system.get(client, f"{PATH}?as_of={first}").json()["revision"] == 0
    before = problem_of(system.get(client, f"{PATH}?as_of={first - 1}"))
    assert before["type"] == "/problems/not-settled-yet"


def test_a_utility_reads_its_own_settlement_without_the_days_of_others(
    settled: tuple[SettledEdge, Any],
) -> None:
    system, client = settled
    document = read_document(system.get(client, PATH, "utility").content)
    assert document.total == "247.50"
    assert all(one.event_days == () for one in document.inputs.dr_event.facilities)
    for path in (PATH, f"{PATH}/revisions", PROGRAM_MONTH, FACILITY_MONTH):
        assert system.get(client, path, "another").status_code == 404


@pytest.mark.parametrize("who", ["owner", "of_facility"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}?revision=0", f"{PATH}/revisions", FACILITY_MONTH])
@pytest.mark.parametrize("accept", ["application/json", "text/html", "text/csv"])
def test_the_key_of_a_facility_reads_nothing_but_its_own_part(
    settled: tuple[SettledEdge, Any], who: str, path: str, accept: str
) -> None:
    system, client = settled
    answer = system.get(client, path, who, Accept=accept)
    assert answer.status_code == 200
    assert "180.00" in answer.text, "its own amount"
    for text in OTHERS:
        assert text not in answer.text


@pytest.mark.parametrize("path", [PATH, f"{PATH}/revisions", FACILITY_MONTH])
def test_the_key_of_a_facility_without_a_part_learns_nothing(
    settled: tuple[SettledEdge, Any], path: str
) -> None:
    system, client = settled
    assert problem_of(system.get(client, path, "elsewhere"))["status"] == 404


def test_the_statement_of_a_program_is_closed_to_the_key_of_a_facility(
    settled: tuple[SettledEdge, Any],
) -> None:
    system, client = settled
    for who in ("owner", "of_facility"):
        assert problem_of(system.get(client, PROGRAM_MONTH, who))["status"] == 403


def test_revisions_say_when_and_why_and_how_much(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    found = system.get(client, f"{PATH}/revisions").json()
    assert [(one["revision"], one["total"], one["difference"], one["why"]) for one in found["revisions"]] == [
        (0, "313.50", None, "every facility is measured"),
        (1, "247.50", "-66.00", "fac-002 was corrected"),
    ]


def test_a_facility_reads_in_revisions_what_changed_for_itself(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    own = system.get(client, f"{PATH}/revisions", "owner").json()["revisions"]
    assert [(one["total"], one["net"], one["difference"], one["because"], one["why"]) for one in own] == [
        ("180.00", "90.00", None, [], None),
        ("180.00", "90.00", "0.00", [], None),
    ]


def test_the_statement_is_a_page_without_script(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    answer = system.get(client, PATH, "utility", **HTML)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Accept" in answer.headers["vary"]
    assert "script" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "247.50" in answer.text
    assert answer.headers["etag"]


def test_the_statement_names_the_domain_events_behind_it(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    recorded = {type(entry.domain_event): entry.domain_event for entry in system.log.entries}
    page = system.get(client, PATH, "utility", **HTML).text
    for kind in (Program.TermsAgreed, DREvent.Accepted, Dispatch.Remeasured):
        assert f'data-origin="domain-event/{recorded[kind].domain_event_id}"' in page
    assert f'href="/api/dr-events/{DR_EVENT_ID}/measurements/fac-002"' in page
    own = system.get(client, PATH, "owner", **HTML).text
    assert "/measurements/" not in own, "the key of an owner may not read them"


def test_a_document_that_was_read_once_is_not_read_from_the_store_again() -> None:
    system = SettledEdge(measured(ran()))
    system.do(SETTLE)
    with system.edge.client() as client:
        first = system.get(client, PATH, "utility")
        system.there.scenario.settlements.stored.clear()
        again = system.get(client, PATH, "utility")
        other = system.get(client, PATH, "owner")
    assert (first.status_code, again.content) == (200, first.content)
    assert other.status_code == 500, "what another may see of it is another answer"


def amounts(text: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for record in csv.DictReader(io.StringIO(text)):
        if record["amount"]:
            sums[record["record"]] = sums.get(record["record"], Decimal(0)) + Decimal(record["amount"])
    return sums


@pytest.mark.parametrize(
    ("path", "who", "total"),
    [
        (PATH, "utility", "247.50"),
        (PATH, "owner", "180.00"),
        (PROGRAM_MONTH, "utility", "247.50"),
        (FACILITY_MONTH, "owner", "180.00"),
    ],
)
def test_the_records_of_a_statement_add_up(
    settled: tuple[SettledEdge, Any], path: str, who: str, total: str
) -> None:
    system, client = settled
    answer = system.get(client, path, who, **CSV)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert amounts(answer.text) == dict.fromkeys(("line", "facility", "total"), Decimal(total))


def test_a_month_has_each_dr_event_and_says_why_it_is_provisional(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    month = system.get(client, PROGRAM_MONTH, "utility").json()
    assert [(one["dr_event_id"], one["revision"], one["total"]) for one in month["dr_events"]] == [
        (str(DR_EVENT_ID), 1, "247.50")
    ]
    assert (month["total"], month["provisional"]) == ("247.50", True)
    assert month["provisional_because"] == ["period_not_over", "not_final"]
    own = system.get(client, FACILITY_MONTH, "owner").json()
    assert [(one["program_id"], one["total"], one["net"]) for one in own["programs"]] == [
        (PROGRAM, "180.00", "90.00")
    ]


def test_a_month_names_a_dr_event_whose_document_is_missing() -> None:
    system = SettledEdge(measured(ran()))
    system.do(SETTLE)
    system.there.scenario.settlements.stored.clear()
    with system.edge.client() as client:
        month = system.get(client, PROGRAM_MONTH)
        page = system.get(client, PROGRAM_MONTH, **HTML)
    (row,) = month.json()["dr_events"]
    assert (month.status_code, month.json()["total"], month.json()["provisional"]) == (200, "0.00", True)
    assert "document of revision 0" in row["waits_for"]
    assert "is not stored" in row["waits_for"]
    assert "is not in the total" in page.text


def test_a_season_is_written_with_an_underscore(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    path = f"/api/programs/{PROGRAM}/statements/2026-06_2026-09"
    assert system.get(client, path).json()["period"] == "2026-06/2026-09"


@pytest.mark.parametrize(
    "period",
    [
        *("2026-13", "july", "2026-09_2026-06", "2026-01_2030-01"),
        *("0001-01", "9999-12", "0001-01_0001-12", "\u0662\u0660\u0662\u0666-\u0660\u0667"),
    ],
)
def test_a_wrong_period_is_named(settled: tuple[SettledEdge, Any], period: str) -> None:
    system, client = settled
    problem = problem_of(system.get(client, f"/api/programs/{PROGRAM}/statements/{period}"))
    assert (problem["status"], "2026-06_2026-09" in problem["detail"]) == (400, True)


@pytest.mark.parametrize(("path", "who"), [(PROGRAM_MONTH, "utility"), (FACILITY_MONTH, "owner")])
def test_a_month_of_too_many_facilities_is_refused(
    settled: tuple[SettledEdge, Any], path: str, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, client = settled
    monkeypatch.setattr(statements, "MOST_PARTS", 1)
    problem = problem_of(system.get(client, path, who))
    assert (problem["status"], problem["type"]) == (422, "/problems/past-too-large")
    assert "more than 1 facilities together" in problem["detail"]


def test_an_unknown_program_or_facility_gives_404(settled: tuple[SettledEdge, Any]) -> None:
    system, client = settled
    for path in (f"/api/programs/no-such/statements/{MONTH}", f"/api/facilities/nope/statements/{MONTH}"):
        assert problem_of(system.get(client, path))["status"] == 404


def test_a_month_pays_the_power_that_was_enrolled() -> None:
    system = SettledEdge(measured(ran()))
    for name in ("fac-001", "fac-002"):
        enrolment = EnrolmentEntry(program_id=PROGRAM, kw=80.0)
        system.do(RegisterFacility(entry=facility_entry(name, programs=(enrolment,))))
    system.do(SETTLE)
    with system.edge.client() as client:
        month = system.get(client, PROGRAM_MONTH).json()
        own = system.get(client, FACILITY_MONTH, "owner").json()["programs"][0]
    assert (month["capacity_total"], month["total"]) == ("320.00", "633.50")
    assert (own["capacity_total"], own["total"]) == ("160.00", "340.00")


def test_what_is_not_settled_yet_says_what_it_waits_for() -> None:
    system = SettledEdge(ran())
    with system.edge.client() as client:
        problem = problem_of(system.get(client, PATH))
        refused = problem_of(client.post(PATH, headers=system.keys["operator"]))
        revisions = system.get(client, f"{PATH}/revisions", "owner").json()
    assert (problem["status"], problem["type"]) == (404, "/problems/not-settled-yet")
    assert "measured" in problem["detail"]
    assert (refused["status"], refused["type"]) == (409, "/problems/not-allowed-now")
    assert (revisions["revisions"], "measured" in revisions["waits_for"]) == ([], True)


def test_without_a_rule_it_says_how_to_get_one() -> None:
    system = SettledEdge(measured(ran(rule=None)))
    system.do(SETTLE)
    with system.edge.client() as client:
        problem = problem_of(system.get(client, PATH))
        month = system.get(client, PROGRAM_MONTH).json()
    assert "no settlement rule" in problem["detail"]
    assert [(one["status"], one["reasons"]) for one in month["dr_events"]] == [("not_settled", ["no_rule"])]
    assert (month["currency"], month["total"]) == (None, "0.00")


def test_an_operator_settles_and_a_repeat_changes_nothing() -> None:
    system = SettledEdge(measured(ran()))
    with system.edge.client() as client:
        first = client.post(PATH, headers=system.keys["operator"], json={"reason": "checked by phone"})
        again = client.post(PATH, headers=system.keys["operator"])
        why = system.get(client, f"{PATH}/revisions").json()["revisions"][0]["why"]
    assert [
        (one.json()["revision"], one.json()["recorded"], one.json()["total"]) for one in (first, again)
    ] == [
        (0, True, "313.50"),
        (0, False, "313.50"),
    ]
    assert why == "checked by phone"


@pytest.mark.parametrize(
    ("body", "status"), [(b"[]", 400), (b"{", 400), (b'{"rule": "old"}', 400), (b'{"reason": " "}', 400)]
)
def test_a_wrong_body_is_named(body: bytes, status: int) -> None:
    system = SettledEdge(measured(ran()))
    headers = system.keys["operator"] | {"Content-Type": "application/json"}
    with system.edge.client() as client:
        assert problem_of(client.post(PATH, headers=headers, content=body))["status"] == status
        assert client.post(PATH, headers=system.keys["operator"], content=b"{}").status_code == 415


def test_after_the_deadline_it_is_final() -> None:
    system = SettledEdge(measured(ran()))
    system.do(SETTLE, corrected_to("fac-002", 477.5))
    system.there.scenario.at(ENDS_AT + timedelta(days=61))
    with system.edge.client() as client:
        problem = problem_of(client.post(PATH, headers=system.keys["operator"]))
    assert (problem["status"], problem["type"]) == (409, "/problems/settlement-final")
    assert codes_of(problem) == ["settlement_final"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "html"),
        ("text/csv", "csv"),
        ("text/csv;q=0.1, application/json;q=0.9", "json"),
        ("text/html;q=nonsense", "json"),
        ("text/html;q=0", "json"),
    ],
)
def test_accept_chooses_the_form(accept: str, form: str) -> None:
    assert preferred_form(accept) == form
