"""`gridproof settlement`: money, from files or on the running system."""

import click

from interfaces.cli.settlement.compute import compute
from interfaces.cli.settlement.rules import rules_group


@click.group("settlement")
def settlement_group() -> None:
    """What a DR event pays, to the cent, and why."""


for command in (compute, rules_group):
    settlement_group.add_command(command)
