"""`gridproof audit administration`: lists administrative acts."""

from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_json, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from projections.audit.administration import ActKind

KINDS = ("facility", "maintenance", "opt_out", "program", "access", "import", "alert", "override", "system")

EXAMPLE = """
\b
Examples:
  gridproof audit administration
  gridproof audit administration --before 1234 --limit 1000 --json
  gridproof audit administration --program summer-peak
  gridproof audit administration --facility fac-001 --kind maintenance

Facilities and programs with what was in force before, maintenance, opt-outs, keys issued, rotated and revoked, dead
letters decided, imports of history and portfolios, migrations applied, restores, degraded forecasts overridden. Other
acts on a DR event are among its steps: `gridproof audit replay`. `gridproof keys list` and `keys operators` name the
ids.
"""


@click.command("administration", epilog=EXAMPLE)
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="Only before position N of the log.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most."
)
@click.option("--kind", type=click.Choice(KINDS), help="Only acts of this kind.")
@click.option("--facility", "facility_id", metavar="F", help="Only what concerns this facility.")
@click.option("--program", "program_id", metavar="P", help="Only what concerns this program.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def administration(
    *,
    before: int | None,
    limit: int,
    kind: "ActKind | None",
    facility_id: str | None,
    program_id: str | None,
    as_json: bool,
) -> None:
    """Changes by people beside DR events, and overrides, the newest first."""
    from projections.audit.administration import ActFilter, read_acts

    wanted = ActFilter(kind=kind, facility_id=facility_id, program_id=program_id)
    with opened_stores() as stores:
        found = read_acts(stores.stream_log(), before=before, limit=limit, wanted=wanted)
    if as_json:
        print_json(found)
        return
    print_table(
        ["position", "recorded at", "who", "what", "why"],
        [(one.position, one.recorded_at, one.who, one.what, one.why) for one in found.acts],
    )
    if found.next_before is not None:
        click.echo(f"older ones: --before {found.next_before}", err=True)
