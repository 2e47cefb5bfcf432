"""A simulated day of forecasts on the real system: a weather outage, a stale meter, schedulers killed and doubled.

The inputs that each forecast reports are compared with the journals of the weather service and the meters, and its
uncertainty with a full forecast of the same model. The whole day takes 25 minutes (60 times speed), the two hours at
120 times speed one or two minutes. Both run in `make chaos`: other load on the machine changes only their duration.
"""

from __future__ import annotations

import faulthandler
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from domain.forecast import CYCLE, Forecast, cycle_start_of, is_better
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap import Stores
from interfaces.demo.api import ApiClient
from tests.chaos.forecast_day.day_expectations import (
    coverage_pct,
    expected_quality,
    facts_by_place,
    is_reading_of,
    is_weather_of,
    last_reading,
    scores_due,
    stood_still,
    stood_still_pct,
    weather_issue_times,
)
from tests.chaos.forecast_day.day_plan import APPROVED, LONG, NOT_APPROVED, SHORT, SILENT
from tests.chaos.forecast_day.day_schedulers import FAILPOINTS
from tests.chaos.forecast_day.day_table import table_of
from tests.chaos.forecast_day.day_widths import wider_by
from tests.chaos.forecast_day.forecast_day import Day, DayRunner

pytestmark = pytest.mark.chaos
ROUNDED = 0.9999
"""Forecasts are recorded in whole watts."""
JUST_BEGUN = timedelta(minutes=4)
"""The last cycle counts only if it had at least this time."""


def each_cycle_is_forecast_once(day: Day) -> None:
    """Each cycle has forecasts for all facilities, or for none if no scheduler was running."""
    forecasts = facts_by_place(day.facts)
    for facts in forecasts.values():
        assert [type(fact) for fact in facts] == [Forecast.Issued] + [Forecast.Reissued] * (len(facts) - 1)
        for before, after in pairwise(facts):
            assert is_better(after.data_quality, than=before.data_quality)
    of_facility = {
        facility_id: {c for one, c in forecasts if one == facility_id} for facility_id in day.facility_ids
    }
    made = of_facility[SILENT]
    assert all(cycles == made for cycles in of_facility.values()), of_facility
    cycle, missing = min(made), set[datetime]()
    while cycle <= cycle_start_of(day.plan.ends_at - JUST_BEGUN):
        missing |= {cycle} - made
        cycle += CYCLE
    excused = day.schedulers.unmade() | {one for one in missing if stood_still(day, one)}
    assert missing <= excused, (missing, excused)
    if (nobody := day.plan.nobody) is not None:
        first = cycle_start_of(nobody.starts_at) + CYCLE
        assert {first, first + CYCLE} <= missing


def each_forecast_reports_its_faults(day: Day) -> None:
    checked = 0
    for place, facts in facts_by_place(day.facts).items():
        facility_id, cycle_start = place
        if stood_still(day, cycle_start):
            continue
        for fact in facts:
            details = fact.data_quality, fact.issued_at, fact.inputs
            assert is_weather_of(fact, weather_issue_times(day, fact.issued_at)), (place, details)
            last = last_reading(day, facility_id, cycle_start)
            assert is_reading_of(fact, last, cycle_start), (place, details, last)
            covered_pct = coverage_pct(day, facility_id, cycle_start)
            off_pct = abs(fact.inputs.sensor_coverage_pct - covered_pct)
            assert off_pct < 1.5 + stood_still_pct(day, cycle_start), (place, details, covered_pct)
            assert fact.data_quality == expected_quality(day, fact, place), (place, details)
            checked += 1
    assert checked > len(day.facts) / 2, f"the machine stood still too often: {day.stalls}"


def killed_in_mid_cycle_and_several_at_once_change_nothing(day: Day) -> None:
    forecasts = facts_by_place(day.facts)
    for number, (failpoint, armed_at) in enumerate(zip(FAILPOINTS, day.plan.killed_at, strict=True)):
        where, count, _, _, cycle = day.schedulers.in_flight(number).split()
        assert where == failpoint
        assert 1 <= int(count) <= len(day.facility_ids)
        died_at = next(at for at, _ in day.schedulers.deaths if at > armed_at)
        cycle_start = datetime.fromisoformat(cycle)
        issued = [facts[0].issued_at for (_, one), facts in forecasts.items() if one == cycle_start]
        assert len(issued) == len(day.facility_ids) or cycle_start in day.schedulers.unmade()
        if failpoint == "compute.after_issue":
            assert min(issued) < died_at
    makers: dict[datetime, set[str]] = {}
    for completed in day.schedulers.completed_cycles():
        makers.setdefault(completed.cycle_start, set()).add(completed.process)
    doubled = sum("rival" in names and len(names) > 1 for names in makers.values())
    assert doubled >= day.plan.several.duration_s / CYCLE.total_seconds() / 3


def alerts_came_and_went(day: Day) -> None:
    weather = [alert for alert in day.alerts if alert.name == "weather_unavailable"]
    down = day.plan.weather_down
    for alert in weather:
        assert alert.raised_at > down.starts_at
        assert alert.cleared_at is not None
        assert down.ends_at < alert.cleared_at < down.ends_at + 3 * CYCLE
    for (_, cycle_start), facts in facts_by_place(day.facts).items():
        if facts[0].data_quality in {"degraded_stale_weather", "degraded_no_weather"}:
            at = cycle_start + CYCLE
            assert any(
                alert.raised_at < at < alert.cleared_at + 2 * CYCLE for alert in weather if alert.cleared_at
            )
    # Concurrent schedulers may see different readings; a restarted one must not conflict with its own forecasts.
    several = TimeWindow(day.plan.several.starts_at, day.plan.several.ends_at + CYCLE)
    quarrels = [alert.raised_at for alert in day.alerts if alert.name == "forecast_conflicts"]
    assert all(map(several.contains, quarrels)), quarrels
    degraded = [alert for alert in day.alerts if alert.name == "degraded_forecast"]
    assert [alert for alert in degraded if alert.cleared_at is None] == []
    expected = {APPROVED, NOT_APPROVED} if day.plan.dr_event else set()
    assert {alert.subject for alert in degraded} == expected


