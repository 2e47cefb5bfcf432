"""The demo's report for people: timeline, figures and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from application.settlement.shapes import LineFigures
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.demo.document import DemoDocument
from interfaces.demo.run import Demo
from interfaces.demo.settlement import SettlementCheck

MOST_UNITS = 12
_MILESTONES: dict[type[DomainEvent], str] = {
    DREvent.Opened: "notification received",
    DREvent.Rejected: "notification rejected",
    DREvent.Accepted: "accepted, facilities reserved",
    DREvent.Scheduled: "plan made from the forecasts",
    DREvent.PreparationStarted: "preparation begins",
    DREvent.Started: "the window begins",
    DREvent.Ended: "the window ends",
    DREvent.Completed: "completed, facilities released",
    DREvent.Measured: "delivery measured",
    DREvent.Settled: "settled",
    DREvent.Resettled: "settled again",
}
_OF_DISPATCHES: dict[type[DomainEvent], str] = {
    Dispatch.Prepared: "prepared",
    Dispatch.Committed: "committed",
    Dispatch.VerifiedByBms: "verified by their BMS",
    Dispatch.VerifiedByMeter: "verified by their meters",
    Dispatch.Failed: "failed",
    Dispatch.Compensated: "compensated",
    Dispatch.Restored: "restored",
    Dispatch.Measured: "measured",
}


def print_report(console: Console, run: Demo, document: DemoDocument) -> None:
    """Print the timeline, the figures, and the faults or that all checks passed."""
    console.print(_timeline(run.log))
    console.print(_figures(document))
    for facility_id, reason in sorted(document.failed_facilities.items()):
        console.print(f"[yellow]failed[/yellow]  {facility_id}: {reason}")
    for killed in run.killed:
        console.print(f"[yellow]killed[/yellow]  a worker by SIGKILL; work in flight: {killed}")
    print_settlement(console, document.settlement)
    for fault in document.faults:
        console.print(f"[red]FAULT[/red]   {fault}")
    if document.proof.recomputed:
        console.print(document.proof.recomputed)
    if document.proof.settlement:
        console.print(document.proof.settlement)
    if document.faults:
        console.print(f"[red]{len(document.faults)} faults[/red] in {document.seconds:g} s")
    else:
        console.print(f"[green]all checks passed[/green] in {document.seconds:g} s")


def print_settlement(console: Console, settlement: SettlementCheck) -> None:
    """Print the lines of the statement, each with its formula, and why it changed. Of many facilities, the lines of
    the first, and what those of the others add up to: `--json` has all of them."""
    if settlement.total is None:
        console.print(f"settlement  {settlement.status.replace('_', ' ')}: {', '.join(settlement.reasons)}")
        return
    currency = settlement.currency or ""
    revision = f", revision {settlement.revision}" if settlement.revision else ""
    table = Table(title=f"Settlement{revision}", title_justify="left", show_edge=False)
    table.add_column("facility")
    table.add_column("line")
    table.add_column("formula", overflow="fold")
    table.add_column(currency, justify="right")
    units = list(dict.fromkeys(line.unit for line in settlement.lines))
    listed = set(units if len(units) <= MOST_UNITS else units[:MOST_UNITS])
    for line in settlement.lines:
        if line.unit in listed:
            table.add_row(line.unit, line.component, line.formula, money(line.amount))
    table.add_section()
    for component, amount in _sums(line for line in settlement.lines if line.unit not in listed).items():
        table.add_row(f"{len(units) - len(listed)} others", component, "", money(str(amount)))
    table.add_section()
    table.add_row("", "total", "", money(settlement.total))
    console.print(table)
    for change in settlement.changes:
        console.print(
            f"changed: {change.unit} {change.component} from {money(change.old)} to {money(change.new)} {currency}"
        )
    for reason in settlement.by_reason:
        if Decimal(reason.amount):
            console.print(f"because of {reason.why}: {money(reason.amount)} {currency}")


def _sums(lines: Iterable[LineFigures]) -> dict[str, Decimal]:
    """Component -> sum."""
    found: dict[str, Decimal] = {}
    for line in lines:
        found[line.component] = found.get(line.component, Decimal(0)) + Decimal(line.amount)
    return found


def money(amount: str) -> str:
    """With thousands separators, and all its digits."""
    return f"{Decimal(amount):,}"


def _timeline(log: tuple[DomainEvent, ...]) -> Table:
    table = Table(title="Timeline", title_justify="left", show_edge=False)
    table.add_column("UTC")
    table.add_column("what")
    table.add_column("facilities", justify="right")
    rows: list[tuple[datetime, str, str]] = [
        (domain_event.recorded_at, _MILESTONES[type(domain_event)], "")
        for domain_event in log
        if type(domain_event) in _MILESTONES
    ]
    counts = Counter(type(domain_event) for domain_event in log)
    for kind, words in _OF_DISPATCHES.items():
        last = max(
            (domain_event.recorded_at for domain_event in log if type(domain_event) is kind), default=None
        )
        if last is not None:
            rows.append((last, words, str(counts[kind])))
    for at, what, number in sorted(rows):
        table.add_row(f"{at:%H:%M:%S}", what, number)
    return table


def _figures(document: DemoDocument) -> Table:
    facilities = document.facilities
    delivered = document.delivered_kw
    share = f"{delivered / document.target_kw:.0%}" if delivered is not None and document.target_kw else "-"
    table = Table(title="Outcome", title_justify="left", show_edge=False, show_header=False)
    for name, value in (
        ("DR event", document.dr_event_id),
        ("status", f"{document.status}, {document.outcome or 'no outcome'}"),
        (
            "facilities",
            (
                f"{facilities.asked} requested, {facilities.committed} committed, {facilities.failed} failed, "
                f"{facilities.restored} restored"
            ),
        ),
        (
            "delivered",
            f"{delivered:,.1f} of {document.target_kw:,.1f} kW ({share})"
            if delivered is not None
            else document.settlement_status.replace("_", " "),
        ),
        ("BMS commands carried out twice", str(document.duplicate_bms_commands)),
        ("zones curtailed after the end", str(document.curtailed_after_end)),
        ("domain events", f"{document.domain_events:,}"),
        (
            "ledger",
            (
                f"{'verified' if document.ledger.verified else 'DOES NOT VERIFY'}: {document.ledger.domain_events:,} "
                f"domain events under {document.ledger.checkpoints} signed checkpoints"
            ),
        ),
        ("proof", document.proof.recomputed or "none"),
        *([("", f"written to {document.proof.file}")] if document.proof.file else []),
    ):
        table.add_row(name, value)
    return table
