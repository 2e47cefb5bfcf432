"""`python -m tests.planted_demo --fault resend`: the demo with planted faults, each of which it must name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import click

from interfaces.cli.demo import run_demo
from interfaces.demo.options import DemoOptions
from tests.planted_faults import Fault

EXAMPLE = """
\b
Examples:
  python -m tests.planted_demo --fault resend
  python -m tests.planted_demo --fault skip-intent --fault lost-callback --facilities 5 --speed 120 --json
"""


@click.command("planted-demo", epilog=EXAMPLE)
@click.option("--fault", "faults", type=click.Choice(get_args(Fault)), multiple=True, required=True)
@click.option("--facilities", type=click.IntRange(5, 500), default=5, show_default=True)
@click.option("--speed", type=click.FloatRange(1, 400), default=120.0, show_default=True)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Use and keep this folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def planted_demo(
    *, faults: tuple[Fault, ...], facilities: int, speed: float, data_dir: Path | None, as_json: bool
) -> None:
    """Run the demo on worker processes that have the faults planted. Exits 1 if the demo notices them."""
    planted = [word for fault in faults for word in ("--fault", fault)]
    options = DemoOptions(
        facilities=facilities,
        speed=speed,
        data_dir=data_dir,
        program=(sys.executable, "-m", "tests.planted_worker", *planted),
    )
    run_demo(options, as_json=as_json)


if __name__ == "__main__":
    planted_demo()
