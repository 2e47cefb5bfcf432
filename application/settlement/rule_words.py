"""A settlement rule in plain words, one sentence for each thing that it fixes."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from domain.program.settlement_rule import (
    PERIOD_UNITS,
    Capacity,
    Deadline,
    Delivered,
    Energy,
    KindOverride,
    Missing,
    Penalty,
    Performance,
    Results,
    SettlementRule,
    Tier,
)

_CAPACITY_UNITS = {
    "kw-event": "kW and DR event",
    "kw-hour": "kW and hour of the DR event",
    "kw-day": "kW and day of the period",
    "kw-month": "kW and month of the period",
    "kw-season": "kW and season",
}
_FLOORS = {
    "none": "Delivery below 0 counts, and lowers the sum.",
    "interval": "An interval with delivery below 0 counts 0.",
    "event": "Delivery below 0 counts, but the sum of the DR event is not below 0.",
}


def words_of(rule: SettlementRule) -> list[str]:
    """The words of the rule for a DR event of kind `event`, then what is different for each other kind, and what is
    hardly meant."""
    remarks = [f"Probably not meant: {one.path} {one.detail}." for one in rule.remarks()]
    return [*_of_all(rule), *_of_kind(rule.of_kind("event")), *_of_others(rule), *remarks]


def _of_all(rule: SettlementRule) -> Iterator[str]:
    yield (
        f"Amounts are in {rule.currency} with {rule.minor_unit} decimal places, rounded "
        f"{'halves away from zero' if rule.rounding == 'half_up' else 'halves to the even digit'}; above 0 the utility "
        "owes them."
    )
    if rule.level == "facility":
        yield "Each facility is settled by itself."
    else:
        yield (
            "All counted facilities are settled together as one portfolio; amounts above 0 are allocated to them by "
            f"{rule.allocation} energy, amounts below 0 by what each was short."
        )
    yield f"A settlement interval is {_duration(rule.interval_s)} long."
    days = (rule.deadline or Deadline()).final_after_days
    yield f"{days} days after the end, the settlement is final."


def _of_kind(rule: SettlementRule) -> Iterator[str]:
    yield from _delivery(rule.delivered or Delivered())
    yield from _missing(rule.missing or Missing())
    yield from _results(rule.results or Results())
    yield from _performance(rule.performance or Performance())
    if rule.minimum_performance is not None:
        yield f"Below a ratio of {rule.minimum_performance}, capacity and energy are 0; penalties stay."
    yield from _capacity(rule.capacity, rule.currency)
    yield from _energy(rule.energy, rule.currency)
    yield from _penalty(rule.penalty, rule.currency)
    limits = rule.limits
    if limits is not None and limits.event_min is not None:
        yield f"A DR event pays at least {limits.event_min} {rule.currency} to each unit."
    if limits is not None and limits.event_max is not None:
        yield f"A DR event pays at most {limits.event_max} {rule.currency} to each unit."
    if Decimal(rule.share) != 1:
        yield f"Of each amount, {rule.share} goes to the facility."


def _of_others(rule: SettlementRule) -> Iterator[str]:
    for kind, override in rule.kinds.items():
        members = ", ".join(_replaced(override)) or "nothing"
        yield f"For DR events of kind {kind}, other members hold: {members}."
        plain = set(_of_kind(rule.of_kind("event")))
        yield from (f"{kind}: {words}" for words in _of_kind(rule.of_kind(kind)) if words not in plain)


def _replaced(override: KindOverride) -> list[str]:
    return [name for name in override.__struct_fields__ if getattr(override, name) is not msgspec.UNSET]


def _delivery(delivered: Delivered) -> Iterator[str]:
    yield _FLOORS[delivered.floor]
    if delivered.cap_ratio is not None:
        yield f"An interval counts at most {delivered.cap_ratio} times what is committed."
    if delivered.export == "counts":
        yield "Energy fed into the grid counts as delivered."
    else:
        yield "Energy fed into the grid does not count: a load below 0 is taken as 0."


def _missing(missing: Missing) -> Iterator[str]:
    if missing.as_ == "zero":
        yield "An interval of which nothing was metered counts as 0 delivered."
    else:
        yield "An interval of which nothing was metered is left out of everything."
    if Decimal(missing.min_coverage) > 0:
        yield f"A facility with less than {missing.min_coverage} of its steps metered is not settled."


def _results(results: Results) -> Iterator[str]:
    if results.opted_out == results.failed:
        who = "A facility that opted out or failed"
        yield f"{who} is left out." if results.failed == "excused" else f"{who} counts as 0 delivered."
        return
    for name, how in (("opted out", results.opted_out), ("failed", results.failed)):
        yield f"A facility that {name} {'is left out' if how == 'excused' else 'counts as 0 delivered'}."


def _performance(performance: Performance) -> Iterator[str]:
    most = "" if performance.max is None else f" and at most {performance.max}"
    yield (
        f"The ratio of counted to committed energy of each {performance.per} has {performance.places} decimal places; "
        f"it is at least {performance.min}{most}."
    )


def _capacity(capacity: Capacity | None, currency: str) -> Iterator[str]:
    if capacity is None:
        yield "Nothing is paid for capacity."
        return
    with_period = capacity.unit in PERIOD_UNITS
    agreed = "enrolled" if with_period else "committed"
    each = f"{agreed if capacity.quantity == 'committed' else 'delivered'} {_CAPACITY_UNITS[capacity.unit]}"
    yield f"Capacity: {capacity.rate} {currency} for each {each}{_tiers(capacity.tiers)}."
    if with_period:
        yield f"Without a DR event in the period, the factor is {capacity.no_event_factor}."
    for one in capacity.from_event:
        yield f"From DR event {one.number} of the season on, the rate is {one.rate} {currency}."


def _energy(energy: Energy | None, currency: str) -> Iterator[str]:
    if energy is None:
        yield "Nothing is paid for energy."
    elif energy.price == "rate":
        yield f"Energy: {energy.rate} {currency} for each counted kWh{_tiers(energy.tiers)}."
    else:
        least = (
            "" if energy.min_price is None else f", in intervals with a price of at least {energy.min_price}"
        )
        yield f"Energy: the DR event's own price of each interval for each counted kWh{least}{_tiers(energy.tiers)}."


def _penalty(penalty: Penalty | None, currency: str) -> Iterator[str]:
    if penalty is None:
        yield "There is no penalty."
        return
    threshold = "" if Decimal(penalty.threshold) == 1 else f"{penalty.threshold} times "
    most = "" if penalty.max_per_event is None else f", at most {penalty.max_per_event} {currency} a DR event"
    yield f"Penalty: {penalty.rate} {currency} for each kWh short of {threshold}what was committed{most}."


def _tiers(tiers: Sequence[Tier] | None) -> str:
    """As the end of a sentence."""
    if tiers is None:
        return ""
    parts = [f"from {tier.from_} on {_factor(tier)}" for tier in tiers]
    below = "" if Decimal(tiers[0].from_) <= 0 else ", 0 below"
    return f", times a factor by the ratio r: {'; '.join(parts)}{below}"


def _factor(tier: Tier) -> str:
    a, b = Decimal(tier.a), Decimal(tier.b)
    by_ratio = "r" if b == 1 else f"{tier.b} r"
    if b == 0:
        return tier.a
    return by_ratio if a == 0 else f"{tier.a} + {by_ratio}"


def _duration(seconds: int) -> str:
    if seconds % 3600 == 0:
        return "one hour" if seconds == 3600 else f"{seconds // 3600} hours"
    return f"{seconds // 60} minutes" if seconds % 60 == 0 else f"{seconds} seconds"
