"""Settlement documents for tests, and random settlements for hypothesis."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from application.settlement.document import settlement_document
from application.settlement.shapes import BaselineSummary, ProgramInputs, SettlementDocument
from domain.program import SettlementRule
from domain.program.terms import BaselineTerms
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.resettlement import Basis
from tests.settlement_cases import (
    PROPORTIONAL,
    STARTS_AT,
    STEP_S,
    ended_event,
    facility,
    prices_of,
    rule_of,
    steps_of,
)

V1_RULE: dict[str, Any] = {
    "capacity": {"rate": "4.00", "unit": "kw-event", "tiers": PROPORTIONAL},
    "energy": {"rate": "1.50"},
    "performance": {"places": 2, "max": "1"},
}


def document_of(
    rule: Mapping[str, Any],
    dr_event: EndedEvent,
    steps: Mapping[str, Sequence[MeteringStep]],
    baselines: Mapping[str, BaselineSummary] | None = None,
) -> SettlementDocument:
    found = rule_of(**rule)
    return settlement_document(
        Basis(rule=found, dr_event=dr_event, steps=steps, step_s=STEP_S),
        program_of(found),
        baselines=baselines,
    )


def program_of(rule: SettlementRule, **members: Any) -> ProgramInputs:
    return ProgramInputs(
        program_id="summer-peak",
        version=3,
        baseline=BaselineTerms(method="caiso-10-in-10"),
        settlement=rule,
        **members,
    )


def v1_document(facility_id: str = "fac-001", **baselines: BaselineSummary) -> SettlementDocument:
    """V1 of docs/settlement.md: 360.00 for capacity, 270.00 for energy."""
    return document_of(
        V1_RULE,
        ended_event(facility(facility_id), hours=2),
        {facility_id: steps_of("400", "420")},
        baselines,
    )


DECIMALS = st.integers(-99_999, 999_999).map(lambda n: f"{n / 1000:.3f}")
RATES = st.integers(0, 9_999).map(lambda n: f"{n / 1000:.3f}")
TIERS = st.lists(
    st.tuples(st.sampled_from(["0", "0.25", "0.5", "0.75", "1.05"]), DECIMALS, RATES),
    min_size=1,
    max_size=3,
    unique_by=lambda tier: tier[0],
).map(lambda tiers: [{"from": begin, "a": a, "b": b} for begin, a, b in sorted(tiers)])
NOTHING = st.none()
RULES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "level": st.sampled_from(["facility", "portfolio"]),
        "allocation": st.sampled_from(["delivered", "committed"]),
        "minor_unit": st.integers(0, 3),
        "rounding": st.sampled_from(["half_up", "half_even"]),
        "interval_s": st.sampled_from([900, 1800, 3600]),
        "delivered": st.fixed_dictionaries(
            {
                "floor": st.sampled_from(["none", "interval", "event"]),
                "cap_ratio": st.sampled_from([None, "1", "1.2"]),
                "export": st.sampled_from(["counts", "to_zero"]),
            }
        ),
        "missing": st.fixed_dictionaries(
            {"as": st.sampled_from(["exclude", "zero"]), "min_coverage": st.sampled_from(["0", "0.5"])}
        ),
        "results": st.fixed_dictionaries(
            {
                "opted_out": st.sampled_from(["excused", "zero"]),
                "failed": st.sampled_from(["excused", "zero"]),
            }
        ),
        "performance": st.fixed_dictionaries(
            {
                "per": st.sampled_from(["event", "interval"]),
                "places": st.integers(0, 6),
                "max": st.sampled_from([None, "1"]),
            }
        ),
        "minimum_performance": st.sampled_from([None, "0.5"]),
        "capacity": NOTHING
        | st.fixed_dictionaries(
            {
                "rate": RATES,
                "unit": st.sampled_from(["kw-event", "kw-hour", "kw-month"]),
                "quantity": st.sampled_from(["committed", "delivered"]),
                "tiers": NOTHING | TIERS,
            }
        ),
        "energy": NOTHING
        | st.fixed_dictionaries({"rate": RATES, "tiers": NOTHING | TIERS})
        | st.fixed_dictionaries({"price": st.just("event"), "min_price": st.sampled_from([None, "0.1"])}),
        "penalty": NOTHING
        | st.fixed_dictionaries({"rate": RATES, "max_per_event": st.sampled_from([None, "20.00"])}),
        "limits": st.fixed_dictionaries(
            {
                "event_min": st.sampled_from([None, "0"]),
                "event_max": st.sampled_from([None, "300"]),
            }
        ),
        "share": st.sampled_from(["1", "0.8"]),
    }
)
RESULTS = st.sampled_from(["committed", "committed", "committed", "opted_out", "failed", "excused"])


@st.composite
def settlement_cases(draw: st.DrawFn) -> tuple[dict[str, Any], EndedEvent, dict[str, list[MeteringStep]]]:
    """A rule's members, a DR event of at most two hours with up to three facilities, and their steps."""
    rule, quarters = draw(RULES), draw(st.integers(1, 8))
    names = draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True))
    facilities = tuple(
        facility(
            name,
            draw(RATES),
            result=draw(RESULTS),
            opted_out_at=draw(NOTHING | st.just(STARTS_AT + timedelta(minutes=20))),
        )
        for name in names
    )
    kw = st.none() | DECIMALS
    steps = {
        name: [
            MeteringStep(
                starts_at=STARTS_AT + timedelta(seconds=STEP_S * number),
                adjusted_kw=draw(kw),
                metered_kw=draw(kw),
            )
            for number in range(quarters)
        ]
        for name in names
    }
    prices = prices_of(*(draw(DECIMALS) for _ in range(8)), interval_s=int(rule["interval_s"]))
    dr_event = ended_event(
        *facilities,
        hours=quarters / 4,
        prices=prices,
        status=draw(st.sampled_from(["completed", "cancelled"])),
    )
    return rule, dr_event, steps
