"""Reference implementation of rollups: reading by reading and second by second, without numpy.

domain/telemetry/facility_rollups.py and the stores are compared with it; it shares no code with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from domain.telemetry.meter_reading import MeterReading

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86_400


@dataclass(frozen=True)
class ReferenceRollup:
    mean_kw: float | None
    kwh: float | None
    min_kw: float | None
    max_kw: float | None
    coverage_pct: float
    readings: int
    replaced: int


def winners(readings: Iterable[MeterReading]) -> list[MeterReading]:
    """The reading that counts, per meter and moment."""
    trust = ["missing", "bad", "unknown", "estimated", "substituted", "measured"]

    def rank(r: MeterReading) -> tuple[object, ...]:
        lowest = float("inf")
        return (
            r.revision,
            trust.index(r.quality),
            -1 if r.seq is None else r.seq,
            -(lowest if r.kw is None else r.kw),
            -(lowest if r.kwh_total is None else r.kwh_total),
            not r.incomplete,
            r.extra or "",
        )

    best: dict[tuple[str, str, datetime], MeterReading] = {}
    for r in readings:
        key = (r.facility_id, r.meter_id, r.ts)
        if key not in best or rank(r) > rank(best[key]):
            best[key] = r
    return sorted(best.values(), key=lambda r: (r.meter_id, r.ts))


def reference_rollup(
    readings: list[MeterReading], facility_id: str, starts_at: datetime, step_s: int
) -> ReferenceRollup | None:
    """`readings` are winners. None: no meter of the facility has a reading for the step."""
    mine = [r for r in readings if r.facility_id == facility_id]
    if step_s == HOUR:
        return _hour(
            [
                reference_rollup(mine, facility_id, starts_at + timedelta(seconds=s), QUARTER)
                for s in range(0, HOUR, QUARTER)
            ]
        )
    quarter = starts_at.replace(minute=starts_at.minute - starts_at.minute % 15)
    after = [((r.ts - quarter).total_seconds(), r) for r in mine]
    expected = {r.meter_id for s, r in after if QUARTER - DAY <= s < QUARTER}
    if not any(0 <= s < QUARTER for s, _ in after):
        return None
    meters = [
        _Meter([(s, r) for s, r in after if r.meter_id == m]).step(
            (starts_at - quarter).total_seconds(), step_s
        )
        for m in sorted(expected)
    ]
    whole = all(m.mean_kw is not None for m in meters)
    found = ReferenceRollup(
        sum(m.mean_kw or 0.0 for m in meters) if whole else None,
        sum(m.kwh or 0.0 for m in meters) if whole and all(m.kwh is not None for m in meters) else None,
        sum(m.min_kw or 0.0 for m in meters) if whole else None,
        sum(m.max_kw or 0.0 for m in meters) if whole else None,
        sum(m.coverage_pct for m in meters) / len(meters),
        sum(m.readings for m in meters),
        sum(m.replaced for m in meters),
    )
    return found if found.readings or found.coverage_pct > 0 else None


def _hour(quarters: list[ReferenceRollup | None]) -> ReferenceRollup | None:
    there = [q for q in quarters if q is not None]
    if not there:
        return None

    def all_of(name: str) -> list[float] | None:
        values = [getattr(q, name) for q in there]
        return values if len(values) == 4 and None not in values else None

    means, kwhs, lows, highs = (all_of(name) for name in ("mean_kw", "kwh", "min_kw", "max_kw"))
    return ReferenceRollup(
        None if means is None else sum(means) / 4,
        None if kwhs is None else sum(kwhs),
        None if lows is None else min(lows),
        None if highs is None else max(highs),
        sum(q.coverage_pct for q in there) / 4,
        sum(q.readings for q in there),
        sum(q.replaced for q in there),
    )


class _Meter:
    """One meter's readings around one quarter-hour, in seconds after its start."""

    def __init__(self, readings: list[tuple[float, MeterReading]]) -> None:
        self.points = [
            (at, r)
            for at, r in readings
            if r.quality not in ("bad", "missing") and -QUARTER <= at < QUARTER + 300
        ]
        early = [at for at, _ in self.points if at < QUARTER]
        gaps = [b - a for a, b in pairwise(early)]
        reach = 4 * (median(gaps) if gaps else 15.0)
        nexts = [at for at, _ in self.points[1:]] + [float("inf")]
        self.spans = [(at, min(at + reach, n), r) for (at, r), n in zip(self.points, nexts, strict=False)]
        self.pairs, self.jumped = self._pairs()

    def _pairs(self) -> tuple[list[tuple[float, float, float]], bool]:
        registers = [(at, r) for at, r in self.points if r.kwh_total is not None]
        powers = [abs(r.kw) for _, r in self.points if r.kw is not None]
        steps = [
            (a, b, float(p.kwh_total or 0.0), float(q.kwh_total or 0.0), q.kw)
            for (a, p), (b, q) in pairwise(registers)
        ]
        rates = sorted(rate for a, b, p, q, _ in steps if (rate := (q - p) / ((b - a) / 3600)) > 0)
        power = max(powers) if powers else (rates[(len(rates) - 1) // 2] if rates else None)
        pairs, jumped = [], False
        for a, b, before, after, kw in steps:
            kwh = _counted(before, after, (b - a) / 3600, power, kw)
            if kwh is not None:
                pairs.append((a, b, kwh))
            elif b > 0 and a < QUARTER:
                jumped = True
        return pairs, jumped

    def step(self, start: float, step_s: int) -> ReferenceRollup:
        end = start + step_s
        inside = [r for at, r in self.points if start <= at < end]
        powers = [r.kw for r in inside if r.kw is not None]
        held = [(_overlap(a, b, start, end), r.kw) for a, b, r in self.spans if r.kw is not None]
        held_s = sum(seconds for seconds, _ in held)
        counted_s = sum(_overlap(a, b, start, end) for a, b, _ in self.pairs)
        counted = sum(kwh * _overlap(a, b, start, end) / (b - a) for a, b, kwh in self.pairs)
        mean, by_power = None, True
        if powers:
            mean = sum(powers) / len(powers)
        elif held_s >= step_s / 2:
            mean = sum(seconds * kw for seconds, kw in held) / held_s
        elif counted_s > 0:
            mean, by_power = counted * 3600 / counted_s, False
        kwh = None
        if mean is not None:
            missing_s = max(step_s - counted_s, 0.0)
            kwh = mean * step_s / 3600 if self.jumped and by_power else counted + mean * missing_s / 3600
        return ReferenceRollup(
            mean,
            kwh,
            min(powers) if powers else mean,
            max(powers) if powers else mean,
            100 * sum(_overlap(a, b, start, end) for a, b, _ in self.spans) / step_s,
            len(inside),
            sum(r.quality in ("estimated", "substituted") for r in inside),
        )


def _overlap(a: float, b: float, start: float, end: float) -> float:
    return max(0.0, min(b, end) - max(a, start))


def _counted(
    before: float, after: float, hours: float, power: float | None, kw: float | None
) -> float | None:
    limit = min(float("inf") if power is None else 20 * power * hours + 10, 1e6 * hours)
    step = after - before
    if 0 <= step <= limit or (step < 0 and kw is not None and kw < 0 and -step <= limit):
        return step
    if step < 0 and before > 0 and after >= 0:
        power_of_ten = 10.0
        while power_of_ten <= before:
            power_of_ten *= 10
        for end in (power_of_ten, 2**32 / 1000, 2**32):
            if 0.99 * end <= before < end and step + end <= limit:
                return step + end
    return None
