import json
from datetime import UTC, datetime

from application.access.token_bucket import Allowance
from application.telemetry.ingest.malformed_quota import MalformedBudget
from application.telemetry.ingest.malformed_rate import MAX_FACILITIES
from application.telemetry.ingest.message_parser import MalformedReading

NOON = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
NO_BOUND = Allowance(1e12, 0.0)


def one(facility: str) -> tuple[MalformedReading, ...]:
    """A message of 1,000 bytes, including its overhead."""
    topic, reason = f"meters/{facility}/m1/readings", "no JSON"
    return (MalformedReading(topic, reason, b"x" * (1_000 - 96 - len(topic) - len(reason))),)


def accepted(budget: MalformedBudget, facility: str, count: int, *, now_s: float = 0.0) -> int:
    return sum(budget.keeps(facility, one(facility), now_s=now_s) for _ in range(count))


def test_a_facility_has_a_burst_and_a_rate_limit() -> None:
    budget = MalformedBudget(Allowance(5_000, 100), NO_BOUND)
    assert accepted(budget, "fac-001", 9) == 5
    assert accepted(budget, "fac-001", 9, now_s=9.0) == 0
    assert accepted(budget, "fac-001", 9, now_s=25.0) == 2
    assert accepted(budget, "fac-001", 9, now_s=1e6) == 5, "unused quota is limited to the burst size"


def test_the_quota_of_a_facility_is_independent_of_others() -> None:
    budget = MalformedBudget(Allowance(3_000, 0.0), NO_BOUND)
    assert accepted(budget, "fac-001", 99) == 3
    assert accepted(budget, "fac-002", 99) == 3


def test_the_total_quota_also_limits_many_invented_ids() -> None:
    budget = MalformedBudget(Allowance(3_000, 0.0), Allowance(10_000, 0.0))
    assert sum(accepted(budget, f"fac-{n}", 1) for n in range(MAX_FACILITIES + 100)) == 10


def test_a_clock_that_is_set_back_adds_no_quota() -> None:
    budget = MalformedBudget(Allowance(1_000, 100), NO_BOUND)
    assert accepted(budget, "fac-001", 2, now_s=100.0) == 1
    assert accepted(budget, "fac-001", 2, now_s=50.0) == 0
    assert accepted(budget, "fac-001", 2, now_s=100.0) == 0


def test_omitted_messages_are_reported_once_with_their_number_for_each_facility() -> None:
    budget = MalformedBudget(Allowance(1_000, 0.0), NO_BOUND)
    for facility, count in (("fac-001", 4), ("fac-002", 2), ("fac-003", 1)):
        accepted(budget, facility, count)

    told = {letter.topic: json.loads(letter.body) for letter in budget.omitted(at=NOON)}

    expected = {"omitted_messages": 3, "omitted_bytes": 3_000, "until": NOON.isoformat()}
    assert told == {
        "meters/fac-001/m1/readings": expected,
        "meters/fac-002/m1/readings": expected | {"omitted_messages": 1, "omitted_bytes": 1_000},
    }
    assert budget.omitted(at=NOON) == []


def test_beyond_the_limit_of_facilities_every_message_is_still_counted() -> None:
    budget = MalformedBudget(Allowance(1.0, 0.0), NO_BOUND)
    for n in range(MAX_FACILITIES + 5):
        accepted(budget, f"fac-{n}", 1)

    told = [json.loads(letter.body)["omitted_messages"] for letter in budget.omitted(at=NOON)]

    assert (len(told), sum(told)) == (MAX_FACILITIES, MAX_FACILITIES + 5)
