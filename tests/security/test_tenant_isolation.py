"""Two systems that differ only in what another utility has: every answer to the first one is the same (principle 4).

The reads are those of the application's routes, so a new route is compared too. Not compared: ids of requests,
positions, cursors and ETags; the clock stands still, so times are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptOutFacility, StartMaintenance
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from domain.baseline import SkippedDay
from domain.dispatch import MeasurementFigures
from domain.dr_event import DREvent
from domain.identifiers import dr_event_id
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.measured_portfolio import measured_portfolio
from tests.property.projections.projected_logs import UTILITY
from tests.sample_values import NOW, PROGRAM, facility_entry, program_entry, zone_entry
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import Edge

SHARED, FOREIGN, LIMITED, LOST = "fac-shared", "fac-b", "fac-limited", "fac-lost"
READS = sorted(
    route
    for route, policy in POLICIES.items()
    if route.startswith("GET ") and (policy.roles is None or "utility" in policy.roles)
)
CLOSED = sorted(
    route
    for route, policy in POLICIES.items()
    if route.startswith("GET ") and policy.roles is not None and "utility" not in policy.roles
)
ASKED_OF_THE_PROCESS = frozenset({"GET /metrics", "GET /ready", "GET /api/session"})
"""Counters of the process, and the session of a person: they name no tenant's data, and change by themselves."""
DAY = timedelta(days=1)
NAMES = {
    "facility_id": "fac-001",
    "name": "index.html",
    "path": "openapi.json",
    "alert": "bms_drift",
    "program_id": PROGRAM,
    "period": f"{NOW:%Y-%m}",
}


def at(day: int, hour: float) -> str:
    return (NOW.replace(hour=0) + day * DAY + timedelta(hours=hour)).isoformat()


def window(day: int, first: float, last: float) -> dict[str, str]:
    return {"starts_at": at(day, first), "ends_at": at(day, last)}


@dataclass(frozen=True)
class Others:
    """What the other utility has in one of the two systems."""

    facilities: tuple[FacilityEntry, ...]
    program: ProgramEntry
    windows: tuple[tuple[int, float, float], ...]
    """Of its DR events on the shared facility: day, first and last hour."""
    limited: tuple[tuple[int, float, float], ...]
    """Of those that use up the limit of another shared one."""
    lost: tuple[float, float]
    """Of the one that takes a facility from the first utility."""
    names: str


FEW = Others(
    facilities=(facility_entry(FOREIGN, programs=(OTHER_PROGRAM,)),),
    program=program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER, rank=1),
    windows=((3, 16.0, 19.0),),
    limited=((4, 13.0, 14.0),),
    lost=(20.0, 23.0),
    names="A",
)
MANY = Others(
    facilities=(
        facility_entry(
            FOREIGN, programs=(OTHER_PROGRAM,), longest_dr_event_s=600, notification_lead_s=80_000
        ),
        facility_entry("fac-c", programs=(OTHER_PROGRAM,), zones=(zone_entry("roof", 5_000.0),)),
        facility_entry("fac-d", programs=(OTHER_PROGRAM, "spring")),
    ),
    program=program_entry(
        program_id=OTHER_PROGRAM, utility_id=OTHER, rank=1, minimum_duration_s=60, forecast_guardrail="warn"
    ),
    windows=((3, 17.0, 18.5), (2, 4.0, 5.0), (5, 4.0, 6.0)),
    limited=((4, 15.0, 16.0),),
    lost=(21.5, 22.5),
    names="OTHER-NAMES",
)


@dataclass
class Transcript:
    """Everything that the first utility was answered, by what it asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    callbacks: list[str] = field(default_factory=list)


def transcript_of(others: Others) -> Transcript:
    """The same requests of the first utility, while the other one does what `others` says."""
    own = (
        facility_entry("fac-001"),
        facility_entry(LOST, programs=(PROGRAM, OTHER_PROGRAM)),
        facility_entry(SHARED, programs=(PROGRAM, OTHER_PROGRAM)),
        facility_entry(LIMITED, programs=(PROGRAM, OTHER_PROGRAM), dr_events_per_day=1),
    )
    programs = (
        program_entry(rank=2, minimum_duration_s=60),
        others.program,
        program_entry(program_id="spring", utility_id=OTHER),
    )
    system = TenantSystem(entries=(*own, *others.facilities), programs=programs, queue_depth=6).with_quotas()
    for facility_id, kw in (("fac-001", 90.0), (LOST, 80.0)):
        system.measure(facility_id, kw)
    for entry in others.facilities:
        system.measure(entry.facility_id, 777.0 + len(others.facilities))
    found = Transcript()
    with system:
        _busy(system, others)
        _ask(system, found)
        _end(system, others)
        _read(system, found)
    own_streams = {
        e.originator_id
        for e in system.scenario.store.domain_events
        if isinstance(e, DREvent.Opened) and e.utility_id == OWN
    }
    found.callbacks = [
        f"{e.kind} {e.body}"
        for e in system.scenario.store.domain_events
        if isinstance(e, DREvent.CallbackRequested) and e.originator_id in own_streams
    ]
    return found


def _busy(system: TenantSystem, others: Others) -> None:
    """The other utility's DR events, and the state of its facilities."""
    for number, (day, first, last) in enumerate((*others.windows, *others.limited)):
        ids = [SHARED] if number < len(others.windows) else [LIMITED]
        name = f"{others.names}-{number}"
        answer = system.post(OTHER, event_id=name, facility_ids=ids, **window(day, first, last))
        assert answer.status_code == 202, answer.text
    if len(others.facilities) > 1:
        system.do(StartMaintenance(facility_id="fac-c", reason="boiler"))
        system.do(OptOutFacility(facility_id="fac-d", reason="inventory"))
        for number in range(8):
            system.post(OTHER, event_id=f"REFUSED-{number}", facility_ids=["no-such"])
    system.settle()


