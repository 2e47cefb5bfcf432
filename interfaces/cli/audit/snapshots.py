"""What `gridproof audit verify --snapshots` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_table

if TYPE_CHECKING:
    from application.event_store.snapshot_report import SnapshotReport


def print_snapshots(report: SnapshotReport) -> None:
    if report.findings:
        print_table(
            ["what", "stream", "version"],
            [(finding.kind, finding.stream_id, finding.version) for finding in report.findings],
        )
    wrong = len(report.findings) + report.more_findings
    result = f"{wrong} snapshots DO NOT HOLD" if wrong else "the snapshots hold"
    click.echo(
        f"{result}; {report.equal} equal a fold of their streams, not used: {report.without_mac} without a MAC, "
        f"{report.other_schema} of another release"
    )
