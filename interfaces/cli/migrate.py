"""`gridproof migrate`: migrates the database schema."""

import click

from interfaces.cli.console.printing import print_answer, print_json
from interfaces.cli.console.session import running_settings

EXAMPLE = """
\b
Examples:
  gridproof migrate
  gridproof migrate --check
  gridproof migrate --contract 1.2
  gridproof migrate --accept-cluster 7312034877310291230

The owner's role is named by GRIDPROOF_MIGRATION_DATABASE_URL. Migrate before the processes of a new release start: an
expanding migration takes nothing away from those that run. A contracting one does, so it is held back until you say, by
--contract, the oldest release that any process of the system still has. On an empty database everything is applied.
A contracting migration is refused while a process that is older than it needs is connected: the message names it.

After a dump was loaded into a new cluster, or pg_upgrade, every process refuses the server until you say, by
--accept-cluster, that it continues the log. The message of the refusal names the system identifier. First stop the
server of before: nothing else prevents that it is written to.

With --check nothing is changed; the exit status is 3 while migrations are pending, or when one is not as it should be:
changed after it was applied, out of order, or taking away what an older release still needs without saying so.
"""
SOMETHING_WRONG = 3
UP_TO_DATE = "nothing pending: the schema is this release's"


def release(written: str) -> str:
    """The type of an option that names a release."""
    from interfaces.bootstrap import read_release

    try:
        return read_release(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("migrate", epilog=EXAMPLE)
@click.option("--check", is_flag=True, help="Only say what is pending, of which kind, and what is wrong.")
@click.option(
    "--contract",
    "oldest_release",
    metavar="RELEASE",
    type=release,
    help="Also take away what no release since this one uses: every process has it, or a newer one.",
)
@click.option(
    "--accept-cluster",
    "cluster",
    metavar="IDENTIFIER",
    type=int,
    help="First record that this cluster of PostgreSQL continues the log that another one wrote.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def migrate(
    context: click.Context, check: bool, oldest_release: str | None, cluster: int | None, as_json: bool
) -> None:
    """Apply the migrations that are pending, in order; concurrent callers wait for each other."""
    if check:
        if oldest_release is not None or cluster is not None:
            raise click.UsageError(
                "--check changes nothing, so it needs no --contract and no --accept-cluster"
            )
        _check(context, as_json=as_json)
        return
    from interfaces.bootstrap import accept_cluster, migrate_database

    if cluster is not None:
        logs = accept_cluster(running_settings(), cluster)
        click.echo(f"accepted the cluster {cluster} for {logs} logs", err=True)
    done = migrate_database(running_settings(), oldest_release=oldest_release)
    print_answer(done, lambda: _tell(done.applied, done.held_back), as_json=as_json)


def _tell(applied: list[str], held_back: dict[str, str]) -> None:
    for name in applied:
        click.echo(f"applied {name}")
    for name, needed in held_back.items():
        click.echo(
            f"held back {name}: once every process is of release {needed} or newer, "
            f"`gridproof migrate --contract {needed}`",
            err=True,
        )
    if not applied and not held_back:
        click.echo(UP_TO_DATE)


def _check(context: click.Context, *, as_json: bool) -> None:
    from interfaces.bootstrap import check_schema

    found = check_schema(running_settings())
    if as_json:
        print_json(found)
    else:
        for name in found.pending:
            needed = found.needs.get(name)
            needs = f", needs release {needed} everywhere: --contract {needed}" if needed else ""
            click.echo(f"pending {name}: {found.kinds[name]}{needs}")
        for process in found.older_processes:
            click.echo(f"older {process}: stop it before you contract")
        for name in found.ahead:
            click.echo(f"ahead {name}: a newer release applied it")
        for problem in found.problems:
            click.echo(f"wrong {problem}")
        if found.is_clean:
            click.echo(UP_TO_DATE)
    if not found.is_clean:
        context.exit(SOMETHING_WRONG)
