"""Settlements as tables for people."""

import click

from application.settlement.shapes import (
    ComputedSettlements,
    PeriodDocument,
    ResettlementFigures,
    SettlementDocument,
)
from interfaces.cli.console.printing import print_fields, print_table, printable, written


def print_settlements(found: ComputedSettlements) -> None:
    """Each settlement, then the period."""
    for document in found.settlements:
        print_settlement(document)
        click.echo()
    if found.period is not None:
        print_period(found.period)


def print_settlement(document: SettlementDocument) -> None:
    """Lines with their formula in numbers, facilities, flags, what changed, the total."""
    performance = document.performance
    reasons = ", ".join(document.reasons)
    print_fields(
        [
            ("DR event", printable(document.dr_event_id)),
            ("program", f"{printable(document.program_id)}, version {document.program_version}"),
            ("kind", printable(document.kind)),
            ("window", f"{written(document.window_starts_at)} to {written(document.window_ends_at)}"),
            ("status", document.status.replace("_", " ") + (f": {reasons}" if reasons else "")),
            ("revision", str(document.revision)),
            ("performance", performance),
        ]
    )
    if document.lines:
        print_table(
            ["unit", "component", "formula", f"amount {document.currency}", "note"],
            [
                (printable(line.unit), line.component, line.formula, line.amount.rjust(14), line.note)
                for line in document.lines
            ],
        )
    if document.facilities:
        print_table(
            ["facility", "result", "coverage", "committed kWh", "delivered kWh", "gross", "net", "left out"],
            [
                (
                    printable(one.facility_id),
                    one.result.replace("_", " "),
                    one.coverage,
                    one.committed_kwh,
                    one.delivered_kwh,
                    one.gross,
                    one.net,
                    _left_out(one.reason, None if one.baseline is None else one.baseline.impossible),
                )
                for one in document.facilities
            ],
        )
    for flag in document.flags:
        click.echo(f"flag {flag.flag}, {printable(flag.facility_id)}: {flag.figure}. {flag.means} {flag.do}")
    if document.resettlement is not None:
        _print_resettlement(document.resettlement, document.currency)
    click.echo(f"total {document.total} {document.currency}")


def _left_out(reason: str | None, why: str | None) -> str | None:
    return f"{reason}: {printable(why)}" if reason and why else reason


def _print_resettlement(found: ResettlementFigures, currency: str) -> None:
    click.echo(f"changed since revision {found.of_revision}:")
    print_table(
        ["unit", "component", "old", "new", f"difference {currency}"],
        [(printable(one.unit), one.component, one.old, one.new, one.difference) for one in found.changes],
    )
    reasons = ", ".join(f"{one.why} {one.amount}" for one in found.by_reason) or "none"
    click.echo(f"difference {found.difference} {currency}; by reason: {reasons}")


def print_period(found: PeriodDocument) -> None:
    """The capacity of a month or season."""
    click.echo(f"capacity of {found.period}, program {printable(found.program_id)}")
    if found.lines:
        print_table(
            ["unit", "DR events", "performance", "formula", f"amount {found.currency}"],
            [
                (printable(line.unit), line.events, line.performance, line.formula, line.amount)
                for line in found.lines
            ],
        )
        print_table(
            ["facility", "gross", "net"],
            [(printable(one.facility_id), one.gross, one.net) for one in found.facilities],
        )
    click.echo(f"total of the period {found.total} {found.currency}")
