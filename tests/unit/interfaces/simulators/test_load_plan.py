"""The load plan, which determines every reading in advance, and the audit of the stored readings."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.telemetry.reading_counts import MeterSeqs, QuarterHourCounts
from application.telemetry.ingest.message_parser import parse_message
from interfaces.simulators.meters.load_plan import LoadAudit, LoadPlan, audited, new_run

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


def plan(meters: int = 25, gateway: int = 1, rate: float = 100.0) -> LoadPlan:
    return LoadPlan(run="loadx", meters=meters, gateway=gateway, rate_per_s=rate, started_at=NOW)


def stored(planned: LoadPlan, messages: int) -> list[MeterSeqs]:
    """The contents of a store without losses."""
    found = []
    for meter in range(planned.meters):
        if count := planned.rounds_of(meter, messages):
            facility_id, meter_id = planned.named(meter)
            found.append(
                MeterSeqs(
                    facility_id=facility_id,
                    meter_id=meter_id,
                    rows=count,
                    distinct_seqs=count,
                    lowest_seq=0,
                    highest_seq=count - 1,
                )
            )
    return found


@given(meters=st.integers(1, 40), gateway=st.integers(1, 12), messages=st.integers(0, 90))
def test_the_messages_contain_exactly_the_planned_readings(meters: int, gateway: int, messages: int) -> None:
    planned = plan(meters, gateway)
    sent: dict[tuple[str, str], list[int]] = {}
    moments = set()
    for number in range(messages):
        topic, payload = planned.message(number)
        parsed = parse_message(topic.decode(), payload, now=NOW)
        assert not parsed.malformed
        for reading in parsed.readings:
            assert reading.seq is not None
            sent.setdefault((reading.facility_id, reading.meter_id), []).append(reading.seq)
            moments.add((reading.ts, reading.meter_id))
            assert not reading.incomplete
    expected = {planned.named(m): planned.rounds_of(m, messages) for m in range(meters)}
    assert {meter: len(seqs) for meter, seqs in sent.items()} == {m: n for m, n in expected.items() if n}
    assert all(seqs == list(range(len(seqs))) for seqs in sent.values())
    assert sum(expected.values()) == planned.readings_in(messages) == len(moments)


def test_a_meter_counter_is_the_integral_of_its_load() -> None:
    planned = plan(meters=10, rate=10.0)
    first, second = (json.loads(planned.message(number)[1]) for number in (3, 13))
    assert (second["kwh_total"] - first["kwh_total"]) == pytest.approx(first["kw"] / 3600, abs=1e-4)


def test_the_audit_of_a_complete_store_is_exact() -> None:
    for gateway in (1, 10):
        planned = plan(gateway=gateway)
        whole = QuarterHourCounts(facility_id="loadx-000000", starts_at=NOW, moments=37, counted=37)
        found = audited(planned, 37, stored(planned, 37), [whole])
        sent = planned.readings_in(37)
        assert found == LoadAudit(
            sent=sent, stored=sent, lost=0, duplicated=0, stored_twice=0, counted_twice=0, foreign=0
        )
        assert found.is_exact


def test_the_audit_counts_lost_duplicate_and_foreign_readings() -> None:
    planned = plan(meters=4)
    of_zero, of_one, of_two, _ = stored(planned, 8)
    found = audited(
        planned,
        8,
        [
            of_zero,
            MeterSeqs(facility_id=of_one.facility_id, meter_id=of_one.meter_id, rows=3, distinct_seqs=2,
                      lowest_seq=0, highest_seq=1),
            MeterSeqs(facility_id=of_two.facility_id, meter_id=of_two.meter_id, rows=1, distinct_seqs=1,
                      lowest_seq=1, highest_seq=1),
            MeterSeqs(facility_id="loadx-000009", meter_id="m0000001", rows=5, distinct_seqs=5,
                      lowest_seq=0, highest_seq=4),
            MeterSeqs(facility_id="loadx-000000", meter_id="main", rows=1, distinct_seqs=1,
                      lowest_seq=0, highest_seq=0),
        ],
        [],
    )  # fmt: skip
    assert found == LoadAudit(
        sent=8, stored=5, lost=3, duplicated=1, stored_twice=1, counted_twice=0, foreign=6
    )
    assert not found.is_exact


def test_a_sequence_number_beyond_the_plan_is_foreign() -> None:
    planned = plan(meters=1)
    beyond = MeterSeqs(
        facility_id="loadx-000000", meter_id="m0000000", rows=3, distinct_seqs=3, lowest_seq=0, highest_seq=2
    )
    found = audited(planned, 2, [beyond], [])
    assert (found.sent, found.stored, found.lost, found.duplicated, found.foreign) == (2, 0, 2, 0, 3)


def test_surplus_readings_in_one_rollup_are_not_offset_by_gaps_in_another() -> None:
    planned = plan(meters=4)
    quarters = [
        QuarterHourCounts(
            facility_id="loadx-000000", starts_at=NOW + timedelta(minutes=15 * n), moments=4, counted=counted
        )
        for n, counted in enumerate((4, 6, 1, 5))
    ]
    found = audited(planned, 8, stored(planned, 8), quarters)
    assert (found.lost, found.stored_twice, found.counted_twice, found.duplicated) == (0, 0, 3, 3)
    assert not found.is_exact


def test_runs_started_in_different_seconds_have_different_names() -> None:
    assert new_run(NOW) != new_run(NOW.replace(second=1))
    assert (
        parse_message(f"meters/{new_run(NOW)}-000001/m1/readings", b"{}", now=NOW).malformed[0].reason != ""
    )
