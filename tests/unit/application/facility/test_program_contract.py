"""The contract in a portfolio file: every member, and what can never be measured is refused with its code."""

from collections.abc import Mapping
from typing import Any

import pytest

from application.facility.portfolio_validation import (
    STRICTEST_RULES,
    PortfolioInvalid,
    check_references,
    read_portfolio,
)
from application.facility.program_contract import terms_of_entry
from domain.program import Terms
from tests.sample_values import program_terms

FILE = """
utilities: [{utility_id: util-1}]
programs:
  - program_id: summer-peak
    utility_id: util-1
%s
facilities:
  - facility_id: fac-001
    meters: [{meter_id: main}]
    zones: [{zone_id: hall, curtailable_kw: 50}]
    bms: {address: "https://bms.example/fac-001"}
    programs: [%s]
"""


def read(
    program: str = "", enrolments: str = "summer-peak", known: Mapping[str, Terms | None] | None = None
) -> Any:
    """The portfolio of one program with those lines, and a facility with those enrolments. Raises PortfolioInvalid."""
    lines = "\n".join(f"    {line}" for line in program.strip().splitlines())
    portfolio = read_portfolio((FILE % (lines, enrolments)).encode())
    try:
        check_references(portfolio, known_utilities=(), known_programs=known or {}, rules=STRICTEST_RULES)
    except PortfolioInvalid as error:
        remaining = [one for one in error.problems if ".bms.address" not in one]
        if remaining:
            raise PortfolioInvalid(remaining) from error
    return portfolio


def problems(program: str = "", enrolments: str = "summer-peak", known: Any = None) -> list[str]:
    with pytest.raises(PortfolioInvalid) as refused:
        read(program, enrolments, known)
    return list(refused.value.problems)


WHOLE = """
baseline: {method: x-of-y, parameters: {x: 4, y: 5, pick: mid, adjustment: additive, cap: 0.4}}
holidays: [2026-07-03, 2026-12-25, 2026-07-03]
clip_delivery: true
window:
  hours: {from: "14:00", to: "19:00"}
  days: [fri, mon, tue, wed, thu]
  on_holidays: false
  season: {from: "05-01", to: "10-31"}
notification_lead_s: 7200
maximum_lead_s: 86400
two_phase: false
forecast_guardrail: accept_no_weather
rate_per_kw: "4.10"
settlement:
  currency: USD
  capacity: {rate: "18.00", unit: kw-month, tiers: [{from: "0.25", a: "0", b: "1"}]}
  energy: {rate: "1.00"}
  kinds: {test: {energy: null}, voluntary: {energy: {rate: "3.00"}}}
""".replace("x: 4, y: 5", "x: 3, y: 5")


def test_an_entry_may_state_the_whole_contract() -> None:
    portfolio = read(WHOLE, "{program_id: summer-peak, kw: 120.5}")
    terms = terms_of_entry(portfolio.programs[0])
    assert (terms.baseline.method, terms.baseline.parameters.x, terms.baseline.parameters.pick) == (
        "x-of-y",
        3,
        "mid",
    )
    assert terms.holidays is not None
    assert [day.isoformat() for day in terms.holidays] == ["2026-07-03", "2026-12-25"]
    assert terms.window is not None
    assert terms.window.days == ("mon", "tue", "wed", "thu", "fri")
    assert (terms.clip_delivery, terms.two_phase, terms.maximum_lead_s) == (True, False, 86_400)
    assert (terms.rate_per_kw, terms.rate_per_kwh) == ("4.1", "0")
    assert terms.settlement is not None
    assert terms.settlement.capacity is not None
    assert terms.settlement.capacity.rate == "18.00"
    assert terms.settlement.of_kind("test").energy is None
    (enrolment,) = portfolio.facilities[0].enrolments
    assert (enrolment.program_id, enrolment.kw, enrolment.level_kw) == ("summer-peak", 120.5, None)


def test_an_entry_of_before_states_the_same_contract_as_before() -> None:
    portfolio = read("baseline_method: high-5-of-10\nrate_per_kw: 4.0")
    assert terms_of_entry(portfolio.programs[0]) == program_terms(
        baseline_method="high-5-of-10", rate_per_kw="4", prepare_lead_s=600
    )
    assert portfolio.facilities[0].program_ids == ("summer-peak",)


