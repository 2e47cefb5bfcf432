"""The chart of a statement, as inline SVG: baseline and metered load, and below them what was delivered."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape
from math import floor, log10
from typing import NamedTuple

from application.settlement.formula import rfc3339
from application.settlement.shapes import FacilityFigures, SettlementDocument
from domain.settlement.inputs import MeteringStep
from interfaces.settlement.statement.page import drawing
from interfaces.svg import label, picture, shape

WIDTH, LEFT, RIGHT = 900, 62, 8
TOP, LOADS_HEIGHT, GAP, DELIVERED_HEIGHT = 22, 170, 34, 110
HEIGHT = TOP + LOADS_HEIGHT + GAP + DELIVERED_HEIGHT + 24
MOST_LABELS = 9


class ChartStep(NamedTuple):
    """The sums of a metering step over the facilities, kW."""

    starts_at: datetime
    baseline_kw: float
    metered_kw: float


class Goal(NamedTuple):
    """The power committed in a settlement interval, kW."""

    starts_at: datetime
    seconds: int
    committed_kw: float


def chart_steps(document: SettlementDocument) -> list[ChartStep]:
    """In order of time, of the counted facilities. For the picture only, so floats.

    Where the load of a facility is unknown, the mean of its interval stands for it, as in the settlement.
    """
    sums: dict[datetime, tuple[float, float]] = {}
    for facility in document.facilities:
        for step in facility.steps if facility.counted else ():
            if step.adjusted_kw is None or (load := _load(facility, step)) is None:
                continue
            baseline, metered = sums.get(step.starts_at, (0.0, 0.0))
            sums[step.starts_at] = (baseline + float(step.adjusted_kw), metered + load)
    return [ChartStep(at, *sums[at]) for at in sorted(sums)]


def _load(facility: FacilityFigures, step: MeteringStep) -> float | None:
    if step.metered_kw is not None:
        return float(step.metered_kw)
    delivered_kw = None
    for interval in facility.intervals:
        if interval.starts_at <= step.starts_at:
            delivered_kw = interval.delivered_kw
    return None if delivered_kw is None else float(step.adjusted_kw or 0) - float(delivered_kw)


def goals(document: SettlementDocument) -> list[Goal]:
    sums: dict[datetime, tuple[int, float]] = {}
    for unit in document.units:
        for interval in unit.intervals:
            seconds, kw = sums.get(interval.starts_at, (0, 0.0))
            sums[interval.starts_at] = (max(seconds, interval.seconds), kw + float(interval.committed_kw))
    return [Goal(at, *sums[at]) for at in sorted(sums)]


def chart(document: SettlementDocument, local: Callable[[datetime], str]) -> str:
    """Empty where nothing was measured. `local` writes a time of the axis."""
    steps = chart_steps(document)
    if not steps:
        return ""
    begin, end = document.window_starts_at, document.window_ends_at
    step = timedelta(seconds=document.step_s)

    def x(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((at - begin) / (end - begin))

    loads = [value for sums in steps for value in (sums.baseline_kw, sums.metered_kw)]
    upper = _Scale(min([0.0, *loads]), max([0.0, *loads]), TOP, LOADS_HEIGHT)
    delivered = [sums.baseline_kw - sums.metered_kw for sums in steps]
    committed = goals(document)
    below = TOP + LOADS_HEIGHT + GAP
    heights = [0.0, *delivered, *(goal.committed_kw for goal in committed)]
    lower = _Scale(min(heights), max(heights), below, DELIVERED_HEIGHT)
    parts = [*_grid(upper), *_grid(lower), *_times(begin, end, step, x, local)]
    for sums, kw in zip(steps, delivered, strict=True):
        first, width = x(sums.starts_at), x(sums.starts_at + step) - x(sums.starts_at)
        title = f"{local(sums.starts_at)}: {kw:,.3f} kW delivered"
        parts.append(
            shape(
                "rect",
                shape("title", escape(title)),
                class_="done" if kw >= 0 else "less",
                data_origin=f"step/{rfc3339(sums.starts_at)}",
                x=first + 1,
                y=min(lower.y(kw), lower.y(0.0)),
                width=max(width - 2, 0.5),
                height=abs(lower.y(kw) - lower.y(0.0)),
            )
        )
    parts += [
        shape("path", class_="base", d=_steps_path(steps, "baseline_kw", step, x, upper)),
        shape("path", class_="load", d=_steps_path(steps, "metered_kw", step, x, upper)),
        shape("path", class_="goal", d=_goals_path(committed, x, lower)),
        label("baseline, adjusted (dashed)", class_="b", x=LEFT, y=12),
        label("metered", class_="l", x=LEFT + 190, y=12),
        label("delivered", class_="d", x=LEFT, y=below - 8),
        label("committed (dotted)", class_="t", x=LEFT + 90, y=below - 8),
    ]
    said = "Baseline, metered and delivered power in each metering step of the window, kW"
    drawn = picture(WIDTH, HEIGHT, parts, role="img", aria_label=said)
    explained = f"{said}, the sum of the counted facilities. The numbers are in the tables below."
    return drawing(drawn, explained)


class _Scale:
    """kW to a height of the picture."""

    def __init__(self, low: float, high: float, top: int, height: int) -> None:
        self.tick = _tick(high - low)
        self.low = floor(low / self.tick) * self.tick
        self.high = max(-floor(-high / self.tick) * self.tick, self.low + self.tick)
        self._top, self._height = top, height

    def y(self, kw: float) -> float:
        return self._top + self._height * (self.high - kw) / (self.high - self.low)

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.tick)
        return [self.low + self.tick * number for number in range(count + 1)]


def _tick(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are about four."""
    if span <= 0:
        return 1.0
    power = 10.0 ** floor(log10(span / 4))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / 4)


def _grid(scale: _Scale) -> list[str]:
    parts = []
    for kw in scale.ticks():
        y = scale.y(kw)
        kind = "zero" if kw == 0 else "grid"
        parts.append(shape("line", class_=kind, x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        parts.append(label(f"{kw:,.10g}", x=LEFT - 6, y=y + 4, text_anchor="end"))
    return parts


def _times(
    begin: datetime,
    end: datetime,
    step: timedelta,
    x: Callable[[datetime], float],
    local: Callable[[datetime], str],
) -> list[str]:
    count = (end - begin) // step
    every = max(1, -(-count // (MOST_LABELS - 1)))
    parts = []
    for number in range(0, count + 1, every):
        at = begin + step * number
        place = "start" if number == 0 else "end" if at == end else "middle"
        parts.append(label(local(at), x=x(at), y=HEIGHT - 6, text_anchor=place))
    return parts


def _steps_path(
    steps: Sequence[ChartStep],
    member: str,
    step: timedelta,
    x: Callable[[datetime], float],
    scale: _Scale,
) -> str:
    """A line of steps, with a gap where a step is missing."""
    parts: list[str] = []
    last: datetime | None = None
    for sums in steps:
        y = scale.y(getattr(sums, member))
        move = "L" if sums.starts_at == last else "M"
        last = sums.starts_at + step
        parts.append(f"{move}{x(sums.starts_at):.1f} {y:.1f}H{x(last):.1f}")
    return "".join(parts)


def _goals_path(committed: Sequence[Goal], x: Callable[[datetime], float], scale: _Scale) -> str:
    return "".join(
        f"M{x(goal.starts_at):.1f} {scale.y(goal.committed_kw):.1f}"
        f"H{x(goal.starts_at + timedelta(seconds=goal.seconds)):.1f}"
        for goal in committed
    )
