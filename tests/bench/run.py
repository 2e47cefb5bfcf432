"""`make bench`: measure this machine; each figure with its floor and, if there is one, the stock library.

Each figure is written as soon as it is measured, so an interrupted run loses no measured figure.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
import orjson

from interfaces.cli.console.printing import print_json, print_table
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure
from tests.bench.registry import REGISTRY, benchmark_named

EXAMPLE = """
\b
Examples:
  make bench NAME=append
  make bench NAME="webhook command" SCALE=0.1 OUTPUT=build/figures.jsonl
  python -m tests.bench.run dispatch --json > figures.json
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
    help="The amount of work. 0.01 is only a trial run.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append each figure to this file as one JSON line, as soon as it is measured.",
)
def bench(names: tuple[str, ...], as_json: bool, scale: float, output: Path | None) -> None:
    """Run the benchmarks NAME on an embedded PostgreSQL in a temporary folder with fsync on; without NAME all.

    ratio compares us with the floor of the same run: 1.0 is as good as the floor, also for times.
    """
    from tests.bench.setup import bench_databases

    figures = []
    with bench_databases() as fresh_database:
        environment = BenchEnvironment(
            fresh_database, scale=scale, report=lambda line: click.echo(line, err=True)
        )
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
    """Append one JSON line and flush it to disk, so that the figure survives the end of the run."""
    with output.open("ab") as file:
        file.write(orjson.dumps({"scale": scale, **msgspec.structs.asdict(measured)}) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _short(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.3g}"


if __name__ == "__main__":
    bench()
