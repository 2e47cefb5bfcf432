"""Entry point: `python -m interfaces.cli` runs `gridproof`."""

from interfaces.cli import main

main(prog_name="gridproof")
