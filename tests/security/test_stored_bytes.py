"""One request stores a bounded number of bytes, and one utility a bounded number a day (M6)."""

from datetime import timedelta
from typing import Any

import pytest

from application.access.daily_quota import PARTS, DailyQuotas
from application.commands.dr_event import PlanDREvent
from application.event_store.event_mapper import encode_state
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, Reason
from domain.dr_event.reasons import MOST_REASONS, summarized
from domain.facility import Facility
from domain.identifiers import dr_event_id
from tests.fakes.access.daily_usage import FakeDailyUsage
from tests.fakes.clock import FakeClock
from tests.sample_values import CONTEXT, facility_entry, program_entry
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem
from tests.unit.interfaces.web.edge import problem_of

ENTRIES = (facility_entry("fac-001"), facility_entry("fac-b", programs=(OTHER_PROGRAM,)))
PROGRAMS = (program_entry(), program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER))


def system() -> TenantSystem:
    return TenantSystem(entries=ENTRIES, programs=PROGRAMS)


def many(count: int) -> list[str]:
    return [f"x-{number:04}-{'y' * 50}" for number in range(count)]


def test_a_refusal_records_the_first_reasons_and_counts_the_others() -> None:
    with system() as there:
        refused = there.post(OWN, notification_id="n-1", facility_ids=many(1_980))
        there.settle()
        row = there.get(OWN, f"/api/dr-events/{refused.json()['dr_event_id']}").json()
        again = there.post(OWN, notification_id="n-1", facility_ids=many(1_980))
    document = problem_of(refused)
    assert len(document["reasons"]) == MOST_REASONS
    assert document["reason_counts"] == {"unknown_facility": 1_980}
    assert document["detail"] == "refused: unknown_facility (50 of 1980 reasons are listed)"
    assert again.json() | {"trace_id": ""} == document | {"trace_id": ""}, "the repeat is answered alike"
    assert (len(row["reasons"]), row["reason_counts"]) == (MOST_REASONS, {"unknown_facility": 1_980})
    for domain_event in there.scenario.store.domain_events:
        if isinstance(domain_event, DREvent.Rejected):
            bare = sum(map(len, domain_event.notice.facility_ids))
            assert len(encode_state(domain_event)) < bare * 1.2 + 20_000


def test_at_least_one_reason_of_each_code_is_listed() -> None:
    given = [Reason(code="unknown_facility", detail="no", facility_id=str(n)) for n in range(500)]
    listed, counts = summarized([*given, Reason(code="too_short", detail="d" * 5_000)])
    assert len(listed) == MOST_REASONS
    assert listed[-1].code == "too_short"
    assert len(listed[-1].detail) <= 500
    assert counts == {"unknown_facility": 500, "too_short": 1}


def test_few_reasons_are_all_listed() -> None:
    given = [Reason(code="overlap", detail="x", facility_id=str(n)) for n in range(MOST_REASONS)]
    assert summarized(given) == (tuple(given), {})


def test_a_facility_id_that_no_facility_can_have_is_not_recorded() -> None:
    with system() as there:
        before = there.scenario.store.head()
        refused = there.post(OWN, facility_ids=["x" * 64])
        assert there.scenario.store.head() == before
    assert refused.status_code == 400
    assert problem_of(refused)["reasons"][0]["field"] == "facility_ids[0]"


