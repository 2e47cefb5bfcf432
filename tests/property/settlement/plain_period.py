"""Number 7 of docs/settlement.md, and the reasons of a resettlement, a second time (see plain_settlement.py)."""

from calendar import monthrange
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.property.settlement.plain_arithmetic import (
    EXACT,
    NOTHING,
    Json,
    Refused,
    allocated,
    factor,
    filled,
    r3,
    rm,
    rp,
)
from tests.property.settlement.plain_settlement import Steps, settle_plainly


def _local_day(dr_event: Json) -> date:
    facilities = sorted(dr_event["facilities"], key=lambda one: str(one["facility_id"]))
    tz = facilities[0].get("tz", "UTC") if facilities else "UTC"
    return datetime.fromisoformat(dr_event["starts_at"]).astimezone(ZoneInfo(tz)).date()


def period_plainly(program: Json, period: str, settlements: list[Json]) -> Json:
    """P of the contract, from documents of settle_plainly."""
    with localcontext(EXACT):
        rule = filled(program["settlement"], "event")
        if rule["capacity"] is None or rule["capacity"]["unit"] in {"kw-event", "kw-hour"}:
            return {"period": period, "lines": [], "total": NOTHING, "facilities": []}
        return _period(rule, program.get("enrolments", {}), period, settlements)


def _period(rule: Json, enrolments: Json, period: str, settlements: list[Json]) -> Json:
    first_month, _, last_month = period.partition("/")
    first = date.fromisoformat(f"{first_month}-01")
    last = date.fromisoformat(f"{last_month or first_month}-01")
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    last = last.replace(day=monthrange(last.year, last.month)[1])
    times = {"kw-day": (last - first).days + 1, "kw-month": months, "kw-season": 1}[rule["capacity"]["unit"]]
    inside = [
        one
        for one in settlements
        if one["status"] == "settled" and one["pays_capacity"] and first <= _local_day(one["event"]) <= last
    ]
    rate = _rate(rule["capacity"], last, settlements)
    weights = _weights(enrolments, inside)
    lines, facilities = [], []
    for unit in ["portfolio"] if rule["level"] == "portfolio" else sorted(enrolments):
        own = [entry for one in inside for entry in one["units"] if entry["unit"] == unit]
        line = _line(rule, unit, own, enrolments)
        line["amount"] = rm(rule, rate * line.pop("quantity") * line.pop("factor") * times)
        lines.append(line)
        parts = {unit: line["amount"]}
        if rule["level"] == "portfolio":
            parts = allocated(rule, line["amount"], weights)
        for name, part in parts.items():
            net = rm(rule, Decimal(rule["share"]) * part)
            facilities.append({"facility_id": name, "gross": part, "net": net})
    facilities.sort(key=lambda one: str(one["facility_id"]))
    total = sum((line["amount"] for line in lines), NOTHING)
    return {"period": period, "lines": lines, "total": total, "facilities": facilities}


def _rate(capacity: Json, last: date, settlements: list[Json]) -> Decimal:
    count = 0
    for one in settlements:
        kind, status = one["event"].get("kind", "event"), one["event"].get("status", "completed")
        if kind == "event" and status != "cancelled" and _local_day(one["event"]) <= last:
            count += 1
    rate = capacity["rate"]
    for later in capacity.get("from_event", []):
        if later["event"] <= count:
            rate = later["rate"]
    return Decimal(rate)


def _weights(enrolments: Json, inside: list[Json]) -> dict[str, Decimal]:
    weights = dict.fromkeys(enrolments, NOTHING)
    for one in inside:
        for entry in one["facilities"]:
            if entry["reason"] is None:
                name = entry["facility_id"]
                weights[name] = weights.get(name, NOTHING) + max(NOTHING, entry["delivered_kwh"])
    return weights if any(weights.values()) else {name: Decimal(kw) for name, kw in enrolments.items()}


def _line(rule: Json, unit: str, own: list[Json], enrolments: Json) -> Json:
    capacity = rule["capacity"]
    ratios = [entry["performance"] for entry in own if entry["performance"] is not None]
    performance = rp(rule, sum(ratios, NOTHING) / len(ratios)) if ratios else None
    by_ratio = Decimal(capacity.get("no_event_factor", "1"))
    if performance is not None:
        by_ratio = factor(capacity.get("tiers"), performance)
    quantity = NOTHING
    if capacity.get("quantity", "committed") == "delivered":
        seconds = sum(entry["seconds"] for entry in own)
        if seconds:
            quantity = r3(rule, sum((entry["counted_kwh"] for entry in own), NOTHING) * 3600 / seconds)
    else:
        for name, kw in enrolments.items():
            if unit in {name, "portfolio"}:
                quantity += Decimal(kw)
    return {
        "unit": unit,
        "component": "capacity",
        "performance": performance,
        "events": len(ratios),
        "quantity": quantity,
        "factor": by_ratio,
    }


class PlainBasis(NamedTuple):
    """What a settlement follows from, as JSON."""

    program: Json
    dr_event: Json
    steps: Steps
    step_s: int

    def settled(self) -> Json:
        return settle_plainly(*self)


def resettle_plainly(old: PlainBasis, new: PlainBasis) -> Json:
    """The `resettlement` of the document. Raises Refused."""
    before, after = old.settled(), new.settled()
    stages = {
        "rule": old._replace(program=new.program),
        "event": new._replace(steps=_steps(old, new, ["adjusted_kw", "metered_kw"])),
        "baseline": new._replace(steps=_steps(old, new, ["metered_kw"])),
        "meter": new,
    }
    by_reason, earlier = [], before["total"]
    for why, basis in stages.items():
        try:
            later = basis.settled()["total"]
        except Refused:  # a new price that the old event does not have: part of the next reason
            continue
        if later != earlier:
            by_reason.append({"why": why, "amount": later - earlier})
        earlier = later
    changes = []
    lines = [*before["lines"], *after["lines"]]
    for unit, component in dict.fromkeys((line["unit"], line["component"]) for line in lines):
        amounts = {}
        for name, document in (("old", before), ("new", after)):
            for line in document["lines"]:
                if (line["unit"], line["component"]) == (unit, component):
                    amounts[name] = line["amount"]
        was, now = amounts.get("old", NOTHING), amounts.get("new", NOTHING)
        if was != now:
            change = {"unit": unit, "component": component, "old": was, "new": now}
            changes.append({**change, "difference": now - was})
    return {"changes": changes, "by_reason": by_reason, "difference": after["total"] - before["total"]}


def _steps(old: PlainBasis, new: PlainBasis, of_old: list[str]) -> Steps:
    """The new steps, with those members of the old ones; a step that the old one does not have stays new."""
    found = {}
    for name, steps in new.steps.items():
        earlier = {one["starts_at"]: one for one in old.steps.get(name, [])}
        found[name] = [dict(one) for one in steps]
        for one in found[name]:
            if one["starts_at"] in earlier:
                one.update({member: earlier[one["starts_at"]][member] for member in of_old})
    return found
