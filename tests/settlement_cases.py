"""DR events and readings as the worked vectors of docs/settlement.md give them: hours against a level of 500 kW."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec

from domain.program import SettlementRule
from domain.settlement.inputs import EndedEvent, EventFacility, MeteringStep, Price
from domain.settlement.rounding import Exact, decimal_text
from domain.settlement.settle import FacilityAmounts, Settlement

STARTS_AT = datetime.fromisoformat("2026-07-14T18:00:00+00:00")
LEVEL_KW = "500"
STEP_S = 900
HOUR = timedelta(hours=1)
PROPORTIONAL = [{"from": "0", "a": "0", "b": "1"}]


def programmes() -> dict[str, Any]:
    """The real programmes that the package carries, as JSON."""
    documents: dict[str, Any] = json.loads(
        (files("domain.settlement") / "data" / "settlement_rules.json").read_text()
    )
    return documents


def rule_of(**members: Any) -> SettlementRule:
    return msgspec.convert({"currency": "USD"} | members, SettlementRule)


def facility(facility_id: str = "f1", committed_kw: str = "100", **members: Any) -> EventFacility:
    return EventFacility(facility_id=facility_id, committed_kw=committed_kw, **members)


def ended_event(
    *facilities: EventFacility, hours: float, starts_at: datetime = STARTS_AT, **members: Any
) -> EndedEvent:
    return EndedEvent(
        dr_event_id=f"event-{starts_at:%Y-%m-%d}",
        program_id="summer-peak",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=hours),
        facilities=facilities or (facility(),),
        **members,
    )


def steps_of(
    *metered_kw: str | None,
    steps_each: int = 4,
    starts_at: datetime = STARTS_AT,
    adjusted_kw: str | None = LEVEL_KW,
) -> list[MeteringStep]:
    """Each value for one hour, or for so many steps."""
    values = [kw for kw in metered_kw for _ in range(steps_each)]
    return [
        MeteringStep(
            starts_at=starts_at + timedelta(seconds=STEP_S) * number, adjusted_kw=adjusted_kw, metered_kw=kw
        )
        for number, kw in enumerate(values)
    ]


def prices_of(*per_kwh: str, interval_s: int = 3600) -> tuple[Price, ...]:
    return tuple(
        Price(starts_at=STARTS_AT + timedelta(seconds=interval_s) * number, per_kwh=price)
        for number, price in enumerate(per_kwh)
    )


def amounts_of(settlement: Settlement) -> dict[tuple[str, str], str]:
    """(unit, component) -> amount in the currency, with its minor unit's digits."""
    places = settlement.rule.minor_unit
    return {(line.unit, line.component): decimal_text(line.amount, places) for line in settlement.lines}


def components_of(settlement: Settlement) -> Sequence[str]:
    """Of a single unit: "energy 270.00"."""
    return [f"{component} {amount}" for (_, component), amount in amounts_of(settlement).items()]


def net_of(amounts: Mapping[str, FacilityAmounts], minor_unit: int = 2) -> list[str]:
    return [decimal_text(amounts[name].net, minor_unit) for name in sorted(amounts)]


def gross_of(amounts: Mapping[str, FacilityAmounts], minor_unit: int = 2) -> list[str]:
    return [decimal_text(amounts[name].gross, minor_unit) for name in sorted(amounts)]


def money(value: Exact) -> str:
    return decimal_text(value, 2)
