"""Prints what became of the measurements that `gridproof audit check` computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.console.printing import print_table, printable

if TYPE_CHECKING:
    from application.ledger.recomputation.results import Recomputation, RecomputedFacility

MOST_PRINTED = 5
"""Differences of one facility; `--json` has more."""
_STATUS = {"equal": "ok", "differs": "DIFFERS", "not_recomputed": "not recomputed"}


def print_recomputation(found: Recomputation) -> None:
    """A row for each facility that was measured, then what differs, then the line with the result."""
    if found.facilities:
        print_table(
            [
                "facility",
                "method",
                "baseline kW",
                "metered kW",
                "delivered kW",
                "recomputed kW",
                "days sealed",
                "result",
            ],
            [_row(one) for one in found.facilities],
        )
    for one in found.facilities:
        if one.why:
            _echo(f"{one.facility_id}: not recomputed: {one.why}")
        for difference in one.differences[:MOST_PRINTED]:
            _echo(f"{one.facility_id}: {difference.sentence}")
        if (more := len(one.differences) - MOST_PRINTED) > 0:
            _echo(f"{one.facility_id}: and {more} more differences, see --json")
    for note, facilities in _notes(found).items():
        _echo(f"{note} ({len(facilities)} facilities)")
    if found.total is not None and not found.total.is_equal:
        click.echo(
            f"the sum of the DR event: recorded {found.total.recorded_kw:.3f} kW, "
            f"recomputed {found.total.recomputed_kw:.3f} kW"
        )
    click.echo(found.line)


def recomputation_document(found: Recomputation) -> dict[str, Any]:
    """For `--json`."""
    return {
        "line": found.line,
        "equal": found.count("equal"),
        "differs": found.count("differs"),
        "not_recomputed": found.count("not_recomputed"),
        "dispatches": found.dispatches,
        "total": found.total,
        "facilities": [
            {
                **{name: getattr(one, name) for name in one.__struct_fields__ if name != "figures"},
                "sentences": [difference.sentence for difference in one.differences],
            }
            for one in found.facilities
        ],
    }


def _row(one: RecomputedFacility) -> tuple[Any, ...]:
    again = one.recomputed
    return (
        printable(one.facility_id),
        printable(one.method),
        _kw(one.recorded.baseline_kw),
        _kw(one.recorded.metered_kw),
        _kw(one.recorded.delivered_kw),
        _kw(None if again is None else again.delivered_kw),
        f"{one.sealed_days} of {sum(day.has_readings for day in one.days)}" if one.days else "-",
        _STATUS[one.status],
    )


def _echo(line: str) -> None:
    click.echo(printable(line))


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _notes(found: Recomputation) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    for one in found.facilities:
        for note in one.notes:
            notes.setdefault(note, []).append(one.facility_id)
    return notes
