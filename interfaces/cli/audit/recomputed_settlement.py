"""Prints what became of the settlements that `gridproof audit check` computed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from interfaces.cli.audit.recomputation import MOST_PRINTED
from interfaces.cli.console.printing import print_table, printable, written

if TYPE_CHECKING:
    from application.ledger.recomputation.settlement.results import (
        RecomputedLine,
        RecomputedRevision,
        SettlementRecomputation,
    )

MOST_LINES = 60
"""Of a settlement; those that differ first. `--json` has all."""
_DOCUMENTS = {
    "equal": "as recorded",
    "differs": "CHANGED",
    "left_out": "not in the file",
    "unreadable": "not readable",
    "none": "-",
}


def print_recomputed_settlements(found: SettlementRecomputation) -> None:
    """The newest revision line by line, all revisions, what is not compared, what differs, then the result."""
    newest = found.newest
    click.echo(
        f"\nThe settlement, revision {newest.revision}: from version {newest.program_version} of the program, the DR "
        f"event, and the measurements before position {newest.position}"
    )
    print_table(
        ["unit", "line", "formula in numbers", "recorded", "recomputed", "result"], _line_rows(newest)
    )
    if (more := len(newest.lines) - MOST_LINES) > 0:
        click.echo(f"and {more} more lines, see --json")
    if (again := newest.from_readings) is not None and newest.total is not None:
        others = "" if again.facilities == again.measured else ", the others as they were recorded"
        _echo(
            f"from the readings in the file: {written(again.total)} {newest.currency}; "
            f"{again.facilities} of {again.measured} measurements were computed again{others}"
        )
    print_table(
        [
            "revision",
            "settled at",
            "why",
            "total",
            "recomputed",
            "difference",
            "because of",
            "document",
            "result",
        ],
        [_revision_row(one) for one in found.revisions],
    )
    for one in found.revisions:
        for note in one.notes:
            _echo(f"revision {one.revision}: {note}")
    if not found.is_newest:
        click.echo(
            "what was recorded after the newest revision gives other figures: it is not settled again yet"
        )
    for one in found.revisions:
        for difference in one.differences[:MOST_PRINTED]:
            _echo(f"revision {one.revision}: {difference.sentence}")
        if (more := len(one.differences) - MOST_PRINTED) > 0:
            click.echo(f"revision {one.revision}: and {more} more differences, see --json")
    _echo(found.line)


def settlements_document(found: SettlementRecomputation) -> dict[str, Any]:
    """For `--json`."""
    return {
        "line": found.line,
        "differs": found.differs,
        "is_newest": found.is_newest,
        "revisions": [
            {**msgspec.structs.asdict(one), "sentences": [d.sentence for d in one.differences]}
            for one in found.revisions
        ],
    }


def _line_rows(revision: RecomputedRevision) -> list[tuple[Any, ...]]:
    lines: Sequence[RecomputedLine] = sorted(revision.lines, key=lambda one: one.is_equal)
    rows: list[tuple[Any, ...]] = [
        (
            printable(one.unit),
            one.component,
            printable(one.formula),
            one.recorded,
            one.recomputed,
            _result(one.recorded, one.recomputed),
        )
        for one in lines[:MOST_LINES]
    ]
    total = (revision.total, revision.recomputed_total)
    return [
        *rows,
        ("total", "", _printable(revision.currency), _printable(total[0]), total[1], _result(*total)),
    ]


def _result(recorded: str | None, recomputed: str | None) -> str:
    if recorded == recomputed:
        return "ok"
    return "not compared" if recorded is None else "DIFFERS"


def _revision_row(one: RecomputedRevision) -> tuple[Any, ...]:
    reasons = ", ".join(f"{part.why} {part.amount}" for part in one.by_reason)
    return (
        one.revision,
        one.recorded_at,
        printable(one.why),
        printable(one.outcome),
        one.recomputed_total,
        _printable(one.difference),
        reasons,
        _DOCUMENTS[one.document],
        "DIFFERS" if one.differs else "ok",
    )


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)


def _echo(line: str) -> None:
    click.echo(printable(line))
