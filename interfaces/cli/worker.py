"""`gridproof worker NAME`: runs one worker process."""

import click

from interfaces.cli.console.session import running_settings

WORKERS = (
    "web", "relay", "schedule", "dispatch", "notify", "measure", "project", "ingest", "aggregate", "archive",
    "forecast",
)  # fmt: skip
EXAMPLE = """
\b
Examples:
  gridproof worker relay
  gridproof --env-file production.env worker dispatch

It runs until SIGTERM or Ctrl-C. Any number of one kind may run; where only one may act, the others stand by.
"""


@click.command("worker", epilog=EXAMPLE)
@click.argument("name", type=click.Choice(WORKERS), metavar="NAME")
def worker(name: str) -> None:
    """Run one worker in the foreground.

    NAME is web, relay, schedule, dispatch, notify, measure, project, ingest, aggregate, archive or forecast.
    """
    from interfaces.bootstrap import run_worker

    run_worker(name, running_settings())
