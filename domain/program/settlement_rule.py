"""The data structure `settlement-rule/1`: how measured kW become money. Its decimals are exact, as strings.

It describes a contract; nothing is computed here. `problems` names what a schema cannot express.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain.dr_event.state import ORDINARY_KIND
from domain.units import DecimalString

ProblemCode = Literal[
    "tiers_not_rising",
    "performance_range",
    "limits_range",
    "share_range",
    "coverage_range",
    "cap_negative",
    "threshold_negative",
    "penalty_negative",
    "energy_without_rate",
    "energy_with_two_rates",
    "events_not_rising",
]
RemarkCode = Literal[
    "events_without_period",
    "minimum_above_max",
    "min_price_without_prices",
    "kind_of_the_rule",
    "period_capacity_of_kind",
]


PERIOD_UNITS = frozenset({"kw-day", "kw-month", "kw-season"})
"""Units of a capacity that is paid with the period; the others are paid with each DR event."""


class Problem(NamedTuple):
    """A fault of a rule: the path of the member, and what it must be."""

    code: ProblemCode
    path: str
    detail: str


class Remark(NamedTuple):
    """A member that has no effect, or a surprising one: it can be settled by, and is hardly meant."""

    code: RemarkCode
    path: str
    detail: str


Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
EventKind = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]


class Tier(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """From ratio `from` on, the factor is a + b * ratio."""

    from_: DecimalString
    a: DecimalString
    b: DecimalString


Tiers = Annotated[tuple[Tier, ...], msgspec.Meta(min_length=1, max_length=100)]


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """The power that counts as delivered."""

    floor: Literal["none", "interval", "event"] = "interval"
    cap_ratio: DecimalString | None = None
    """An interval counts at most this times what is committed."""
    export: Literal["counts", "to_zero"] = "to_zero"


class Missing(msgspec.Struct, frozen=True, kw_only=True, rename={"as_": "as"}):
    """The value of an interval without readings, and the share of the steps that must be known."""

    as_: Literal["exclude", "zero"] = "exclude"
    min_coverage: DecimalString = "0"


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """How a facility that opted out, or failed, counts."""

    opted_out: Literal["excused", "zero"] = "excused"
    failed: Literal["excused", "zero"] = "zero"


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """The ratio of counted to committed energy: rounded to `places`, then held in min..max."""

    per: Literal["event", "interval"] = "event"
    places: Annotated[int, msgspec.Meta(ge=0, le=6)] = 4
    min: DecimalString = "0"
    max: DecimalString | None = None


class RateFromEvent(msgspec.Struct, frozen=True, kw_only=True, rename={"number": "event"}):
    """The rate from the n-th event of the season on."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    rate: DecimalString


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Payment for capacity, with each event or with the period."""

    rate: DecimalString
    unit: Literal["kw-event", "kw-hour", "kw-day", "kw-month", "kw-season"]
    quantity: Literal["committed", "delivered"] = "committed"
    tiers: Tiers | None = None
    no_event_factor: DecimalString = "1"
    from_event: Annotated[tuple[RateFromEvent, ...], msgspec.Meta(max_length=100)] = ()


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Payment per kWh: `rate`, or the event's own prices of at least `min_price`."""

    rate: DecimalString | None = None
    price: Literal["rate", "event"] = "rate"
    min_price: DecimalString | None = None
    tiers: Tiers | None = None


class Penalty(msgspec.Struct, frozen=True, kw_only=True):
    """The amount that is owed per kWh short of `threshold` times the committed energy."""

    rate: DecimalString
    threshold: DecimalString = "1"
    max_per_event: DecimalString | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The least and the most of an event's total for each unit."""

    event_min: DecimalString | None = None
    event_max: DecimalString | None = None


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """No resettlement later than so many days after the end."""

    final_after_days: Annotated[int, msgspec.Meta(ge=0, le=3_660)] = 60


