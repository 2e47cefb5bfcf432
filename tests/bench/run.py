"""`make bench`: measure this machine, each figure beside its floor and beside the stock library.

A figure is written as soon as it is measured, so that stopping a run loses nothing that was measured before.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
import orjson

from interfaces.cli.console.printing import print_json, print_table
from tests.bench.environment import Bed
from tests.bench.figures import Figure
from tests.bench.registry import REGISTRY, benchmark_named

EXAMPLE = """
\b
Examples:
  make bench NAME=append
  make bench NAME="append command" SCALE=0.1
  python -m tests.bench.run --json > figures.json
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
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append each figure to this file as one JSON line, as soon as it is measured.",
)
def bench(names: tuple[str, ...], as_json: bool, scale: float, output: Path | None) -> None:
    """Measure on an embedded PostgreSQL in a temporary folder, fsync on; without a NAME all of them.

    ratio is ours to the floor in the same run: 1.0 is as good as the floor, for times as well.
    """
    from tests.bench.setup import bench_databases

    figures = []
    with bench_databases() as fresh_database:
        environment = Bed(fresh_database, scale=scale, tell=lambda line: click.echo(line, err=True))
        for name in names or REGISTRY:
            click.echo(f"{name} ...", err=True)
            for measured in benchmark_named(name)(environment):
                figures.append(measured)
                click.echo(
                    f"{measured.name}: {measured.ours:g} {measured.unit}, ratio {measured.ratio:.3g}",
                    err=True,
                )
                if output is not None:
                    append_figure(output, measured, scale)
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


def append_figure(output: Path, measured: Figure, scale: float) -> None:
    """One JSON line per figure, flushed to disk: whatever ends the run later, this figure stays."""
    with output.open("ab") as file:
        file.write(orjson.dumps({"scale": scale, **msgspec.structs.asdict(measured)}) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _short(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.3g}"


if __name__ == "__main__":
    bench()
