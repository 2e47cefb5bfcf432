"""`gridproof migrate`: the database schema."""

import click

from interfaces.cli.printing import print_json
from interfaces.cli.session import running_settings

EXAMPLE = """
\b
Examples:
  gridproof migrate
  gridproof migrate --check

The owner's role is named by GRIDPROOF_MIGRATION_DATABASE_URL. With --check nothing is changed; the exit status is 3
while migrations are pending, or when one is not as it should be: changed after it was applied, out of order, or taking
away what an older release still needs without saying so.
"""
SOMETHING_WRONG = 3
UP_TO_DATE = "nothing pending: the schema is this release's"


@click.command("migrate", epilog=EXAMPLE)
@click.option("--check", is_flag=True, help="Only say what is pending, and what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def migrate(context: click.Context, check: bool, as_json: bool) -> None:
    """Apply the migrations that are pending, in order; concurrent callers wait for each other."""
    if check:
        _check(context, as_json=as_json)
        return
    from interfaces.bootstrap import migrate_database

    names = migrate_database(running_settings())
    if as_json:
        print_json({"applied": names})
        return
    for name in names:
        click.echo(f"applied {name}")
    if not names:
        click.echo(UP_TO_DATE)


def _check(context: click.Context, *, as_json: bool) -> None:
    from interfaces.bootstrap import check_schema

    found = check_schema(running_settings())
    if as_json:
        print_json(found)
    else:
        for name in found.pending:
            release = found.needs.get(name)
            click.echo(f"pending {name}" + (f", needs release {release} everywhere" if release else ""))
        for name in found.ahead:
            click.echo(f"ahead {name}: a newer release applied it")
        for problem in found.problems:
            click.echo(f"wrong {problem}")
        if found.is_clean:
            click.echo(UP_TO_DATE)
    if not found.is_clean:
        context.exit(SOMETHING_WRONG)
