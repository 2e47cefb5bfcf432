"""The statement of a month: one row for each DR event, then the capacity, and the total."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.settlement.period_statement import (
    AgreedProgram,
    CurrenciesDiffer,
    PeriodStatement,
    ProgramDREvent,
    RevisionInForce,
    notes_of,
    period_figures,
)
from application.settlement.shapes import SettlementDocument
from tests.settlement_cases import STARTS_AT, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import document_of, program_of

MONTH_OVER = datetime(2026, 8, 3, tzinfo=UTC)
DEADLINE_PASSED = datetime(2026, 12, 1, tzinfo=UTC)
RULE: dict[str, Any] = {
    "energy": {"rate": "1.00"},
    "capacity": {"rate": "2.00", "unit": "kw-month"},
    "share": "0.5",
}
ENROLLED = {"mine": "100", "other-site": "50"}
WAITING = "it waits for its end"


def settled(back_days: int = 0, rule: dict[str, Any] = RULE) -> SettlementDocument:
    """`mine` delivers 100 kWh, `other-site` 40."""
    starts_at = STARTS_AT - timedelta(days=back_days)
    return document_of(
        rule,
        ended_event(facility("mine"), facility("other-site", "50"), hours=1, starts_at=starts_at),
        {
            "mine": steps_of("400", starts_at=starts_at),
            "other-site": steps_of("460", starts_at=starts_at),
        },
    )


def dr_event(document: SettlementDocument | None, **changes: Any) -> ProgramDREvent:
    starts_at = STARTS_AT if document is None else document.starts_at
    in_force = RevisionInForce(
        revision=0,
        status="settled",
        reasons=(),
        program_version=3,
        digest="ab" * 32,
        settled_at=starts_at + timedelta(hours=3),
        final_at=starts_at + timedelta(days=60),
        document=document,
    )
    values: dict[str, Any] = {
        "dr_event_id": "waiting" if document is None else document.dr_event_id,
        "utility_event_id": "UTIL-1",
        "kind": "event",
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(hours=1),
        "tz": "UTC",
        "facility_ids": ("mine", "other-site"),
        "waits_for": WAITING if document is None else "",
        "settlement": None if document is None else in_force,
    }
    return ProgramDREvent(**(values | changes))


def statement(
    *dr_events: ProgramDREvent,
    now: datetime = DEADLINE_PASSED,
    facility_id: str | None = None,
    period: str = "2026-07",
    rule: dict[str, Any] = RULE,
) -> PeriodStatement:
    program = AgreedProgram(
        program_id="summer-peak",
        version=3,
        inputs=program_of(rule_of(**rule)),
        enrolments=ENROLLED,
    )
    return period_figures(program, period, dr_events, now=now, facility_id=facility_id).statement


def test_a_month_has_a_row_for_each_dr_event_then_the_capacity_then_the_total() -> None:
    found = statement(dr_event(settled()), dr_event(settled(back_days=5)))
    assert [(row.starts_at.day, row.total) for row in found.dr_events] == [(9, "140.00"), (14, "140.00")]
    assert (found.dr_events_total, found.capacity_total, found.total) == ("280.00", "300.00", "580.00")
    assert [(one.facility_id, one.gross, one.net) for one in found.facilities] == [
        ("mine", "400.00", "200.00"),
        ("other-site", "180.00", "90.00"),
    ]


def test_dr_events_of_other_months_are_not_in_it() -> None:
    found = statement(dr_event(settled()), dr_event(settled(back_days=40)))
    assert [row.starts_at.month for row in found.dr_events] == [7]


def test_a_month_without_a_dr_event_pays_the_capacity() -> None:
    found = statement(period="2026-05")
    assert (found.dr_events, found.total, found.provisional) == ((), "300.00", False)


@pytest.mark.parametrize(
    ("now", "events", "because"),
    [
        (STARTS_AT + timedelta(days=1), (dr_event(settled()),), ("period_not_over", "not_final")),
        (MONTH_OVER, (dr_event(settled()),), ("not_final",)),
        (DEADLINE_PASSED, (dr_event(settled()), dr_event(None)), ("not_settled_yet",)),
        (DEADLINE_PASSED, (dr_event(settled()),), ()),
    ],
)
def test_a_month_is_provisional_until_no_dr_event_can_change(
    now: datetime, events: tuple[ProgramDREvent, ...], because: tuple[str, ...]
) -> None:
    found = statement(*events, now=now)
    assert (found.provisional_because, found.provisional) == (because, bool(because))


def test_notes_say_why_it_is_provisional_and_what_is_not_in_the_total() -> None:
    assert notes_of(statement(dr_event(settled()))) == []
    assert notes_of(statement(dr_event(settled()), dr_event(None))) == [
        "summer-peak, 2026-07: provisional, because a DR event of it is not settled yet.",
        f"DR event waiting is not in the total: {WAITING}.",
    ]


def test_a_dr_event_that_is_not_settled_yet_says_what_it_waits_for() -> None:
    (row,) = statement(dr_event(None)).dr_events
    assert (row.status, row.total, row.waits_for) == ("not_settled_yet", None, WAITING)


def test_a_facility_has_nothing_but_its_own_part() -> None:
    unknown = dr_event(None, facility_ids=("other-site",), utility_event_id="SECRET")
    found = statement(dr_event(settled()), unknown, facility_id="mine")
    assert [(row.total, row.net) for row in found.dr_events] == [("100.00", "50.00")]
    assert (found.capacity_total, found.total, found.net) == ("200.00", "300.00", "150.00")
    assert [one.facility_id for one in found.facilities] == ["mine"]
    assert not {"other-site", "SECRET"} & set(str(found).replace("'", " ").split())


def test_amounts_in_two_currencies_are_not_added() -> None:
    with pytest.raises(CurrenciesDiffer, match="EUR and USD"):
        statement(dr_event(settled()), dr_event(settled(back_days=3, rule=RULE | {"currency": "EUR"})))
