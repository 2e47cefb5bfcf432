"""Output of a baseline: a table for people, a JSON document for programs."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.table import Table

from application.measurement.baseline import ExplainedBaseline
from domain.baseline import Adjustment, Baseline, BaselineDay, BaselineInterval, SkippedDay
from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.model import RegressionFigures
from domain.baseline.regression.uncertainty import SavingsUncertainty


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
    regression: RegressionFigures | None
    uncertainty: SavingsUncertainty | None
    """Of `regression`."""
    expected_error: ExpectedError | None
    """Of the other methods."""


def baseline_document(
    explained: ExplainedBaseline, error: ExpectedError | None, *, facility: str, method: str, tz: ZoneInfo
) -> BaselineDocument:
    found = explained.baseline
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
        regression=explained.regression,
        uncertainty=explained.uncertainty,
        expected_error=error,
    )


def print_baseline(
    explained: ExplainedBaseline, error: ExpectedError | None, *, facility: str, method: str, tz: ZoneInfo
) -> None:
    """Print a table of the intervals in local time, followed by an explanation of the numbers."""
    found = explained.baseline
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
    for line in [*_explanation(found), *_error(explained, error)]:
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


def _error(explained: ExplainedBaseline, error: ExpectedError | None) -> list[str]:
    lines = []
    if (fit := explained.regression) is not None:
        lines.append(
            f"fitted to {fit.training_hours} hours, {fit.training_starts_at:%Y-%m-%d} to "
            f"{fit.training_ends_at:%Y-%m-%d}; residuals {fit.residual_kw:.3f} kW, autocorrelation "
            f"{fit.autocorrelation:.2f}; change points "
            + (", ".join(f"{point:.1f}" for point in fit.change_points_c) or "none")
            + " degrees Celsius"
        )
    if (known := explained.uncertainty) is not None:
        lines.append(
            f"uncertainty of the delivered power: {_plus_minus(known.kw_80, known.share_80)} at 80 %, "
            f"{_plus_minus(known.kw_90, known.share_90)} at 90 %"
        )
    if error is not None:
        lines.append(
            f"expected error of the method here: bias {error.bias:+.1%}, CVRMSE {error.cvrmse:.1%} "
            f"({error.days} days without a DR event)"
        )
    return lines


def _plus_minus(kw: float, share: float | None) -> str:
    return f"+-{kw:.3f} kW" + ("" if share is None else f" ({share:.0%})")


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
