"""`gridproof settlement run`: settles a DR event of the running system now, or again."""

from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_answer, print_fields, printable
from interfaces.cli.settlement.running import opened_system

if TYPE_CHECKING:
    from application.commands.dr_event import SettlementOutcome

EXAMPLE = """
\b
Examples:
  gridproof settlement run UTIL-2026-0042
  gridproof settlement run UTIL-2026-0042 --reason "the program's rate was corrected"
  gridproof settlement run UTIL-2026-0042 --rule same --json

A DR event is settled by itself once each of its facilities is measured, or known to be not measurable, and again
after corrections, ever further apart, at most a day. This does it now: after a new version of the program's rule, or
where a rule was missing. ID is ours, or the utility's own. Exit status: 0 also where nothing changed; 1 where it
cannot be settled yet, or is final.
"""


@click.command("run", epilog=EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option(
    "--reason",
    default="an operator asked for it",
    show_default=True,
    help="Recorded with a new revision, and shown to the utility.",
)
@click.option(
    "--rule",
    type=click.Choice(["newest", "same"]),
    default="newest",
    show_default=True,
    help="By the newest version of the program that has a rule, or by that of the revision in force.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run(*, reference: str, reason: str, rule: str, as_json: bool) -> None:
    """Settle a DR event now; without a change the revision in force stays."""
    from application.commands.dr_event import SettleDREvent, SettlementOutcome

    if not reason.strip() or len(reason) > 1_000 or "\0" in reason:
        raise click.BadParameter("give 1 to 1,000 characters", param_hint="--reason")
    with opened_system() as system:
        row = system.dr_event(reference)
        command = SettleDREvent(dr_event_id=row.dr_event_id, why=reason, by_newest_rule=rule == "newest")
        outcome: SettlementOutcome = system.handle(
            command, tenant=row.utility_id, reply_type=SettlementOutcome
        )
    print_answer(outcome, lambda: _print(outcome), as_json=as_json)


def _print(outcome: "SettlementOutcome") -> None:
    figures = outcome.figures
    total = "nothing is settled" if figures.total is None else f"{figures.total} {figures.currency}"
    print_fields(
        [
            ("DR event", outcome.dr_event_id),
            (
                "revision",
                f"{outcome.revision}, {'new' if outcome.recorded else 'as before: nothing changed'}",
            ),
            ("program", f"{printable(figures.program_id)}, version {figures.program_version}"),
            ("status", figures.status.replace("_", " ")),
            ("reasons", figures.reasons),
            ("total", total),
            ("final at", figures.final_at),
        ]
    )
    if "no_rule" in figures.reasons:
        click.echo(
            "The program has no settlement rule: write one with a currency into the portfolio file (check it with "
            "`gridproof settlement rules check`), import it with `gridproof facilities import`, and run this again.",
            err=True,
        )
