"""The units and lines of docs/settlement.md, numbers 3 to 6, a second time (see plain_settlement.py)."""

from decimal import Decimal

from tests.property.settlement.plain_arithmetic import (
    HOUR,
    NOTHING,
    SECOND,
    Json,
    Refused,
    factor,
    iso,
    micros,
    r3,
    ratio_of,
    rm,
    window_of,
)

Hours = list[tuple[str, int, Decimal, Decimal]]
"""Start, microseconds, committed and delivered kW of each settlement interval."""


def hours_of_units(rule: Json, dr_event: Json, counted: list[Json], step: int) -> list[tuple[str, Hours]]:
    if rule["level"] == "facility":
        found: list[tuple[str, Hours]] = []
        for entry in counted:
            hours = []
            for one in entry["intervals"]:
                if one["delivered_kw"] is not None:
                    length = one["steps"] * step
                    hours.append((one["starts_at"], length, one["committed_kw"], one["delivered_kw"]))
            found.append((entry["facility_id"], hours))
        return found
    start, end = window_of(dr_event, step)
    sums: Hours = []
    for at in range(start, end, rule["interval_s"] * SECOND):
        length = min(rule["interval_s"] * SECOND, end - at)
        committed, delivered, present = NOTHING, NOTHING, False
        for entry in counted:
            for one in entry["intervals"]:
                if one["starts_at"] == iso(at) and one["delivered_kw"] is not None:
                    present = True
                    committed += one["committed_kw"] * one["steps"]
                    delivered += one["delivered_kw"] * one["steps"]
        if present:
            count = length // step
            sums.append((iso(at), length, r3(rule, committed / count), r3(rule, delivered / count)))
    return [("portfolio", sums)] if counted else []


def unit_of(rule: Json, name: str, hours: Hours) -> Json:
    intervals, committed_kwh, counted_kwh, seconds = [], NOTHING, NOTHING, 0
    floor, cap = rule["delivered"]["floor"], rule["delivered"]["cap_ratio"]
    for starts_at, length, committed, delivered in hours:
        counted = max(delivered, NOTHING) if floor == "interval" else delivered
        if cap is not None and committed > 0:
            counted = min(counted, r3(rule, Decimal(cap) * committed))
        interval = {"starts_at": starts_at, "seconds": length // SECOND, "committed_kw": committed}
        intervals.append({**interval, "delivered_kw": delivered, "counted_kw": counted})
        committed_kwh += committed * length
        counted_kwh += counted * length
        seconds += length // SECOND
    committed_kwh, counted_kwh = r3(rule, committed_kwh / HOUR), r3(rule, counted_kwh / HOUR)
    if floor == "event":
        counted_kwh = max(counted_kwh, NOTHING)
    return {
        "unit": name,
        "seconds": seconds,
        "committed_kwh": committed_kwh,
        "counted_kwh": counted_kwh,
        "performance": ratio_of(rule, counted_kwh, committed_kwh),
        "intervals": intervals,
    }


def lines_of(rule: Json, dr_event: Json, unit: Json) -> list[Json]:
    lines: list[Json] = []
    least, ratio = rule["minimum_performance"], unit["performance"]
    too_low = least is not None and ratio is not None and ratio < Decimal(least)

    def line(component: str, amount: Decimal, note: str | None = None) -> None:
        amount = rm(rule, amount)
        lines.append({"unit": unit["unit"], "component": component, "amount": amount, "note": note})

    if rule["capacity"] is not None and rule["capacity"]["unit"] in {"kw-event", "kw-hour"}:
        if ratio is None:
            line("capacity", NOTHING, "no_commitment")
        elif too_low:
            line("capacity", NOTHING, "minimum_performance")
        else:
            line("capacity", _capacity(rule, unit))
    if rule["energy"] is not None:
        amount = _energy(rule, dr_event, unit)
        if too_low:
            line("energy", NOTHING, "minimum_performance")
        elif rule["energy"].get("tiers") is None:
            line("energy", amount)
        elif ratio is None:
            line("energy", NOTHING, "no_commitment")
        else:
            line("energy", amount * factor(rule["energy"]["tiers"], ratio))
    if rule["penalty"] is not None:
        line("penalty", _penalty(rule, unit))
    total = limited = sum((one["amount"] for one in lines), NOTHING)
    if rule["limits"]["event_min"] is not None:
        limited = max(limited, Decimal(rule["limits"]["event_min"]))
    if rule["limits"]["event_max"] is not None:
        limited = min(limited, Decimal(rule["limits"]["event_max"]))
    if rm(rule, limited - total):
        line("limit", limited - total)
    return lines


def _capacity(rule: Json, unit: Json) -> Decimal:
    capacity, seconds = rule["capacity"], unit["seconds"]
    rate, tiers = Decimal(capacity["rate"]), capacity.get("tiers")
    if rule["performance"]["per"] == "interval":
        weighted = NOTHING
        for one in unit["intervals"]:
            if one["committed_kw"] > 0:
                ratio = ratio_of(rule, one["counted_kw"], one["committed_kw"]) or NOTHING
                weighted += one["committed_kw"] * one["seconds"] * factor(tiers, ratio)
        return rate * weighted / (3600 if capacity["unit"] == "kw-hour" else seconds)
    energy = unit["committed_kwh"]
    if capacity.get("quantity", "committed") == "delivered":
        energy = max(unit["counted_kwh"], NOTHING)
    amount = rate * r3(rule, energy * 3600 / seconds) * factor(tiers, unit["performance"])
    return amount * seconds / 3600 if capacity["unit"] == "kw-hour" else amount


def _energy(rule: Json, dr_event: Json, unit: Json) -> Decimal:
    energy = rule["energy"]
    if energy.get("price", "rate") == "rate":
        return Decimal(energy["rate"]) * Decimal(unit["counted_kwh"])
    prices = {micros(one["starts_at"]): Decimal(one["per_kwh"]) for one in dr_event.get("prices", [])}
    least, amount = energy.get("min_price"), NOTHING
    for one in unit["intervals"]:
        if micros(one["starts_at"]) not in prices:
            raise Refused("price_missing")
        price = prices[micros(one["starts_at"])]
        if least is None or price >= Decimal(least):
            amount += r3(rule, one["counted_kw"] * one["seconds"] / 3600) * price
    return amount


def _penalty(rule: Json, unit: Json) -> Decimal:
    penalty, short = rule["penalty"], NOTHING
    for one in unit["intervals"]:
        owed = Decimal(penalty.get("threshold", "1")) * one["committed_kw"]
        short += max(NOTHING, owed - one["counted_kw"]) * one["seconds"]
    amount = -Decimal(penalty["rate"]) * r3(rule, short / 3600)
    if penalty.get("max_per_event") is not None:
        amount = max(amount, -Decimal(penalty["max_per_event"]))
    return amount
