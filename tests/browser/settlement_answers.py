"""Answers about a settled DR event, its month and a facility's statement, made by the code of the server."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from application.settlement.document import digest_of, settlement_document
from application.settlement.own_part import own_part
from application.settlement.own_revisions import own_revisions
from application.settlement.period_statement import (
    AgreedProgram,
    PeriodStatement,
    ProgramDREvent,
    RevisionInForce,
    period_figures,
)
from application.settlement.resettled import resettled_document
from application.settlement.shapes import BaselineSummary, SettlementDocument
from domain.settlement.resettlement import Basis
from interfaces.web.api.settlement.documents import (
    FacilityStatementDocument,
    SettlementRevisionDocument,
    SettlementRevisionsDocument,
)
from tests.browser.whole_page import whole_page
from tests.settlement_cases import STARTS_AT, STEP_S, ended_event, facility, rule_of, steps_of
from tests.settlement_documents import V1_RULE, program_of

ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
AT = f"/api/dr-events/{ID}"
OWN = "fac-002"
PROGRAM: dict[str, Any] = {
    "program_id": "summer-peak",
    "utility_id": "city-power",
    "version": 3,
    "agreed_at": "2026-06-01T09:00:00Z",
    "agreed_by": "operator:cli/0a1b2c3d4e5f",
    "terms": {"rate_per_kw": "0", "rate_per_kwh": "0.35"},
}
FINAL_AT = STARTS_AT + timedelta(days=60)
METERED: dict[str, list[str | None]] = {
    "fac-001": ["400", "420"],
    OWN: ["455", "470"],
    "fac-003": ["380", None],
    "fac-004": ["500", "495"],
    "fac-005": ["360.5", "371.25"],
}
RULE: dict[str, Any] = V1_RULE | {
    "capacity": V1_RULE["capacity"] | {"rate": "4125.00"},
    "penalty": {"rate": "2.50", "threshold": "0.75"},
    "share": "0.8",
}


def _settled(metered: Mapping[str, list[str | None]], rule: Mapping[str, Any]) -> SettlementDocument:
    found = rule_of(**rule)
    dr_event = ended_event(
        *(facility(name) for name in metered), facility("fac-006", result="opted_out"), hours=2
    )
    dr_event = replace(dr_event, dr_event_id=ID)
    steps = {name: steps_of(*kw) for name, kw in metered.items()}
    baselines = {
        name: BaselineSummary(
            method="caiso-10-in-10",
            days=tuple(date(2026, 7, 13) - timedelta(days=n) for n in range(3)),
            days_considered=3,
            domain_event_id=f"domain-event-of-{name}",
        )
        for name in metered
    }
    basis = Basis(rule=found, dr_event=dr_event, steps=steps, step_s=STEP_S)
    return settlement_document(basis, program_of(found), baselines=baselines)


def _revision(document: SettlementDocument, why: str) -> SettlementRevisionDocument:
    change = document.resettlement
    return SettlementRevisionDocument(
        revision=document.revision,
        status=document.status,
        reasons=document.reasons,
        program_version=document.program_version,
        currency=document.currency,
        total=document.total,
        difference=None if change is None else change.difference,
        why=why,
        digest=digest_of(document),
        settled_at=STARTS_AT + timedelta(days=document.revision, hours=4),
        final_at=FINAL_AT,
    )


FIRST = _settled(METERED, RULE)
SECOND = resettled_document(
    FIRST, _settled(METERED | {OWN: ["450", "465"]}, RULE | {"energy": {"rate": "1.60"}})
)
assert SECOND is not None
MONTHLY = _settled(METERED, RULE | {"capacity": {"rate": "1000.00", "unit": "kw-month"}})
REVISIONS = SettlementRevisionsDocument(
    dr_event_id=UUID(ID),
    waits_for=None,
    revisions=(_revision(FIRST, "every facility is measured"), _revision(SECOND, "late readings")),
)


def _statement(facility_id: str | None = None) -> PeriodStatement:
    """Of the month of that DR event, and of another one that waits."""
    in_force = RevisionInForce(
        revision=1,
        status="settled",
        reasons=(),
        program_version=3,
        digest=digest_of(MONTHLY),
        settled_at=FIRST.ends_at,
        final_at=FINAL_AT,
        document=MONTHLY,
    )
    settled = ProgramDREvent(
        dr_event_id=ID,
        utility_event_id="UTIL-2026-0042",
        kind="event",
        starts_at=FIRST.starts_at,
        ends_at=FIRST.ends_at,
        tz="UTC",
        settlement=in_force,
    )
    waiting = replace(
        settled,
        dr_event_id="2",
        utility_event_id="UTIL-2026-0051",
        starts_at=FIRST.starts_at + timedelta(days=1),
        ends_at=FIRST.ends_at + timedelta(days=1),
        facility_ids=(OWN,),
        waits_for="it waits until each of its facilities is measured, or known to be not measurable",
        settlement=None,
    )
    program = AgreedProgram(program_id="summer-peak", version=3, inputs=None, enrolments={OWN: "150.000"})
    now = STARTS_AT + timedelta(days=30)
    return period_figures(program, "2026-07", (settled, waiting), now=now, facility_id=facility_id).statement


DR_EVENT: dict[str, Any] = {
    "dr_event_id": ID,
    "utility_event_id": "UTIL-2026-0042",
    "utility_id": "util-1",
    "program_id": "summer-peak",
    "status": "completed",
    "settlement_status": "resettled",
    "starts_at": FIRST.starts_at,
    "ends_at": FIRST.ends_at,
    "opened_at": FIRST.starts_at - timedelta(hours=3),
    "target_kw": 600,
    "delivered_kw": 480.5,
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "facility_ids": [*METERED, "fac-006"],
    "callbacks": {},
    **dict.fromkeys(("reasons", "refused_modification", "targets", "failed_facilities"), ()),
    **dict.fromkeys(("opted_out_facilities", "preempted_facilities", "unmeasured_facilities"), ()),
}


OWN_KEY = {"role": "owner", "facility_id": OWN}


def own_answers() -> dict[str, Any]:
    """What differs for a key of that facility."""
    assert SECOND is not None
    of_number = {one.revision: one for one in REVISIONS.revisions}
    own = tuple(
        replace(of_number[one.revision], total=one.gross, net=one.net, why=None, because=one.because)
        for one in own_revisions([FIRST, SECOND], OWN)
    )
    return {
        f"{AT}/settlement/revisions": (200, replace(REVISIONS, revisions=own)),
        f"{AT}/settlement?revision=0": (200, own_part(FIRST, OWN)),
        f"{AT}/settlement?revision=1": (200, own_part(SECOND, OWN, FIRST)),
    }


def answers() -> dict[str, Any]:
    """Path -> body, as an operator gets them; for a facility's statement as its own key does."""
    items: dict[str, Any] = {"items": [], "next_cursor": None}
    assert SECOND is not None
    return {
        AT: DR_EVENT,
        f"{AT}/dispatches": items,
        f"{AT}/measurements": items | {"numbers": []},
        "/api/dr-events": items | {"items": [DR_EVENT]},
        "/api/portfolio": {"readiness": {}},
        "/api/programs": items | {"items": [PROGRAM]},
        f"{AT}/settlement/revisions": REVISIONS,
        f"{AT}/settlement?revision=0": FIRST,
        f"{AT}/settlement?revision=1": SECOND,
        "/api/programs/summer-peak/statements/2026-07": _statement(),
        f"/api/facilities/{OWN}/statements/2026-07": FacilityStatementDocument(
            facility_id=OWN, period="2026-07", programs=(_statement(OWN),)
        ),
    }


def page_of(session: Mapping[str, Any], changed: Mapping[str, Any] | None = None) -> str:
    """The whole page with its styles, signed in so, with those answers; `changed`: path -> [status, body]."""
    given = {path: (200, body) for path, body in answers().items()} | dict(changed or {})
    return whole_page(session, given)
