"""`gridproof settlement show`: the settlement of a DR event in force, or an earlier revision."""

import click

from interfaces.cli.console.printing import print_json, print_table
from interfaces.cli.settlement.report import print_settlement
from interfaces.cli.settlement.running import opened_system

EXAMPLE = """
\b
Examples:
  gridproof settlement show UTIL-2026-0042
  gridproof settlement show UTIL-2026-0042 --revision 0
  gridproof settlement show UTIL-2026-0042 --json > settlement.json

ID is ours, or the utility's own. Exit status: 0; 1 where there is no such settlement (yet): it says what is waited for.
"""


@click.command("show", epilog=EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option(
    "--revision",
    type=click.IntRange(0),
    metavar="N",
    help="An earlier one; 0 is the first. [default: in force]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the document as JSON.")
def show(*, reference: str, revision: int | None, as_json: bool) -> None:
    """Lines with their formula in numbers, facilities, flags, what changed, and the total."""
    from application.settlement.document import read_document
    from interfaces.settlement.documents import revision_in_force, stored_document

    with opened_system() as system:
        row = system.dr_event(reference)
        settlement = revision_in_force(row, revision)
        document = read_document(stored_document(system.documents, row, settlement))
    if as_json:
        print_json(document)
        return
    print_settlement(document)
    if len(row.settlements) > 1:
        print_table(
            ["revision", "settled at", "why", "total", "difference"],
            [
                (str(one.revision), one.settled_at, one.why, one.total, one.difference)
                for one in row.settlements
            ],
        )
