"""The rule of docs/settlement.md a second time, for one DR event: written from that page alone, over the JSON of
program.json and event.json, with decimals and loops. It shares nothing with domain/settlement, so that an error would
have to be made twice.
"""

from decimal import Decimal, localcontext

from tests.property.settlement.plain_arithmetic import (
    EXACT,
    HOUR,
    NOTHING,
    SECOND,
    Json,
    allocated,
    filled,
    iso,
    micros,
    r3,
    ratio_of,
    rm,
    rp,
    whole_steps,
    window_of,
)
from tests.property.settlement.plain_lines import hours_of_units, lines_of, unit_of

Steps = dict[str, list[Json]]


def settle_plainly(program: Json, dr_event: Json, steps: Steps, step_s: int) -> Json:
    """The figures of the settlement document, as Decimals. Raises Refused."""
    with localcontext(EXACT):
        rule = filled(program["settlement"], dr_event.get("kind", "event"))
        return _settled(rule, dr_event, steps, step_s * SECOND)


def _settled(rule: Json, dr_event: Json, steps: Steps, step: int) -> Json:
    entries: list[Json] = []
    facilities = [] if dr_event.get("status") == "cancelled" else dr_event["facilities"]
    for facility in sorted(facilities, key=lambda one: str(one["facility_id"])):
        readings = steps.get(facility["facility_id"], [])
        entries.append(_facility(rule, dr_event, facility, readings, step))
    counted = [entry for entry in entries if entry["reason"] is None]
    units, lines = [], []
    for name, hours in hours_of_units(rule, dr_event, counted, step):
        unit = unit_of(rule, name, hours)
        units.append(unit)
        lines += lines_of(rule, dr_event, unit)
    _divide(rule, lines, counted)
    reasons = sorted({entry["reason"] for entry in entries}) if not counted else []
    if dr_event.get("status") == "cancelled":
        reasons = ["cancelled_before_start"]
    elif not entries:
        reasons = ["no_facility"]
    delivered = sum((unit["counted_kwh"] for unit in units), NOTHING)
    committed = sum((unit["committed_kwh"] for unit in units), NOTHING)
    return {
        "status": "not_settled" if reasons else "settled",
        "reasons": reasons,
        "performance": ratio_of(rule, delivered, committed),
        "units": units,
        "lines": lines,
        "total": sum((line["amount"] for line in lines), NOTHING),
        "facilities": entries,
        "event": dr_event,
        "pays_capacity": rule["capacity"] is not None,
    }


def _facility(rule: Json, dr_event: Json, facility: Json, readings: list[Json], step: int) -> Json:
    """The document's entry of one facility; `reason` is null where it counts."""
    begin, start, end = window_of(dr_event, step)[0], *window_of(dr_event, step)
    result = facility.get("result", "committed")
    entry = {
        "facility_id": facility["facility_id"],
        "result": result,
        "reason": None,
        "coverage": NOTHING,
        "intervals": [],
        "steps": [],
        **dict.fromkeys(("committed_kwh", "delivered_kwh", "shortfall_kwh"), NOTHING),
        **dict.fromkeys(("gross", "net")),
    }
    zero_from = None
    if result == "excused" or (result == "failed" and rule["results"]["failed"] == "excused"):
        return {**entry, "reason": result}
    if result == "failed":
        zero_from = begin
    if result == "opted_out":
        left_at = micros(facility["opted_out_at"]) if facility.get("opted_out_at") else begin
        if rule["results"]["opted_out"] == "zero":
            zero_from = left_at
        elif left_at <= begin:
            return {**entry, "reason": "opted_out"}
        else:
            end = min(end, left_at)
    if facility.get("starts_at"):
        start = max(start, micros(facility["starts_at"]))
    if facility.get("ends_at"):
        end = min(end, micros(facility["ends_at"]))
    start, end = whole_steps(start, end, step)
    if start == end:
        return {**entry, "reason": "no_window"}

    given = {micros(one["starts_at"]): one for one in readings}
    deltas: dict[int, Decimal | None] = {}
    for at in range(start, end, step):
        shown: Json = {"starts_at": iso(at), "adjusted_kw": None, "metered_kw": None}
        for name in ("adjusted_kw", "metered_kw"):
            if at in given and given[at][name] is not None:
                shown[name] = r3(rule, Decimal(given[at][name]))
        entry["steps"].append(shown)
        deltas[at] = _delta(rule, shown, zero=zero_from is not None and zero_from < at + step)
    known = [at for at, delta in deltas.items() if delta is not None]
    entry["coverage"] = rp(rule, Decimal(len(known)) / len(deltas))
    if not known:
        unexplained = any(one["adjusted_kw"] is not None for one in entry["steps"])
        return {**entry, "reason": "coverage" if unexplained else "baseline"}
    if len(known) < Decimal(rule["missing"]["min_coverage"]) * len(deltas):
        return {**entry, "reason": "coverage"}

    for at in range(begin, end, rule["interval_s"] * SECOND):
        block = {one: deltas[one] for one in deltas if at <= one < at + rule["interval_s"] * SECOND}
        if block:
            entry["intervals"].append({"starts_at": iso(at), **_interval(rule, facility, block, step)})
    committed, delivered, shortfall = NOTHING, NOTHING, NOTHING
    for one in entry["intervals"]:
        if one["delivered_kw"] is not None:
            length = one["steps"] * step
            committed += one["committed_kw"] * length
            delivered += one["delivered_kw"] * length
            shortfall += max(NOTHING, one["committed_kw"] - one["delivered_kw"]) * length
    entry["committed_kwh"] = r3(rule, committed / HOUR)
    entry["delivered_kwh"] = r3(rule, delivered / HOUR)
    entry["shortfall_kwh"] = r3(rule, shortfall / HOUR)
    return entry


