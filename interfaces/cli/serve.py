"""`gridproof serve`: runs only the HTTP API."""

import click

from interfaces.cli.console.session import running_settings

EXAMPLE = """
\b
Examples:
  gridproof serve
  GRIDPROOF_HTTP_BIND=0.0.0.0:8080 gridproof --env-file production.env serve

The same as `gridproof worker web`. Nothing happens to what it accepts unless the other workers run too.
"""


@click.command("serve", epilog=EXAMPLE)
def serve() -> None:
    """Serve the HTTP API and the dashboard in the foreground."""
    from interfaces.bootstrap import run_worker

    run_worker("web", running_settings())