class KindOverride(msgspec.Struct, frozen=True, kw_only=True):
    """The members that replace the rule's for one kind of event, each as a whole. Null: the member's default."""

    delivered: Delivered | UnsetType | None = UNSET
    missing: Missing | UnsetType | None = UNSET
    results: Results | UnsetType | None = UNSET
    performance: Performance | UnsetType | None = UNSET
    minimum_performance: DecimalString | UnsetType | None = UNSET
    capacity: Capacity | UnsetType | None = UNSET
    energy: Energy | UnsetType | None = UNSET
    penalty: Penalty | UnsetType | None = UNSET
    limits: Limits | UnsetType | None = UNSET
    share: DecimalString | UnsetType = UNSET


class SettlementRule(msgspec.Struct, frozen=True, kw_only=True):
    """A program's rule. Null for `delivered`, `missing`, `results`, `performance`, `limits` and `deadline` means their
    defaults."""

    schema: Literal["settlement-rule/1"] = "settlement-rule/1"
    currency: Currency
    """ISO 4217."""
    minor_unit: Annotated[int, msgspec.Meta(ge=0, le=4)] = 2
    rounding: Literal["half_up", "half_even"] = "half_up"
    level: Literal["facility", "portfolio"] = "facility"
    allocation: Literal["delivered", "committed"] = "delivered"
    interval_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600
    delivered: Delivered | None = Delivered()
    missing: Missing | None = Missing()
    results: Results | None = Results()
    performance: Performance | None = Performance()
    minimum_performance: DecimalString | None = None
    capacity: Capacity | None = None
    energy: Energy | None = None
    penalty: Penalty | None = None
    limits: Limits | None = Limits()
    share: DecimalString = "1"
    kinds: Annotated[dict[EventKind, KindOverride], msgspec.Meta(max_length=50)] = {}
    deadline: Deadline | None = Deadline()

    def of_kind(self, kind: str) -> "SettlementRule":
        """The rule for a kind of event: its overrides applied, and defaults in place of null."""
        override = self.kinds.get(kind, KindOverride())
        given = {name: getattr(override, name) for name in override.__struct_fields__}
        changed = {name: value for name, value in given.items() if value is not UNSET}
        rule = replace(self, **changed)
        missing = {name: default for name, default in _DEFAULTS.items() if getattr(rule, name) is None}
        return replace(rule, **missing)

    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong with it; empty for a rule that can be settled by."""
        found = list(_problems(self, ""))
        for kind, override in self.kinds.items():
            found.extend(_problems(override, f"kinds.{kind}."))
        return tuple(found)

    def remarks(self) -> tuple[Remark, ...]:
        """Terms that can be settled by and are hardly meant, also of the members of a kind together with those it
        leaves."""
        found = list(_remarks(self, ""))
        for kind, override in self.kinds.items():
            found.extend(_remarks_of_kind(self, kind, override))
        return tuple(found)


_DEFAULTS: dict[str, Any] = {
    "delivered": Delivered(),
    "missing": Missing(),
    "results": Results(),
    "performance": Performance(),
    "limits": Limits(),
    "deadline": Deadline(),
}


def _problems(members: SettlementRule | KindOverride, path: str) -> Iterator[Problem]:
    yield from _of_delivery(members, path)
    if isinstance(members.limits, Limits):
        least, most = members.limits.event_min, members.limits.event_max
        if least is not None and most is not None and Decimal(least) > Decimal(most):
            yield Problem("limits_range", f"{path}limits.event_max", f"is below event_min, {least}")
    if isinstance(members.share, str) and not 0 <= Decimal(members.share) <= 1:
        yield Problem("share_range", f"{path}share", "must be 0 to 1")
    if isinstance(members.capacity, Capacity):
        yield from _of_capacity(members.capacity, f"{path}capacity.")
    if isinstance(members.energy, Energy):
        yield from _of_energy(members.energy, f"{path}energy.")
    if isinstance(members.penalty, Penalty):
        yield from _of_penalty(members.penalty, f"{path}penalty.")


def _remarks(rule: SettlementRule, path: str) -> Iterator[Remark]:
    capacity, energy, performance = rule.capacity, rule.energy, rule.performance or Performance()
    if capacity is not None and capacity.from_event and capacity.unit not in PERIOD_UNITS:
        yield Remark(
            "events_without_period",
            f"{path}capacity.from_event",
            f"the rate of {capacity.unit} is the same in every event; give a unit of the period, such as kw-month",
        )
    if energy is not None and energy.price == "rate" and energy.min_price is not None:
        yield Remark("min_price_without_prices", f"{path}energy.min_price", 'is for `price: "event"`')
    least = rule.minimum_performance
    if least is not None and performance.max is not None and Decimal(least) > Decimal(performance.max):
        yield Remark(
            "minimum_above_max",
            f"{path}minimum_performance",
            f"is above performance.max, {performance.max}: nothing is ever paid",
        )


def _remarks_of_kind(rule: SettlementRule, kind: str, override: KindOverride) -> Iterator[Remark]:
    path = f"kinds.{kind}"
    if kind == ORDINARY_KIND:
        yield Remark("kind_of_the_rule", path, "the members of the rule itself are those of this kind")
    capacity = override.capacity
    if isinstance(capacity, Capacity) and capacity.unit in PERIOD_UNITS and capacity != rule.capacity:
        yield Remark(
            "period_capacity_of_kind",
            f"{path}.capacity",
            f"{capacity.unit} is paid with the period, by the rule's own capacity; null leaves the kind out of it",
        )
    same = {(one.code, one.detail) for one in _remarks(rule, "")}
    for remark in _remarks(rule.of_kind(kind), f"{path}."):
        if (remark.code, remark.detail) not in same:
            yield remark


def _of_delivery(members: SettlementRule | KindOverride, path: str) -> Iterator[Problem]:
    if isinstance(members.delivered, Delivered) and _value(members.delivered.cap_ratio, 0) < 0:
        yield Problem("cap_negative", f"{path}delivered.cap_ratio", "must not be below 0")
    if isinstance(members.missing, Missing) and not 0 <= Decimal(members.missing.min_coverage) <= 1:
        yield Problem("coverage_range", f"{path}missing.min_coverage", "must be 0 to 1")
    if isinstance(members.performance, Performance):
        lowest, highest = members.performance.min, members.performance.max
        if highest is not None and Decimal(lowest) > Decimal(highest):
            yield Problem("performance_range", f"{path}performance.max", f"is below its min, {lowest}")


def _of_capacity(capacity: Capacity, path: str) -> Iterator[Problem]:
    yield from _of_tiers(capacity.tiers, path)
    if any(later.number <= earlier.number for earlier, later in pairwise(capacity.from_event)):
        yield Problem(
            "events_not_rising", f"{path}from_event", "each entry must have a later event than the last"
        )


def _of_energy(energy: Energy, path: str) -> Iterator[Problem]:
    yield from _of_tiers(energy.tiers, path)
    if energy.price == "rate" and energy.rate is None:
        yield Problem("energy_without_rate", f"{path}rate", 'give a rate, or `price: "event"`')
    if energy.price == "event" and energy.rate is not None:
        yield Problem("energy_with_two_rates", f"{path}rate", 'leave it out with `price: "event"`')


def _of_penalty(penalty: Penalty, path: str) -> Iterator[Problem]:
    if Decimal(penalty.rate) < 0 or _value(penalty.max_per_event, 0) < 0:
        yield Problem(
            "penalty_negative", f"{path}rate", "rate and max_per_event are amounts owed, not below 0"
        )
    if Decimal(penalty.threshold) < 0:
        yield Problem("threshold_negative", f"{path}threshold", "must not be below 0")


def _of_tiers(tiers: Sequence[Tier] | None, path: str) -> Iterator[Problem]:
    if any(Decimal(later.from_) <= Decimal(earlier.from_) for earlier, later in pairwise(tiers or ())):
        yield Problem("tiers_not_rising", f"{path}tiers", "each `from` must be above that of the tier before")


def _value(text: str | None, default: int) -> Decimal:
    return Decimal(default if text is None else text)
