"""`gridproof migrate`: the database schema."""

import click

from interfaces.cli.printing import print_json
from interfaces.cli.session import running_settings

EXAMPLE = """
\b
Examples:
  gridproof migrate
  gridproof migrate --check

The owner's role is named by GRIDPROOF_MIGRATION_DATABASE_URL. With --check nothing is changed, and the exit
status is 3 while migrations are pending.
"""
SOMETHING_WRONG = 3


@click.command("migrate", epilog=EXAMPLE)
@click.option("--check", is_flag=True, help="Only say what is pending.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def migrate(context: click.Context, check: bool, as_json: bool) -> None:
    """Apply the migrations that are pending, in order; concurrent callers wait for each other."""
    from interfaces.bootstrap import migrate_database, pending_migrations

    settings = running_settings()
    names = pending_migrations(settings) if check else migrate_database(settings)
    verb = "pending" if check else "applied"
    if as_json:
        print_json({verb: names})
    else:
        for name in names:
            click.echo(f"{verb} {name}")
        if not names:
            click.echo("nothing pending: the schema is this release's")
    if check and names:
        context.exit(SOMETHING_WRONG)
