"""`gridproof doctor`: checks what is reachable and reports problems."""

import click

from interfaces.cli.console.printing import print_json, print_table
from interfaces.cli.console.session import current_settings, running_settings
from interfaces.settings.settings import Settings

EXAMPLE = """
\b
Examples:
  gridproof doctor
  gridproof --env-file production.env doctor --json

Exit status: 0 when nothing is wrong, else 3.
"""
SOMETHING_WRONG = 3


@click.command("doctor", epilog=EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at every server, the schema, the projections, the disk and the clocks."""
    from interfaces.bootstrap import ended_system
    from interfaces.bootstrap.doctor.checks import run_checks

    found = list(run_checks(_settings(), ended_system(current_settings())))
    healthy = all(one.state != "wrong" for one in found)
    if as_json:
        print_json({"ok": healthy, "checks": found})
    else:
        print_table(["check", "state", "found"], [(one.check, one.state, one.detail) for one in found])
        for one in found:
            if one.state in {"warning", "wrong"} and one.advice:
                click.echo(f"{one.check}: {one.advice}", err=True)
    if not healthy:
        context.exit(SOMETHING_WRONG)


def _settings() -> Settings:
    """The settings of the running system. If none runs, the checks report that."""
    from interfaces.bootstrap import NoRunningSystem

    try:
        return running_settings()
    except NoRunningSystem:
        return current_settings()
