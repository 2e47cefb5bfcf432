"""`make bench-compare BASE=FOLDER`: runs every benchmark of this checkout and another one in turn, and compares them.

Each run is written to its own file when it ends, and is not repeated if the command is started again.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import orjson

from tests.bench.registry import REGISTRY

TOLERATED = 0.10
TIMES = {"s", "ms", "us", "ns"}
"""Units of which less is better; the others are rates."""
EXAMPLE = """
\b
Examples:
  make bench-compare BASE=../gridproof-before
  make bench-compare BASE=../gridproof-before NAME="append dispatch" ROUNDS=3
"""


@click.command("compare", epilog=EXAMPLE)
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(REGISTRY)))
@click.option("--base", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--scale", type=float, default=1.0, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/compare"), show_default=True)
def compare(names: tuple[str, ...], base: Path, rounds: int, scale: float, folder: Path) -> None:
    """Run each benchmark ROUNDS times in both checkouts, in turn, and print a table in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or REGISTRY:
        for number in range(rounds):
            for side, checkout in (("base", base), ("now", Path())):
                file = folder / f"{name}-{side}-{number}.json"
                if not file.exists():
                    click.echo(f"{name}, {side}, round {number + 1} of {rounds} ...", err=True)
                    file.write_bytes(run_once(checkout, name, scale))
    click.echo("\n".join(table(folder, names or list(REGISTRY))))


def run_once(checkout: Path, name: str, scale: float) -> bytes:
    """The JSON document that a checkout's benchmark prints. Raises CalledProcessError."""
    python = checkout.resolve() / ".venv/bin/python"
    command = [python, "-m", "tests.bench.run", name]
    return subprocess.run(
        [*map(str, command), "--json", "--scale", str(scale)],
        cwd=checkout.resolve(),
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        check=True,
    ).stdout


def figures_of(folder: Path, name: str, side: str) -> list[list[dict[str, Any]]]:
    """The figures of each round."""
    files = sorted(folder.glob(f"{name}-{side}-*.json"))
    return [orjson.loads(file.read_bytes())["figures"] for file in files]


def table(folder: Path, names: Sequence[str]) -> Iterator[str]:
    yield "| figure | unit | base, median (range) | now, median (range) | ratio to the floor (base, now) | |"
    yield "|---|---|---|---|---|---|"
    for name in names:
        base, now = figures_of(folder, name, "base"), figures_of(folder, name, "now")
        for at in range(min((len(run) for run in [*base, *now]), default=0)):
            yield row([run[at] for run in base], [run[at] for run in now])


def row(base: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> str:
    """The row of one figure.

    It is worse if it and its ratio to the floor are both worse by over a tenth, and outside the range of the base.
    The figure alone changes with the speed of the machine, the ratio alone with the floor.
    """
    ratios = [[float(figure["ratio"]) for figure in side] for side in (base, now)]
    speeds = [[speed_of(figure) for figure in side] for side in (base, now)]
    fell = min(loss(*ratios), loss(*speeds))
    worse = fell > TOLERATED
    cells = [
        now[0]["name"],
        now[0]["unit"],
        spread([float(figure["ours"]) for figure in base]),
        spread([float(figure["ours"]) for figure in now]),
        f"{median(ratios[0]):.3g}, {median(ratios[1]):.3g}",
        f"worse by {fell:.0%}" if worse else "",
    ]
    return f"| {' | '.join(cells)} |"


def speed_of(figure: dict[str, Any]) -> float:
    """More is better: a rate itself, or the inverse of a time."""
    ours = float(figure["ours"])
    return 1 / ours if figure["unit"].partition("/")[0] in TIMES else ours


def loss(base: Sequence[float], now: Sequence[float]) -> float:
    """The share that the median of `now` is below that of `base`; 0 within the range of the base."""
    return 0.0 if median(now) >= min(base) else 1 - median(now) / median(base)


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


if __name__ == "__main__":
    compare()
