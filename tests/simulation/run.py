"""`make fault-storm`: simulate DR events under faults, on virtual time, seed by seed."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_json, print_table, progress_of

if TYPE_CHECKING:
    from tests.simulation.runs import SeedResult, Setting

EXAMPLE = """
\b
Examples:
  make fault-storm SEEDS=1000 FROM=0
  make fault-storm SEEDS=200 PLANTED=sends-twice FACILITIES=5
  python -m tests.simulation.run --seed 4711 --story

A seed whose invariants broke is printed on stderr as soon as its batch is done. No running system is touched.
Exit status 3: an invariant broke.
"""
WORST_SHOWN = 10


@click.command("fault-storm", epilog=EXAMPLE)
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="How many seeds.")
@click.option(
    "--from", "first", type=click.IntRange(min=0), default=0, show_default=True, help="The first one."
)
@click.option("--seed", "single", type=click.IntRange(min=0), help="Only this one.")
@click.option("--story", "trace", is_flag=True, help="With --seed: everything that happened, in order.")
@click.option(
    "--facilities", type=click.IntRange(min=1, max=100), default=3, show_default=True, help="In each seed."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes. [default: one per core]")
@click.option("--planted", metavar="BUG", help="Plant a known bug; docs/simulation.md lists them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def fault_storm(  # noqa: PLR0917 - click passes keywords
    context: click.Context,
    seeds: int,
    first: int,
    single: int | None,
    trace: bool,
    facilities: int,
    workers: int | None,
    planted: str | None,
    as_json: bool,
) -> None:
    """Simulate DR events while everything around them fails, and check the invariants.

    A seed determines one scenario: the buildings, the requests and the faults. The same seed gives the same scenario
    on every machine with the same version of Python.
    """
    _check(planted, trace=trace, single=single)
    from tests.simulation.runs import Setting

    setting = Setting(facilities=facilities, planted=planted)
    if trace and single is not None:
        _print_trace(single, setting)
    chosen = range(first, first + seeds) if single is None else range(single, single + 1)
    results = _run(chosen, setting, workers)
    broken = [result for result in results if result.breaches]
    if as_json:
        print_json({"seeds": len(results), "from": chosen.start, "facilities": facilities, "broken": broken})
    else:
        _report(results, broken, setting)
    if broken:
        context.exit(3)


def _check(planted: str | None, *, trace: bool, single: int | None) -> None:
    from tests.simulation.planted.bugs import PLANTED

    if trace and single is None:
        raise click.UsageError("--story prints one seed: name it by --seed N")
    if planted is not None and planted not in PLANTED:
        raise click.UsageError(f"there is no bug {planted!r}; use one of {', '.join(PLANTED)}")


def _run(seeds: range, setting: Setting, workers: int | None) -> list[SeedResult]:
    from tests.simulation.runs import BATCH, run_seeds

    at_once = min(workers or os.cpu_count() or 1, -(-len(seeds) // BATCH))
    with progress_of(len(seeds), "seeds") as progress:
        return run_seeds(seeds, setting, workers=at_once, progress=progress, report=_print_broken)


def _print_broken(result: SeedResult) -> None:
    click.echo(f"seed {result.seed} broke: {_row(result)[1]}", err=True)


def _report(results: list[SeedResult], broken: list[SeedResult], setting: Setting) -> None:
    faults = sum(sum(result.struck.values()) for result in results)
    domain_events = sum(result.domain_events for result in results)
    click.echo(
        f"{len(results)} seeds, {faults:,} faults, {domain_events:,} domain events: "
        f"{len(broken)} broke an invariant"
    )
    if not broken:
        return
    names = Counter(name for result in broken for name in {breach.invariant for breach in result.breaches})
    print_table(("invariant", "seeds"), names.most_common())
    worst = sorted(broken, key=lambda result: (-len(result.breaches), result.seed))[:WORST_SHOWN]
    print_table(("seed", "what broke", "when", "faults"), [_row(result) for result in worst])
    options = "" if setting.facilities == 3 else f" --facilities {setting.facilities}"
    options += "" if setting.planted is None else f" --planted {setting.planted}"
    click.echo(f"Inspect one: python -m tests.simulation.run --seed {worst[0].seed}{options} --story")


def _row(result: SeedResult) -> tuple[object, ...]:
    first = result.breaches[0]
    more = len(result.breaches) - 1
    what = f"{first.invariant}: {first.what}{f' (and {more} more)' if more else ''}"
    faults = ", ".join(f"{name} x{times}" for name, times in Counter(result.struck).most_common(4))
    return result.seed, what, None if first.at is None else f"{first.at:%H:%M:%S}", faults


def _print_trace(seed: int, setting: Setting) -> None:
    from tests.simulation.report import trace_lines
    from tests.simulation.runs import storm_of

    outcome = storm_of(seed, setting)
    for line in trace_lines(outcome.evidence, outcome.trace):
        click.echo(line)


if __name__ == "__main__":
    fault_storm()
