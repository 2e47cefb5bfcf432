"""`gridproof audit administration`: lists administrative acts."""

import click

from interfaces.cli.console.printing import print_json, print_table
from interfaces.cli.console.session import opened_stores

EXAMPLE = """
\b
Examples:
  gridproof audit administration
  gridproof audit administration --before 1234 --limit 1000 --json

Keys issued, rotated and revoked, dead letters decided, imports of history and portfolios, migrations applied, degraded
forecasts overridden. Other acts on a DR event are among its steps: `gridproof audit replay`. `gridproof keys list` and
`keys operators` name the ids.
"""


@click.command("administration", epilog=EXAMPLE)
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="Only before position N of the log.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def administration(*, before: int | None, limit: int, as_json: bool) -> None:
    """What people changed beside DR events, and overrides, the newest first."""
    from projections.audit.administration import read_acts

    with opened_stores() as stores:
        found = read_acts(stores.stream_log(), before=before, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ["position", "recorded at", "who", "what"],
        [(one.position, one.recorded_at, one.who, one.what) for one in found.acts],
    )
    if found.next_before is not None:
        click.echo(f"older ones: --before {found.next_before}", err=True)
