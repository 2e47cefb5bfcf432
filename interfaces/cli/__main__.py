"""`python -m interfaces.cli` is `gridproof`."""

from interfaces.cli import main

main(prog_name="gridproof")