def test_the_bytes_of_a_day_are_bounded_by_utility_and_not_by_key() -> None:
    there = system().with_quotas(stored_bytes=30_000)
    with there:
        answers = []
        for number in range(40):
            there.keys[OWN] = there.edge.key("utility", utility=OWN)
            answers.append(there.post(OWN, notification_id=f"n-{number}", event_id=f"U-{number}"))
        statuses = [answer.status_code for answer in answers]
        assert statuses[0] in {202, 422}
        assert statuses[-1] == 429
        problem = problem_of(answers[-1])
        head = there.scenario.store.head()
        assert there.post(OWN, notification_id="one-more").status_code == 429
        assert there.scenario.store.head() == head, "what is refused for the quota stores nothing"
        assert there.post(OWN, notification_id="n-0", event_id="U-0").status_code == statuses[0], "a repeat"
        assert there.post(OTHER, facility_ids=["fac-b"]).status_code == 202
        assert there.cancel(OWN, "U-0").status_code == 200, "an accepted DR event can always be cancelled"
    assert problem["type"] == "/problems/quota-exceeded"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_cancellations_of_what_was_never_accepted_have_a_quota() -> None:
    there = system().with_quotas(unknown_cancellations=3)
    with there:
        assert there.post(OWN).status_code == 202
        statuses = [there.cancel(OWN, f"NEVER-{number}").status_code for number in range(5)]
        head = there.scenario.store.head()
        rising = [there.cancel(OWN, "NEVER-0", f"?modification_number={n}").status_code for n in range(3)]
        assert there.scenario.store.head() == head
        assert there.cancel(OTHER, "NEVER-0").status_code == 200
        assert there.cancel(OWN, "U-1").status_code == 200
    assert statuses == [200, 200, 200, 429, 429]
    assert set(rising) <= {200, 429}


@pytest.mark.parametrize("name", ["posted", "modified"])
def test_the_quota_counts_what_a_request_makes_the_log_store(name: str) -> None:
    """Short ids take little in a request, and a reservation, a dispatch and a release each in the log."""
    ids = [f"f{number}" for number in range(30)]
    entries = [facility_entry(facility_id) for facility_id in ids]
    with TenantSystem(entries=entries, programs=PROGRAMS).with_quotas(stored_bytes=200_000) as there:
        if name == "modified":
            assert there.post(OWN, facility_ids=ids[:1]).status_code == 202
        before, counted = there.scenario.store.head(), sum(there.usage.used.values())
        answer = (
            there.change(OWN, "U-1", modification_number=1, facility_ids=ids)
            if name == "modified"
            else there.post(OWN, facility_ids=ids)
        )
        assert answer.status_code == 202
        there.settle().handle(PlanDREvent(dr_event_id=dr_event_id(OWN, "U-1")), CONTEXT)
        assert there.settle().cancel(OWN, "U-1").status_code == 200
        there.settle()
        recorded = there.scenario.store.read_after(before, 1_000)
        counted = sum(there.usage.used.values()) - counted
    kinds = {type(entry.domain_event) for entry in recorded}
    assert {Facility.Reserved, Dispatch.Planned, Dispatch.Aborted, Facility.Released} <= kinds
    of_facilities = [e.domain_event for e in recorded if not isinstance(e.domain_event, DREvent.Event)]
    assert sum(len(encode_state(domain_event)) for domain_event in of_facilities) <= counted


@pytest.fixture
def quotas() -> tuple[DailyQuotas, FakeDailyUsage, FakeClock]:
    usage, clock = FakeDailyUsage(), FakeClock()
    most: Any = {"stored_bytes": 6_400, "unknown_cancellations": 3}
    return DailyQuotas(usage, clock, most=most), usage, clock


def test_a_process_takes_parts_of_a_quota(quotas: tuple[DailyQuotas, FakeDailyUsage, FakeClock]) -> None:
    there, usage, _ = quotas
    for _ in range(10):
        assert there.take("util-1", "stored_bytes", 10) is None
    assert sum(usage.used.values()) == 6_400 // PARTS


def test_two_processes_together_stay_within_a_quota_that_begins_anew_each_day(
    quotas: tuple[DailyQuotas, FakeDailyUsage, FakeClock],
) -> None:
    one, usage, clock = quotas
    other = DailyQuotas(usage, clock, most={"stored_bytes": 6_400, "unknown_cancellations": 3})
    granted = sum(each.take("util-1", "stored_bytes", 50) is None for each in [one, other] * 100)
    assert granted <= 6_400 // 50
    wait_s = one.take("util-1", "stored_bytes", 50)
    assert wait_s == timedelta(hours=12).total_seconds()
    clock.advance(hours=12)
    assert one.take("util-1", "stored_bytes", 50) is None
