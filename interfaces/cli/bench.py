"""`gridproof bench`: this machine's figures, each beside its floor and beside the stock library."""

from __future__ import annotations

import click

from interfaces.bench.bed import Bed
from interfaces.bench.registry import REGISTRY, benchmark_named
from interfaces.cli.console.printing import print_json, print_table

EXAMPLE = """
\b
Examples:
  gridproof bench append
  gridproof bench --json > figures.json
  gridproof bench append command --scale 0.1
"""
COLUMNS = ("benchmark", "unit", "ours", "floor", "ratio", "stock", "stock ratio")


@click.command("bench", epilog=EXAMPLE)
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(REGISTRY)))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True, max=100),
    default=1.0,
    show_default=True,
    help="How much work: 0.01 only tries whether it runs.",
)
def bench(names: tuple[str, ...], as_json: bool, scale: float) -> None:
    """Measure on an embedded PostgreSQL in a temporary folder, fsync on; without a NAME all of them.

    ratio is ours to the floor in the same run: 1.0 is as good as the floor, for times as well.
    """
    from interfaces.bootstrap.bench import bench_databases

    figures = []
    with bench_databases() as fresh_database:
        bed = Bed(fresh_database, scale=scale, tell=lambda line: click.echo(line, err=True))
        for name in names or REGISTRY:
            click.echo(f"{name} ...", err=True)
            figures += benchmark_named(name)(bed)
    if as_json:
        print_json({"scale": scale, "figures": figures})
        return
    print_table(
        COLUMNS,
        [
            (f.name, f.unit, f.ours, f.floor, f"{f.ratio:.3g}", f.stock, _short(f.stock_ratio))
            for f in figures
        ],
    )


def _short(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.3g}"