def _delta(rule: Json, shown: Json, *, zero: bool) -> Decimal | None:
    if zero:
        return NOTHING
    adjusted, metered = shown["adjusted_kw"], shown["metered_kw"]
    if adjusted is None or metered is None:
        return None
    if rule["delivered"]["export"] == "to_zero":
        metered = max(metered, NOTHING)
    return Decimal(adjusted - metered)


def _interval(rule: Json, facility: Json, block: dict[int, Decimal | None], step: int) -> Json:
    known = [delta for delta in block.values() if delta is not None]
    delivered = NOTHING if rule["missing"]["as"] == "zero" else None
    if known:
        delivered = r3(rule, sum(known, NOTHING) / len(known))
    weighted = sum((_committed(facility, start, start + step) for start in block), NOTHING)
    return {
        "steps": len(block),
        "known_steps": len(known),
        "committed_kw": r3(rule, weighted / (step * len(block))),
        "delivered_kw": delivered,
    }


def _committed(facility: Json, start: int, end: int) -> Decimal:
    """kW times microseconds. Before the first of the commitments nothing is committed."""
    changes = [(micros(one["from"]), Decimal(one["kw"])) for one in facility.get("commitments") or []]
    if not changes:
        return Decimal(facility.get("committed_kw", "0")) * (end - start)
    found = NOTHING
    changes.sort(key=lambda change: change[0])
    for number, (begins, kw) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else end
        found += kw * max(0, min(until, end) - max(begins, start))
    return found


def _divide(rule: Json, lines: list[Json], counted: list[Json]) -> None:
    """Each facility's gross and net."""
    for entry in counted:
        entry["gross"] = entry["net"] = NOTHING
    for line in lines:
        parts = {line["unit"]: line["amount"]}
        if rule["level"] == "portfolio":
            parts = allocated(rule, line["amount"], _weights(rule, line["amount"], counted))
        for entry in counted:
            if entry["facility_id"] in parts:
                part = parts[entry["facility_id"]]
                entry["gross"] += part
                entry["net"] += rm(rule, Decimal(rule["share"]) * part)


def _weights(rule: Json, amount: Decimal, counted: list[Json]) -> dict[str, Decimal]:
    committed = {str(entry["facility_id"]): Decimal(entry["committed_kwh"]) for entry in counted}
    weights = {}
    for entry in counted:
        name = str(entry["facility_id"])
        if amount < 0:
            weights[name] = Decimal(entry["shortfall_kwh"])
        elif rule["allocation"] == "committed":
            weights[name] = committed[name]
        else:
            weights[name] = max(NOTHING, Decimal(entry["delivered_kwh"]))
    return weights if any(weights.values()) else committed
