"""The delay until the API shows a reading, from answers that only state whether it was present."""

from datetime import UTC, datetime
from itertools import pairwise

from interfaces.simulators.meters.load_plan import LoadPlan
from tests.bench.ingest.readable import (
    FACILITIES,
    Current,
    Question,
    facility_of,
    is_shown,
    kw_by_then,
    queried_senders,
    readable,
)

T0 = datetime(2026, 7, 14, tzinfo=UTC)


def answers(*, shown_after_s: list[float]) -> list[Question]:
    """Answers for readings with these delays. Each reading is queried every tenth of a second."""
    return [Question(tenth / 10, tenth / 10 >= took_s) for took_s in shown_after_s for tenth in range(10)]


def test_the_median_and_the_longest_delay_are_estimated_from_the_answers() -> None:
    found = readable(answers(shown_after_s=[0.15, 0.25, 0.35, 0.45, 0.75]))
    assert (found.queried, found.longest_ms) == (50, 700.0)
    assert 300.0 <= found.p50_ms <= 400.0


def test_no_reading_is_late_if_every_answer_contained_it() -> None:
    found = readable(answers(shown_after_s=[0.0, 0.0]))
    assert (found.p50_ms, found.longest_ms) == (0.0, 0.0)


def test_no_queries_yield_an_empty_result() -> None:
    assert readable([]).queried == 0


def test_queried_senders_are_spread_over_the_cadence_and_each_has_its_own_facility() -> None:
    for meters, gateway in ((100_000, 1), (1_000_000, 10), (1_200, 1)):
        plan = LoadPlan(run="r", meters=meters, rate_per_s=meters / 15, gateway=gateway, started_at=T0)
        senders = queried_senders(plan)
        assert len({facility_of(plan, sender) for sender in senders}) == len(senders) <= FACILITIES
        assert all(sender in range(plan.senders) for sender in senders)
        gaps = [after - before for before, after in pairwise(senders)]
        assert max(gaps) <= 2 * min(gaps)


def test_a_message_is_detected_by_the_sum_at_first_and_then_by_the_oldest_value() -> None:
    for meters, gateway in ((40, 1), (400, 10)):
        plan = LoadPlan(run="r", meters=meters, rate_per_s=meters / 15, gateway=gateway, started_at=T0)
        senders = queried_senders(plan)
        kw = kw_by_then(plan, senders)
        said: dict[str, dict[int, tuple[float, datetime]]] = {}
        for message in range(3 * plan.senders):
            sender = message % plan.senders
            mine = said.setdefault(facility_of(plan, sender), {})
            shown = []
            for _ in ("before", "after"):
                at = min((at for _, at in mine.values()), default=None)
                current = Current(sum(power for power, _ in mine.values()), at)
                shown.append(is_shown(plan, message, kw.get(sender, 0.0), current))
                mine |= {m: (plan.kw_of(m), plan.ts_of(message)) for m in plan.meters_of(sender)}
            assert sender not in senders or shown == [False, True]
