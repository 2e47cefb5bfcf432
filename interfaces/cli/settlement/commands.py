"""`gridproof settlement`: money, from files or on the running system."""

import click

from interfaces.cli.settlement.compute import compute
from interfaces.cli.settlement.export import export
from interfaces.cli.settlement.rules import rules_group
from interfaces.cli.settlement.run import run
from interfaces.cli.settlement.show import show
from interfaces.cli.settlement.statement import statement


@click.group("settlement")
def settlement_group() -> None:
    """Settlements: the pay of a DR event, to the cent, and why."""


for command in (compute, run, show, export, statement, rules_group):
    settlement_group.add_command(command)
