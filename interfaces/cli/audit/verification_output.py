"""The output of `gridproof audit verify`: the ledger, the settlements, and the snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_table

if TYPE_CHECKING:
    from application.event_store.snapshot_report import SnapshotReport
    from application.ledger.verification_report import LedgerReport
    from application.settlement.verification import SettlementReport

NOT_EXTENDED = ("rollback", "fork", "restored")


def print_ledger(report: LedgerReport, seconds: float) -> None:
    from application.ledger.restores import lost_text

    print_table(
        ["log", "verified", "sealed up to", "newest", "not sealed yet"],
        [(log.log, log.domain_events, log.sealed_to, log.head, log.unsealed) for log in report.logs],
    )
    if report.findings:
        print_table(
            ["what", "log", "position", "found"],
            [
                (
                    found.kind,
                    found.log,
                    found.position if found.through is None else f"{found.position} to {found.through}",
                    found.detail,
                )
                for found in report.findings
            ],
        )
    for restore in report.restores:
        click.echo(lost_text(restore))
    if report.stream_map is not None and not any(found.kind == "map" for found in report.findings):
        click.echo(
            f"the map of {report.stream_map.streams} streams under checkpoint {report.stream_map.checkpoint} is that "
            "of the log"
        )
    if report.witness is not None and not any(f.kind in NOT_EXTENDED for f in report.findings):
        click.echo(f"the ledger extends checkpoint {report.witness}, which you kept")
    wrong = sum(log.more_findings for log in report.logs) + sum(
        found.kind != "restored" for found in report.findings
    )
    said = f"DOES NOT HOLD: {wrong} findings" if wrong else "holds"
    domain_events = sum(log.domain_events for log in report.logs)
    click.echo(
        f"the ledger {said}; {domain_events} domain events under {report.checkpoints} checkpoints in "
        f"{seconds:.2f} s, signed by {report.public_key}"
    )


def print_settlements(report: SettlementReport) -> None:
    if report.findings:
        print_table(
            ["what", "DR event", "revision", "position", "found"],
            [
                (found.kind, found.dr_event_id, found.revision, found.position, found.detail)
                for found in report.findings
            ],
        )
    result = (
        f"the settlements DO NOT HOLD: {len(report.findings)} findings"
        if report.findings
        else "the settlements hold"
    )
    click.echo(f"{result}; {report.settlements} compared with what follows from the log, without telemetry")


def print_snapshots(report: SnapshotReport) -> None:
    if report.findings:
        print_table(
            ["what", "stream", "version"],
            [(finding.kind, finding.stream_id, finding.version) for finding in report.findings],
        )
    wrong = len(report.findings) + report.more_findings
    result = f"{wrong} snapshots DO NOT HOLD" if wrong else "the snapshots hold"
    click.echo(
        f"{result}; {report.equal} equal a fold of their streams, not used: {report.other_schema} of another release"
    )
