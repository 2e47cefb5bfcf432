"""The commands of `gridproof facilities` that describe the portfolio file. They need no running system."""

import click

EXAMPLE_EXAMPLE = """
\b
Example:
  gridproof facilities example > portfolio.yaml

Every field is explained in docs/guides/portfolio.md.
"""


@click.command("example", epilog=EXAMPLE_EXAMPLE)
def example() -> None:
    """Print a portfolio with comments, to begin with: valid as it is, every field in it."""
    from application.facility.portfolio_example import portfolio_example

    click.echo(portfolio_example(), nl=False)
