"""The commands of `gridproof facilities` that describe the portfolio file. They need no running system."""

import click

EXAMPLE_EXAMPLE = """
\b
Example:
  gridproof facilities example > portfolio.yaml

Every field is explained in docs/guides/portfolio.md.
"""
SCHEMA_EXAMPLE = """
\b
Example:
  gridproof facilities schema > portfolio.schema.json

Begin the portfolio with the line `# yaml-language-server: $schema=portfolio.schema.json`: editors then complete its
fields, explain them and underline what is wrong (docs/guides/portfolio.md).
"""


@click.command("example", epilog=EXAMPLE_EXAMPLE)
def example() -> None:
    """Print a portfolio with comments, to begin with: valid as it is, every field in it."""
    from application.facility.portfolio_example import portfolio_example

    click.echo(portfolio_example(), nl=False)


@click.command("schema", epilog=SCHEMA_EXAMPLE)
def schema() -> None:
    """Print the JSON schema of the portfolio file, for editors: every field, its values and what it does."""
    from importlib.resources import files

    click.echo(files("application.facility").joinpath("portfolio.schema.json").read_text("utf-8"), nl=False)
