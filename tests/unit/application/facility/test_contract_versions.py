"""Version 2 of terms and enrolments: what version 1 meant, and what is stored while an older process may run."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.event_store.newer_topics import DOWNCASTERS, NotExpressible
from application.event_store.upcasters import upcast
from application.facility.portfolio_entries import BaselineEntry, EnrolmentEntry
from application.handlers import HANDLERS
from application.ports.event_store.event_store import NewerTopicRefused
from domain.baseline import METHODS, BaselineParameters, rule_named
from domain.facility import Enrolment, Facility
from domain.identifiers import facility_stream_id, program_stream_id
from domain.program import Hours, Program, SettlementRule, Terms, WindowTerms
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import CONTEXT, PROGRAM, facility_entry, program_entry, program_terms

V1, V2 = "program.terms-agreed.v1", Program.TermsAgreed.TOPIC
RATES = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)
V1_TERMS = st.fixed_dictionaries(
    {
        "rank": st.integers(-9, 9),
        "baseline_method": st.sampled_from(sorted(METHODS.keys() - {"regression"})),
        "notification_lead_s": st.integers(0, 9_999),
        "prepare_lead_s": st.integers(0, 9_999),
        "minimum_duration_s": st.integers(0, 9_999),
        "maximum_duration_s": st.integers(0, 9_999),
        "acceptable_share": st.floats(0.01, 1),
        "shortfall_policy": st.sampled_from(["continue", "reallocate", "abort"]),
        "forecast_guardrail": st.sampled_from(["block", "warn"]),
        "two_phase": st.booleans(),
        "rate_per_kw": RATES,
        "rate_per_kwh": RATES,
    }
)


def v1_state(terms: dict[str, Any]) -> dict[str, Any]:
    return {"recorded_at": "2026-07-14T12:00:00Z", "version": 3, "terms": terms}


def read(terms: dict[str, Any]) -> Terms:
    """Terms of version 1 as this release reads them."""
    return msgspec.convert(upcast(V1, v1_state(terms))["terms"], Terms)


@given_any(V1_TERMS)
def test_terms_of_v1_mean_what_they_did_and_lose_nothing(terms: dict[str, Any]) -> None:
    found = read(terms)
    assert found.baseline.method == terms["baseline_method"]
    assert found.baseline.parameters == BaselineParameters()
    assert (found.window, found.maximum_lead_s, found.clip_delivery) == (None, None, False)
    assert (found.settlement, found.holidays) == (None, None)
    assert float(found.rate_per_kw) == terms["rate_per_kw"]
    assert Decimal(found.rate_per_kwh) == Decimal(repr(terms["rate_per_kwh"]))
    stay = set(terms) - {"baseline_method", "rate_per_kw", "rate_per_kwh"}
    assert {name: getattr(found, name) for name in stay} == {name: terms[name] for name in stay}


@given_any(V1_TERMS)
def test_terms_of_v1_are_the_same_after_both_conversions(terms: dict[str, Any]) -> None:
    stored = v1_state(terms)
    newer = json.loads(msgspec.json.encode(read(terms)))
    assert DOWNCASTERS[V2].change({**stored, "terms": newer}) == stored


def test_v1_took_x_of_y_from_5_of_10_days_within_a_fifth_and_the_meter_of_the_hour_before() -> None:
    terms = json.loads(msgspec.json.encode(program_terms()))
    v1 = DOWNCASTERS[V2].change({"terms": terms})["terms"]
    parameters = read(v1).baseline.parameters
    assert (parameters.x, parameters.y, parameters.pick) == (5, 10, "high")
    assert (parameters.adjustment, parameters.cap, parameters.upward_only) == ("multiplicative", 0.2, False)
    assert (parameters.before_s, parameters.level_kw) == (3600, None)
    assert all(rule_named(m, parameters) == rule_named(m) for m in METHODS if m != "firm-service-level")


SETTLEMENT = SettlementRule(currency="USD")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"holidays": (date(2026, 7, 3),)}, "holidays"),
        ({"clip_delivery": True}, "clip_delivery"),
        ({"window": WindowTerms(hours=Hours(from_="14:00", to="18:00"))}, "window"),
        ({"maximum_lead_s": 3600}, "maximum_lead_s"),
        ({"settlement": SETTLEMENT}, "settlement"),
        ({"baseline": BaselineEntry(method="x-of-y", parameters=BaselineParameters(x=4))}, "parameters"),
        ({"baseline_method": "regression"}, "regression"),
        ({"forecast_guardrail": "accept_no_weather"}, "accept_no_weather"),
        ({"rate_per_kw": "0.1000000000000000000001"}, "a rate of"),
    ],
)
def test_terms_that_v1_cannot_say_have_no_older_form(changes: dict[str, Any], reason: str) -> None:
    terms = json.loads(msgspec.json.encode(program_terms(**changes)))
    with pytest.raises(NotExpressible, match=reason):
        DOWNCASTERS[V2].change({"terms": terms})


class _Gate:
    """The write side while an older process may run."""

    def __init__(self) -> None:
        self.store = FakeEventStore(with_newer_topics=False)
        self.bus = CommandBus(self.store, FakeClock(), HANDLERS, forecasts=FakeForecastBook())

    def topics(self) -> list[str]:
        return [entry.topic for entry in self.store.read_after(0, 100)]


PLAIN = (AgreeProgram(entry=program_entry(rate_per_kw=4.5)), RegisterFacility(entry=facility_entry()))


def test_a_contract_that_v1_can_say_is_stored_as_v1_and_repeated_without_a_record() -> None:
    gate = _Gate()
    for _ in range(2):
        for command in PLAIN:
            gate.bus.rehearse(command, CONTEXT)
            gate.bus.handle(command, CONTEXT)
    assert gate.topics().count(V1) == gate.topics().count("facility.enrolled-in-program.v1") == 1
    assert not [topic for topic in gate.topics() if topic.endswith(".v2")]
    gate.store.with_newer_topics = True
    before = gate.store.head()
    for command in PLAIN:
        gate.bus.handle(command, CONTEXT)
    assert gate.store.head() == before


def test_a_contract_that_v1_cannot_say_is_refused_until_no_older_process_runs() -> None:
    gate = _Gate()
    settled = AgreeProgram(entry=program_entry(settlement=SETTLEMENT))
    enrolled = RegisterFacility(
        entry=facility_entry(programs=(EnrolmentEntry(program_id=PROGRAM, kw="120.5", level_kw=40),))
    )
    for command in (settled, enrolled):
        for decide in (gate.bus.rehearse, gate.bus.handle):
            with pytest.raises(NewerTopicRefused, match=r"migrate --contract 0\.2"):
                decide(command, CONTEXT)
    assert gate.store.head() == 0
    gate.store.with_newer_topics = True
    for command in (settled, enrolled):
        gate.bus.handle(command, CONTEXT)
    program = gate.store.load(Program, program_stream_id(PROGRAM))
    facility = gate.store.load(Facility, facility_stream_id("fac-001"))
    assert program.state.terms is not None
    assert program.state.terms.settlement == SETTLEMENT
    assert facility.state.enrolments == {PROGRAM: Enrolment(kw="120.5", level_kw="40")}


def test_an_enrolment_of_v1_agreed_on_no_power() -> None:
    found = upcast("facility.enrolled-in-program.v1", {"program_id": PROGRAM})
    assert found == {"program_id": PROGRAM, "kw": None, "level_kw": None}


@pytest.mark.parametrize(
    ("written", "exact"), [(4, "4"), (4.0, "4"), ("4.00", "4"), (0.35, "0.35"), (1e-7, "0.0000001")]
)
def test_equal_rates_are_equal_terms_however_they_are_written(written: Any, exact: str) -> None:
    assert program_terms(rate_per_kw=written).rate_per_kw == exact
