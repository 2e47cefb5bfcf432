"""Output of a baseline: a table for people, a JSON document for programs."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.table import Table

from domain.baseline import Adjustment, Baseline, BaselineDay, BaselineInterval, SkippedDay


class BaselineDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `baseline compute --json`; powers are mean kW, times UTC, days local."""

    method: str
    facility: str
    tz: str
    days: tuple[date, ...]
    days_considered: tuple[BaselineDay, ...]
    days_skipped: tuple[SkippedDay, ...]
    adjustment: Adjustment
    intervals: tuple[BaselineInterval, ...]
    missing: tuple[datetime, ...]
    delivered_kw: float | None
    delivered_kwh: float


def baseline_document(found: Baseline, *, facility: str, method: str, tz: ZoneInfo) -> BaselineDocument:
    return BaselineDocument(
        method=method,
        facility=facility,
        tz=tz.key,
        days=found.days,
        days_considered=found.candidates,
        days_skipped=found.skipped,
        adjustment=found.adjustment,
        intervals=found.intervals,
        missing=found.missing,
        delivered_kw=found.delivered_kw,
        delivered_kwh=found.delivered_kwh,
    )


def print_baseline(found: Baseline, *, facility: str, method: str, tz: ZoneInfo) -> None:
    """Print a table of the intervals in local time, followed by an explanation of the numbers."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=f"{facility}: {method}, times in {tz.key}")
    table.add_column("starts at")
    for column in ("baseline kW", "adjusted kW", "metered kW", "delivered kW"):
        table.add_column(column, justify="right")
    for interval in found.intervals:
        table.add_row(
            interval.starts_at.astimezone(tz).strftime("%Y-%m-%d %H:%M"),
            _kw(interval.baseline_kw),
            _kw(interval.adjusted_kw),
            _kw(interval.metered_kw),
            _kw(interval.delivered_kw),
        )
    console.print(table)
    for line in _explanation(found):
        console.print(line, markup=False)


def _explanation(found: Baseline) -> list[str]:
    delivered = f"delivered: {_kw(found.delivered_kw)} kW on average, {found.delivered_kwh:.3f} kWh"
    lines = [delivered, _adjustment(found.adjustment)]
    if found.days:
        lines.append("days: " + ", ".join(day.isoformat() for day in found.days))
    dropped = [
        f"{candidate.day} {candidate.use.removeprefix('dropped_')} ({candidate.mean_kw:.3f} kW)"
        for candidate in found.candidates
        if candidate.use != "used"
    ]
    if dropped:
        lines.append("dropped: " + ", ".join(dropped))
    if found.skipped:
        lines.append("skipped: " + ", ".join(f"{s.day} {s.why.replace('_', ' ')}" for s in found.skipped))
    if found.missing:
        lines.append("missing readings: " + ", ".join(at.isoformat() for at in found.missing))
    return lines


def _adjustment(adjustment: Adjustment) -> str:
    if adjustment.value is None:
        return "adjustment: none"
    value = (
        f"{adjustment.value:.4f}" if adjustment.kind == "multiplicative" else f"{adjustment.value:+.3f} kW"
    )
    parts = [f"adjustment: {adjustment.kind} {value}"]
    if adjustment.clipped and adjustment.raw is not None:
        parts.append(f"clipped from {adjustment.raw:.4f}")
    if adjustment.metered_kw is not None and adjustment.baseline_kw is not None:
        parts.append(
            f"{adjustment.metered_kw:.3f} kW metered against {adjustment.baseline_kw:.3f} kW before the start"
        )
    if adjustment.missing:
        parts.append(f"{len(adjustment.missing)} intervals not metered")
    return "; ".join([*parts, *([adjustment.note] if adjustment.note else [])])


def _kw(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"