def _ask(system: TenantSystem, found: Transcript) -> None:
    """Every way in which the first utility can be refused something because of the other one."""
    asked: dict[str, dict[str, Any]] = {
        "accepted": {"facility_ids": ["fac-001"]},
        "will-lose": {"facility_ids": [LOST]},
        "foreign": {"facility_ids": [FOREIGN]},
        "foreign-and-own": {"facility_ids": ["fac-001", FOREIGN], **window(6, 1, 2)},
        "foreign-past": {"facility_ids": [FOREIGN, SHARED], **window(-1, 1, 2)},
        "foreign-program": {"program": OTHER_PROGRAM, "facility_ids": [FOREIGN]},
        "overlapping": {"facility_ids": [SHARED], **window(3, 17, 18)},
        "limit-reached": {"facility_ids": [LIMITED], **window(4, 18, 19)},
        "free": {"facility_ids": [SHARED], **window(7, 17, 18)},
    }
    for name, changes in asked.items():
        _note(found, f"POST {name}", system.post(OWN, event_id=name, **changes))
    system.settle()
    for name, changes in (
        ("accepted", {"facility_ids": ["fac-001", FOREIGN], "modification_number": 1}),
        ("free", {"facility_ids": [SHARED], "modification_number": 1, **window(3, 17, 18)}),
        ("never", {"modification_number": 1}),
    ):
        _note(found, f"PATCH {name}", system.change(OWN, name, **changes))
    for name in ("never", "overlapping"):
        _note(found, f"DELETE {name}", system.cancel(OWN, name))
    for number in range(8):
        answer = system.post(
            OWN, event_id=f"queue-{number}", facility_ids=["fac-001"], **window(8 + number, 1, 2)
        )
        _note(found, f"POST queue-{number}", answer)


def _end(system: TenantSystem, others: Others) -> None:
    """The other utility takes a facility of an accepted DR event, and cancels some of its own."""
    first, last = others.lost
    taken = system.post(
        OTHER, event_id=f"{others.names}-takes", facility_ids=[LOST], **window(0, first, last)
    )
    assert taken.status_code == 202, taken.text
    system.settle()
    if len(others.windows) > 1:
        own = dr_event_id(OTHER, f"{others.names}-1")
        system.do(CancelDREvent(dr_event_id=own, reason="mild weather"))


def _read(system: TenantSystem, found: Transcript) -> None:
    for name in ("accepted", "will-lose", "foreign-past", "overlapping", "free"):
        for route in READS:
            if route in ASKED_OF_THE_PROCESS:
                continue
            path = route.removeprefix("GET ").format(
                dr_event_id=dr_event_id(OWN, name), utility_event_id=name, **NAMES
            )
            _note(found, f"GET {path}", system.get(OWN, path))
            if "{dr_event_id}" in route:
                _note(
                    found,
                    f"GET {path} then",
                    system.get(OWN, f"{path}?as_of={at(0, 12)}".replace("+", "%2B")),
                )
    for program in (PROGRAM, OTHER_PROGRAM, "spring", "none"):
        for path in (f"programs/{program}", f"administration?program={program}&limit=1000"):
            _note(found, f"GET /api/audit/{path}", system.get(OWN, f"/api/audit/{path}"))
    for query in ("?status=rejected", f"?facility={FOREIGN}", f"?facility={SHARED}", "?limit=2"):
        _note(found, f"GET /api/dr-events{query}", system.get(OWN, f"/api/dr-events{query}"))
    theirs = dr_event_id(OTHER, "A-0")
    for route in READS:
        if "{dr_event_id}" in route:
            path = route.removeprefix("GET ").format(dr_event_id=theirs, **NAMES)
            _note(found, f"GET {path}", system.get(OWN, path))


