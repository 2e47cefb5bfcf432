"""A simulated day as a table with one row per cycle: forecast quality, open alerts and actions."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from domain.forecast import BEST_FIRST, CYCLE
from tests.chaos.forecast_day.day_expectations import facts_by_place
from tests.chaos.forecast_day.forecast_day import Day

SHOWN = ("weather_unavailable", "degraded_forecast", "forecast_conflicts")
HEAD = (
    "| cycles | full | stale weather | no weather | stale data | both | alerts | what was done |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table_of(day: Day) -> str:
    """A Markdown table; equal consecutive cycles share a row."""
    standing: dict[datetime, Counter[str]] = {}
    for (_, cycle_start), facts in facts_by_place(day.facts).items():
        standing.setdefault(cycle_start, Counter())[facts[-1].data_quality] += 1
    rows: list[tuple[list[datetime], tuple[str, ...], str]] = []
    cycle = min(standing)
    while cycle <= max(standing):
        counts = standing.get(cycle, Counter())
        cells = (*(str(counts[quality] or "") for quality in BEST_FIRST), _alerts(day, cycle))
        done = "; ".join(f"{at:%H:%M} {words}" for at, words in events(day) if cycle <= at < cycle + CYCLE)
        if rows and rows[-1][1] == cells and not done:
            rows[-1][0].append(cycle)
        else:
            rows.append(([cycle], cells, done))
        cycle += CYCLE
    return "\n".join([HEAD, *(_row(*row) for row in rows)])


def _row(cycles: list[datetime], cells: tuple[str, ...], done: str) -> str:
    several = f" to {cycles[-1]:%H:%M} ({len(cycles)})" if len(cycles) > 1 else ""
    return f"| {cycles[0]:%H:%M}{several} | {' | '.join(cells)} | {done} |"


def events(day: Day) -> list[tuple[datetime, str]]:
    """The actions on the system and the deaths of workers."""
    return sorted([*day.notes, *((at, f"{name} dies") for at, name in day.schedulers.deaths)])


def _alerts(day: Day, cycle: datetime) -> str:
    ends = cycle + CYCLE
    open_ones = Counter(
        alert.name
        for alert in day.alerts
        if alert.name in SHOWN
        and alert.raised_at < ends
        and (alert.cleared_at is None or alert.cleared_at >= ends)
    )
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(open_ones.items()))
