"""A blocked dispatch is judged again by the forecast in force: at each cycle and at its preparation."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from application.commands.dispatch import JudgeBlockedDispatch, OverrideForecast
from application.commands.dr_event import ModifyDREvent
from application.commands.facility import OptOutFacility
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow
from tests.given_when_then import fact
from tests.in_process_system import FORECAST_CYCLES, InProcessSystem
from tests.sample_values import DR_EVENT_ID, NOW, STARTS_AT, UTILITY, UTILITY_EVENT, forecast, notice

BOTH = ("fac-001", "fac-002")
CYCLE = timedelta(minutes=15)
LATER = NOW + CYCLE
JUDGE = JudgeBlockedDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002")
OVERRIDE = OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="I looked")


def blocked(*, target_kw: float = 100.0, **terms: Any) -> InProcessSystem:
    """A plan over both facilities that was made on degraded forecasts of the second one."""
    there = InProcessSystem.accepted(*BOTH, target_kw=target_kw, degraded=("fac-002",), terms=terms)
    return there.until("scheduled")


def improved(there: InProcessSystem, *, kw: float = 400.0, since: datetime = LATER) -> InProcessSystem:
    """From the cycle that begins at `since`, its forecasts are full."""
    there.scenario.with_forecasts(
        *(forecast("fac-002", kw, at=cycle) for cycle in sorted({since, *FORECAST_CYCLES}) if cycle >= since)
    )
    return there


def test_a_full_forecast_unblocks_at_its_cycle_and_the_facility_serves_as_planned() -> None:
    there = improved(blocked())
    planned_kw = there.dispatch("fac-002").target_kw
    there.scenario.at(LATER).when(JUDGE).then(
        fact(
            Dispatch.Unblocked,
            facility_id="fac-002",
            data_quality="full",
            headroom_kw=100.0,
            forecast_id=there.scenario.forecasts.newest_of(("fac-002",), at=LATER)["fac-002"].forecast_id,
        )
    )
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert there.dispatch("fac-002").target_kw == planned_kw
    assert there.recorded(DREvent.Replanned) == [], "the share is covered and stays as planned"


def test_the_preparation_judges_a_blocked_dispatch_by_the_forecast_in_force() -> None:
    there = improved(blocked()).until("preparing")
    assert there.dispatch("fac-002").status == "prepared"
    assert len(there.recorded(Dispatch.Unblocked)) == 1


def test_while_its_forecast_is_degraded_it_stays_blocked() -> None:
    there = blocked()
    there.scenario.at(LATER).when(JUDGE).then()
    assert there.until("preparing").dispatch("fac-002").status == "blocked"


def test_a_full_forecast_older_than_two_cycles_unblocks_nothing() -> None:
    there = blocked()
    recorded = there.scenario.forecasts.recorded
    recorded[:] = [state for state in recorded if state.facility_id == "fac-001"]
    there.scenario.with_forecasts(forecast("fac-002", at=NOW))
    there.scenario.at(NOW + 2 * CYCLE + timedelta(seconds=1)).when(JUDGE).then()


def test_a_forecast_that_leaves_nothing_to_shed_unblocks_nothing() -> None:
    there = improved(blocked(), kw=0.0)
    there.scenario.at(LATER).when(JUDGE).then()


def test_judging_again_records_nothing() -> None:
    there = improved(blocked())
    there.scenario.at(LATER)
    there.do(JUDGE)
    there.scenario.when(JUDGE).then()


def test_an_overridden_dispatch_stays_overridden() -> None:
    there = improved(blocked())
    there.do(OVERRIDE)
    there.scenario.at(LATER).when(JUDGE).then()
    assert there.dispatch("fac-002").overridden


def test_an_override_after_the_unblocking_is_refused_and_says_the_state() -> None:
    there = improved(blocked())
    there.scenario.at(LATER)
    there.do(JUDGE)
    there.scenario.when(OVERRIDE).refused(NotAllowedNow, saying="is planned and cannot be overridden")


def test_an_override_saved_between_the_judgement_and_its_save_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    there = improved(blocked())
    there.scenario.at(LATER)
    save, overrides = there.scenario.store.save, [OVERRIDE]

    def save_after_the_override(*arguments: Any, **options: Any) -> None:
        if overrides:
            there.scenario.after(overrides.pop())
        save(*arguments, **options)

    monkeypatch.setattr(there.scenario.store, "save", save_after_the_override)
    there.do(JUDGE)
    assert there.recorded(Dispatch.Unblocked) == []
    assert there.until("completed").dispatch("fac-002").overridden
    assert there.dr_event.outcome == "full"


def test_a_plan_that_is_amended_stays_blocked_until_the_next_judgement() -> None:
    there = improved(blocked())
    there.scenario.at(LATER)
    changed = notice(modification_number=1, target_kw=120.0, facility_ids=BOTH)
    there.do(ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=changed))
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").target_kw) == ("blocked", 60.0)
    there.do(JUDGE)
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").target_kw) == ("planned", 60.0)


def test_an_unblocked_dispatch_whose_forecast_degrades_again_is_blocked_again() -> None:
    there = blocked()
    there.scenario.with_forecasts(forecast("fac-002", at=LATER))
    there.scenario.at(LATER)
    there.do(JUDGE).until("preparing")
    assert there.dispatch("fac-002").status == "blocked"
    assert len(there.recorded(Dispatch.Blocked)) == 2


@pytest.mark.parametrize(
    ("policy", "shares_kw", "missing_kw"),
    [("continue", (80.0, 50.0), 30.0), ("reallocate", (100.0, 50.0), 10.0), ("abort", (80.0, 50.0), 30.0)],
)
def test_less_headroom_shrinks_its_share_and_the_policy_says_who_takes_over(
    policy: str, shares_kw: tuple[float, float], missing_kw: float
) -> None:
    there = improved(blocked(target_kw=160.0, shortfall_policy=policy), kw=50.0)
    there.scenario.at(LATER)
    there.do(JUDGE)
    assert tuple(there.dispatch(i).target_kw for i in BOTH) == pytest.approx(shares_kw)
    assert there.dr_event.missing_kw == pytest.approx(missing_kw)
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_blocked_dispatch_of_a_facility_that_opted_out_is_not_unblocked() -> None:
    there = improved(blocked())
    there.do(OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="boiler"))
    there.scenario.at(LATER).when(JUDGE).then()
    assert there.until("preparing").dispatch("fac-002").status == "aborted"


def test_one_that_stays_blocked_fails_with_what_blocked_it() -> None:
    there = blocked().until("active")
    assert there.scenario.clock.now() == STARTS_AT
    failure = there.dispatch("fac-002").failure
    assert failure is not None
    assert failure.startswith("blocked: its forecast is degraded_no_weather")