@pytest.mark.parametrize(
    ("program", "enrolments", "path", "said"),
    [
        (
            "baseline_method: firm-service-level",
            "summer-peak",
            "facilities[0].programs[0].level_kw",
            "no_service_level",
        ),
        (
            "baseline_method: firm-service-level",
            "",
            "programs[0].baseline.parameters.level_kw",
            "no_service_level",
        ),
        (
            "baseline_method: high-5-of-10\nwindow: {days: [fri, sat, sun]}",
            "summer-peak",
            "programs[0].window.days",
            "weekdays_only",
        ),
        (
            'window: {hours: {from: "14:05", to: "14:20"}}',
            "summer-peak",
            "programs[0].window.hours",
            "no_whole_interval",
        ),
        (
            "minimum_duration_s: 60\nmaximum_duration_s: 600",
            "summer-peak",
            "programs[0].maximum_duration_s",
            "no_whole_interval",
        ),
        (
            "baseline: {method: meter-before-meter-after, parameters: {before_s: 600}}",
            "summer-peak",
            "programs[0].baseline.parameters.before_s",
            "no_whole_interval",
        ),
        (
            "baseline: {method: x-of-y, parameters: {adjustment_from_s: 7000}}",
            "summer-peak",
            "programs[0].baseline.parameters.adjustment_from_s",
            "no_whole_interval",
        ),
        (
            "settlement: {currency: USD, interval_s: 1000}",
            "summer-peak",
            "programs[0].settlement.interval_s",
            "no_whole_interval",
        ),
        (
            "notification_lead_s: 7200\nmaximum_lead_s: 3600",
            "summer-peak",
            "programs[0].maximum_lead_s",
            "shorter than notification_lead_s",
        ),
        (
            'window: {hours: {from: "14:00", to: "15:00"}}\nminimum_duration_s: 7200',
            "summer-peak",
            "programs[0].window.hours",
            "shorter than minimum_duration_s",
        ),
        ("window: {days: []}", "summer-peak", "programs[0].window.days", "names no day"),
        (
            "baseline: {method: x-of-y, parameters: {x: 11}}",
            "summer-peak",
            "programs[0].baseline.parameters",
            "1 <= x <= y",
        ),
        (
            "baseline: {method: x-of-y, parameters: {cap: 2}}",
            "summer-peak",
            "programs[0].baseline.parameters",
            "0..1",
        ),
        (
            "baseline: {method: high-5-of-10, parameters: {cap: 0.5}}",
            "summer-peak",
            "programs[0].baseline.parameters",
            "change nothing",
        ),
        ("baseline: {method: magic}", "summer-peak", "programs[0].baseline.method", "no method magic"),
        (
            "baseline_method: high-4-of-5\nbaseline: {method: x-of-y}",
            "summer-peak",
            "programs[0].baseline_method",
            "contradicts",
        ),
        (
            'settlement: {currency: USD, share: "2"}',
            "summer-peak",
            "programs[0].settlement.share",
            "share_range",
        ),
        (
            "",
            "{program_id: summer-peak, level_kw: 40}",
            "facilities[0].programs[0].level_kw",
            "changes nothing",
        ),
        ("", "summer-peak, {program_id: summer-peak, kw: 4}", "facilities[0].programs", "2 times"),
    ],
)
def test_impossible_terms_are_refused_by_name(program: str, enrolments: str, path: str, said: str) -> None:
    (problem,) = problems(program, enrolments)
    assert problem.startswith(f"{path}: ")
    assert said in problem


@pytest.mark.parametrize(
    ("program", "enrolments"),
    [
        ("baseline_method: firm-service-level", "{program_id: summer-peak, level_kw: 40}"),
        ("baseline: {method: firm-service-level, parameters: {level_kw: 400}}", "summer-peak"),
        (
            "baseline: {method: firm-service-level, parameters: {level_kw: 400}}",
            "{program_id: summer-peak, level_kw: 4}",
        ),
        ("baseline_method: high-5-of-10\nwindow: {days: [mon, fri]}", "summer-peak"),
        ("baseline_method: caiso-10-in-10\nwindow: {days: [sat, sun]}", "summer-peak"),
        ('window: {hours: {from: "14:05", to: "14:30"}}', "summer-peak, summer-peak"),
        ('window: {hours: {from: "22:00", to: "02:00"}}', "summer-peak"),
        ("baseline: {method: x-of-y, parameters: {x: 10, y: 10, pick: mid}}", "summer-peak"),
        ("baseline: {method: regression, parameters: {lookback_days: 60}}", "summer-peak"),
    ],
)
def test_possible_terms_are_accepted(program: str, enrolments: str) -> None:
    read(program, enrolments)


def test_a_facility_is_checked_against_the_recorded_terms_of_a_program() -> None:
    known = {"base": program_terms(baseline_method="firm-service-level", maximum_lead_s=3600)}
    (problem,) = problems("", "base", known)
    assert problem.startswith("facilities[0].programs[0].level_kw: no_service_level")
    read("", "{program_id: base, level_kw: 40}", known)


@pytest.mark.parametrize(
    ("program", "path", "said"),
    [
        ("window: {hours: {from: 14:00, to: 15:00}}", "programs[0].window.hours.from", "in quotes"),
        ('window: {hours: {from: "25:00", to: "26:00"}}', "programs[0].window.hours.from", "time of day"),
        ('window: {season: {from: "02-30", to: "03-01"}}', "programs[0].window.season.from", "month and day"),
        ('rate_per_kwh: "0,40"', "programs[0].rate_per_kwh", '"0,40" is no number: write it with a point'),
        ("window: {days: [monday]}", "programs[0].window.days[0]", "Invalid enum"),
        ("window: {hour: 1}", "programs[0].window.hour", "there is no such field"),
        (
            "settlement: {currency: USD, energy: {rate: 0.35}}",
            "programs[0].settlement.energy.rate",
            "in quotes",
        ),
        (
            "settlement: {currency: USD, kinds: {test: {shares: 1}}}",
            "programs[0].settlement.kinds.test.shares",
            "no such",
        ),
        ('settlement: {energy: {rate: "1"}}', "programs[0].settlement.currency", "is missing"),
        ("holidays: [Christmas]", "programs[0].holidays[0]", "date"),
        (
            "baseline: {method: x-of-y, parameters: {z: 1}}",
            "programs[0].baseline.parameters.z",
            "no such field",
        ),
        ("forecast_guardrail: warnn", "programs[0].forecast_guardrail", "warnn"),
    ],
)
def test_a_wrong_member_is_named_with_its_whole_path(program: str, path: str, said: str) -> None:
    found = problems(program)
    assert any(one.startswith(f"{path}: ") and said in one for one in found), found


def test_too_many_holidays_are_refused() -> None:
    many = ", ".join(f"20{year:02}-01-{day:02}" for year in range(40) for day in range(1, 29))
    (problem,) = problems(f"holidays: [{many}]")
    assert problem.startswith("programs[0].holidays: ")