def the_guardrail_blocked_unapproved_dispatches(day: Day) -> None:
    for facility_id in (APPROVED, NOT_APPROVED):
        assert day.planned[facility_id]["status"] == "blocked"
        assert day.planned[facility_id]["data_quality"] == "degraded_stale_weather"
    assert day.ended[APPROVED]["override_reason"]
    assert day.ended[APPROVED]["committed_at"]
    assert day.ended[NOT_APPROVED]["override_reason"] is None
    done = {(action.facility_id, action.action) for action in day.bms_actions}
    assert {(APPROVED, "commit"), (APPROVED, "restore")} <= done
    assert {facility_id for facility_id, _ in done} == {APPROVED}


def every_hour_is_scored_once(day: Day, stores: Stores, operator: ApiClient) -> None:
    through = stores.forecast_scores().scored_through()
    assert through is not None
    assert through > day.plan.ends_at - timedelta(hours=2, minutes=45)
    days = day.plan.weather_down.starts_at.date() - timedelta(days=2), day.plan.ends_at.date()
    scored = {
        (score.facility_id, score.lead_h, score.data_quality): score.quarters
        for score in stores.forecast_scores().totals(*days)
    }
    due = scores_due(day, through)
    assert scored == due
    for facility_id in day.facility_ids:
        answer = operator.get(f"/api/facilities/{facility_id}/forecast/accuracy?days=3")
        quarters = {
            one["lead_h"]: one["quarters"] for one in answer.body["accuracy"] if one["data_quality"] == "all"
        }
        expected = Counter[int]()
        for (one, lead_h, _), number in due.items():
            expected[lead_h] += number if one == facility_id else 0
        assert quarters == {lead_h: number for lead_h, number in expected.items() if number}


def the_api_returns_the_forecast_of_each_cycle(day: Day, operator: ApiClient) -> None:
    for (facility_id, cycle_start), facts in facts_by_place(day.facts).items():
        if facility_id not in {APPROVED, SILENT}:
            continue
        for fact in facts:
            as_of = quote(fact.issued_at.isoformat())
            answer = operator.get(f"/api/facilities/{facility_id}/forecast?as_of={as_of}")
            assert answer.status == 200, answer
            assert answer.body["forecast_id"] == str(fact.forecast_id), (cycle_start, answer)
            assert answer.body["data_quality"] == fact.data_quality


def less_information_means_more_uncertainty(day: Day, stores: Stores) -> None:
    wider = wider_by(day, stores)
    assert {facts[-1].data_quality for facts in facts_by_place(day.facts).values()} == {"full", *wider}
    for quality, (least, mean) in wider.items():
        assert least > ROUNDED, (quality, wider)
        # The effect of yesterday's temperature depends on the buildings; here it is very small.
        assert mean > (ROUNDED if quality == "degraded_stale_weather" else 1.0), (quality, wider)


def holds(day: Day, stores: Stores) -> None:
    """The checks that apply to the short and the long day."""
    each_cycle_is_forecast_once(day)
    each_forecast_reports_its_faults(day)
    killed_in_mid_cycle_and_several_at_once_change_nothing(day)
    alerts_came_and_went(day)
    less_information_means_more_uncertainty(day, stores)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Lines that are printed at the end of the test, even with captured output."""
    lines: list[str] = []
    yield lines
    with capsys.disabled():
        print("\n".join(["", *lines]))  # noqa: T201


def test_hours_with_an_outage_a_stale_meter_and_killed_schedulers_are_reported_correctly(
    tmp_path: Path, report: list[str]
) -> None:
    with DayRunner(SHORT, tmp_path / "day").run() as (day, stores, operator):
        report += [table_of(day), str(wider_by(day, stores)), f"stood still: {day.stalls}"]
        holds(day, stores)
        the_api_returns_the_forecast_of_each_cycle(day, operator)
        seen = {facts[0].data_quality for facts in facts_by_place(day.facts).values()}
        assert seen == {
            "full",
            "degraded_no_weather",
            "degraded_stale_data",
            "degraded_no_weather_and_stale_data",
        }


def test_a_day_with_an_outage_a_stale_meter_and_killed_schedulers_is_reported_correctly(
    tmp_path: Path, report: list[str]
) -> None:
    faulthandler.cancel_dump_traceback_later()  # this test takes longer than the limit
    with DayRunner(LONG, tmp_path / "day").run() as (day, stores, operator):
        report += [
            table_of(day),
            str(wider_by(day, stores)),
            f"{len(day.facts)} domain events; stood still: {day.stalls}",
        ]
        holds(day, stores)
        the_guardrail_blocked_unapproved_dispatches(day)
        every_hour_is_scored_once(day, stores, operator)
        the_api_returns_the_forecast_of_each_cycle(day, operator)
        assert {facts[0].data_quality for facts in facts_by_place(day.facts).values()} == {
            "full",
            "degraded_stale_weather",
            "degraded_no_weather",
            "degraded_stale_data",
            "degraded_no_weather_and_stale_data",
        }