def _note(found: Transcript, asked: str, answer: Any) -> None:
    kept = {name: answer.headers.get(name) for name in ("content-type", "retry-after", "location")}
    found.answers[asked] = (answer.status_code, kept, _plain(answer.text))


def _plain(text: str) -> str:
    """Without ids of requests, positions and cursors."""
    text = re.sub(r'"(trace_id|correlation_id|causation_id|next_cursor)":\s*"[^"]*"', r'"\1":"..."', text)
    return re.sub(r'"(forecast_position|position)":\s*\d+', r'"\1":0', text)


@pytest.fixture(scope="module")
def both() -> tuple[Transcript, Transcript]:
    return transcript_of(FEW), transcript_of(MANY)


def test_the_requests_are_refused_and_accepted_as_intended(both: tuple[Transcript, Transcript]) -> None:
    """Otherwise the comparison would compare nothing."""
    statuses = {asked: answer[0] for asked, answer in both[0].answers.items()}
    assert statuses["POST accepted"] == statuses["POST free"] == statuses["POST will-lose"] == 202
    for name in ("foreign", "foreign-past", "foreign-program", "overlapping", "limit-reached"):
        assert statuses[f"POST {name}"] == 422
    assert "unavailable" in both[0].answers["POST overlapping"][2]
    assert "unavailable" in both[0].answers["POST limit-reached"][2]
    assert statuses[f"GET /api/audit/programs/{PROGRAM}"] == 200
    assert "rank" in both[0].answers[f"GET /api/audit/administration?program={PROGRAM}&limit=1000"][2]
    assert {statuses[f"GET /api/audit/programs/{name}"] for name in (OTHER_PROGRAM, "spring", "none")} == {
        404
    }
    assert 503 in {statuses[f"POST queue-{number}"] for number in range(8)}
    assert any(callback.startswith("preempted") for callback in both[0].callbacks)
    assert len(both[0].answers) > 5 * len([route for route in READS if "{dr_event_id}" in route])


def test_every_answer_is_the_same_whatever_another_utility_has(both: tuple[Transcript, Transcript]) -> None:
    few, many = both
    assert few.answers.keys() == many.answers.keys()
    different = {asked: (few.answers[asked], many.answers[asked]) for asked in few.answers}
    assert {asked: pair for asked, pair in different.items() if pair[0] != pair[1]} == {}


def test_every_callback_is_the_same_whatever_another_utility_has(both: tuple[Transcript, Transcript]) -> None:
    assert list(map(_plain, both[0].callbacks)) == list(map(_plain, both[1].callbacks))


@pytest.mark.parametrize("mark", [OTHER, "OTHER-NAMES", "fac-c", "fac-d", "777", "780.0"])
def test_nothing_of_the_other_utility_is_named(both: tuple[Transcript, Transcript], mark: str) -> None:
    naming = [
        asked for asked, (_, kept, text) in both[1].answers.items() if mark in text or mark in str(kept)
    ]
    assert [asked for asked in naming if "/api/" in asked or "POST" in asked] == []
    assert not any(mark in callback for callback in both[1].callbacks)


def measured_answers(*of_others: date) -> dict[str, Any]:
    """What a utility reads of its measured facility, which served others on those days."""

    def served(_facility_id: str, figures: MeasurementFigures) -> MeasurementFigures:
        others = (SkippedDay(day, "dr_event_day") for day in of_others)
        skipped = (SkippedDay(date(2026, 7, 3), "holiday"), *others)
        return replace(figures, skipped=skipped, dr_event_days=of_others)

    portfolio = measured_portfolio(forge=served, facilities=1)
    edge = Edge(others={"stream_log": FakeStreamLog(portfolio.walk.entries)})
    edge.read_models = FakeReadModels(portfolio.walk.entries)  # type: ignore[assignment]
    parts = ("dispatches", "performance", "performance/fac-001", "measurements", "measurements/fac-001")
    key = edge.key("utility", utility=UTILITY)
    with edge.client() as client:
        return {
            part: client.get(f"/api/dr-events/{portfolio.dr_event_id}/{part}", headers=key).json()
            for part in parts
        }


def test_a_measurement_does_not_tell_on_how_many_days_the_facility_served_others() -> None:
    alone, shared = measured_answers(), measured_answers(date(2026, 7, 8), date(2026, 7, 9))
    assert shared == alone
    assert alone["dispatches"]["items"][0]["measurement"]["skipped_days"] == 1


def test_what_is_closed_to_utilities_is_refused_by_role() -> None:
    """The stream, facilities, telemetry and the audit of DR events and facilities among them."""
    audits = {f"GET /api/audit/{of}" for of in ("dr-events/{dr_event_id}", "facilities/{facility_id}")}
    assert {"GET /api/stream", "GET /api/facilities", *audits} <= set(CLOSED)
