"""What `gridproof audit verify` prints about settlements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_table

if TYPE_CHECKING:
    from application.settlement.verification import SettlementReport


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
