"""`gridproof worker NAME`: runs one worker process."""

import click

from application.operations.process_kinds import NAMES
from interfaces.cli.console.session import running_settings

EXAMPLE = """
\b
Examples:
  gridproof worker decide
  gridproof --env-file production.env worker dispatch

It runs until SIGTERM or Ctrl-C. Any number of one kind may run; where only one may act, the others stand by.
"""
HELP = f"""Run one worker in the foreground.

NAME is {", ".join(NAMES[:-1])} or {NAMES[-1]}.
"""


@click.command("worker", epilog=EXAMPLE, help=HELP)
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
def worker(name: str) -> None:
    from interfaces.bootstrap import run_worker

    run_worker(name, running_settings())
