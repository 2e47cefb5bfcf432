"""What a reader of docs/settlement.md needs to compute: the defaults, three roundings, ratios, factors, whole steps.

Numbers are decimals of 200 digits: sums and products are exact, and so is a quotient that ends, which is all that a
tie needs. Times are whole microseconds.
"""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any

Json = dict[str, Any]
EXACT = Context(prec=200)
SECOND = 1_000_000
HOUR = 3600 * SECOND
NOTHING = Decimal(0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULTS: Json = {
    "minor_unit": 2,
    "rounding": "half_up",
    "level": "facility",
    "allocation": "delivered",
    "interval_s": 3600,
    "delivered": {"floor": "interval", "cap_ratio": None, "export": "to_zero"},
    "missing": {"as": "exclude", "min_coverage": "0"},
    "results": {"opted_out": "excused", "failed": "zero"},
    "performance": {"per": "event", "places": 4, "min": "0", "max": None},
    "minimum_performance": None,
    "capacity": None,
    "energy": None,
    "penalty": None,
    "limits": {"event_min": None, "event_max": None},
    "share": "1",
    "deadline": {"final_after_days": 60},
}


class Refused(Exception):
    """The settlement is refused, with the code of the contract."""


def filled(rule: Json, kind: str) -> Json:
    """The rule for a kind: its members replace those above as a whole; what is null or not given has its default."""
    kinds = rule.get("kinds", {})
    if kind != "event" and kind not in kinds:
        raise Refused("unknown_kind")
    found = {**rule, **kinds.get(kind, {})}
    for name, default in DEFAULTS.items():
        if isinstance(default, dict):
            found[name] = {**default, **(found.get(name) or {})}
        elif found.get(name) is None:
            found[name] = default
    return found


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def iso(at: int) -> str:
    return (EPOCH + timedelta(microseconds=at)).isoformat()


def whole_steps(start: int, end: int, step: int) -> tuple[int, int]:
    """From the first whole step at or after the start to the last whole one before the end."""
    first = -(-start // step) * step
    return first, max(first, end // step * step)


def window_of(dr_event: Json, step: int) -> tuple[int, int]:
    start, end = micros(dr_event["starts_at"]), micros(dr_event["ends_at"])
    if dr_event.get("status") == "cancelled_while_active":
        end = min(end, micros(dr_event["ended_at"]))
    return whole_steps(start, end, step)


def rounded(value: Decimal | int, places: int, mode: str) -> Decimal:
    rounding = ROUND_HALF_UP if mode == "half_up" else ROUND_HALF_EVEN
    found = Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=rounding)
    return found or NOTHING


def r3(rule: Json, value: Decimal) -> Decimal:
    return rounded(value, 3, rule["rounding"])


def rp(rule: Json, value: Decimal) -> Decimal:
    return rounded(value, rule["performance"]["places"], rule["rounding"])


def rm(rule: Json, value: Decimal | int) -> Decimal:
    return rounded(value, rule["minor_unit"], rule["rounding"])


def ratio_of(rule: Json, counted: Decimal, committed: Decimal) -> Decimal | None:
    """Rounded, then held in min..max; none where nothing is committed."""
    if committed == 0:
        return None
    low, high = rule["performance"]["min"], rule["performance"]["max"]
    ratio = max(rp(rule, counted / committed), Decimal(low))
    return ratio if high is None else min(ratio, Decimal(high))


def factor(tiers: list[Json] | None, ratio: Decimal) -> Decimal:
    if tiers is None:
        return Decimal(1)
    found = NOTHING
    for tier in tiers:
        if Decimal(tier["from"]) <= ratio:
            found = Decimal(tier["a"]) + Decimal(tier["b"]) * ratio
    return found


def allocated(rule: Json, amount: Decimal, weights: dict[str, Decimal]) -> dict[str, Decimal]:
    """Largest remainder in minor units, ties to the smaller id; all weights 0: equally."""
    if not any(weights.values()):
        weights = dict.fromkeys(weights, Decimal(1))
    cents, total = abs(amount).scaleb(rule["minor_unit"]), sum(weights.values())
    parts = {name: cents * weight // total for name, weight in weights.items()}
    rests = {name: cents * weight % total for name, weight in weights.items()}
    for name in sorted(weights, key=lambda name: (-rests[name], name))[: int(cents - sum(parts.values()))]:
        parts[name] += 1
    sign = -1 if amount < 0 else 1
    return {name: (sign * part).scaleb(-rule["minor_unit"]) for name, part in parts.items()}
