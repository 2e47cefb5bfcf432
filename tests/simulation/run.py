"""`make fault-storm`: the write side under every fault, on virtual time, seed by seed."""

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
  python -m tests.simulation.run --seed 4711 --story
  make fault-storm SEEDS=200 PLANTED=sends-twice

Nothing of a running system is touched. Exit status 3: something broke that must hold.
"""
WORST_SHOWN = 10


@click.command("fault-storm", epilog=EXAMPLE)
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="How many seeds.")
@click.option(
    "--from", "first", type=click.IntRange(min=0), default=0, show_default=True, help="The first one."
)
@click.option("--seed", "single", type=click.IntRange(min=0), help="This one alone.")
@click.option("--story", is_flag=True, help="With --seed: everything that happened, in order.")
@click.option(
    "--facilities", type=click.IntRange(min=1, max=100), default=3, show_default=True, help="In each seed."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes. [default: one per core]")
@click.option("--planted", metavar="BUG", help="With a known bug put in; docs/simulation.md lists them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def fault_storm(  # noqa: PLR0917 - click names what it gives
    context: click.Context,
    seeds: int,
    first: int,
    single: int | None,
    story: bool,
    facilities: int,
    workers: int | None,
    planted: str | None,
    as_json: bool,
) -> None:
    """Simulate DR events while everything around them fails, and check what must hold.

    A seed stands for one story: which buildings, what the utility asks and changes, which faults strike where. The
    same seed gives the same story on every machine with the same version of Python.
    """
    _check(planted, story=story, single=single)
    from tests.simulation.wiring import storm_setting

    setting = storm_setting(facilities=facilities, planted=planted)
    if story and single is not None:
        _tell_story(single, setting)
    chosen = range(first, first + seeds) if single is None else range(single, single + 1)
    results = _run(chosen, setting, workers)
    broken = [result for result in results if result.breaches]
    if as_json:
        print_json({"seeds": len(results), "from": chosen.start, "facilities": facilities, "broken": broken})
    else:
        _report(results, broken, setting)
    if broken:
        context.exit(3)


def _check(planted: str | None, *, story: bool, single: int | None) -> None:
    from tests.simulation.planted.bugs import PLANTED

    if story and single is None:
        raise click.UsageError("--story tells of one seed: name it by --seed N")
    if planted is not None and planted not in PLANTED:
        raise click.UsageError(f"no bug {planted!r} to plant; there are {', '.join(PLANTED)}")


def _run(seeds: range, setting: Setting, workers: int | None) -> list[SeedResult]:
    from tests.simulation.runs import BATCH, run_seeds

    at_once = min(workers or os.cpu_count() or 1, -(-len(seeds) // BATCH))
    with progress_of(len(seeds), "seeds") as tell:
        return run_seeds(seeds, setting, workers=at_once, tell=tell)


def _report(results: list[SeedResult], broken: list[SeedResult], setting: Setting) -> None:
    faults = sum(sum(result.struck.values()) for result in results)
    domain_events = sum(result.domain_events for result in results)
    click.echo(
        f"{len(results)} seeds, {faults:,} faults, {domain_events:,} domain events: "
        f"{len(broken)} broke what must hold"
    )
    if not broken:
        return
    names = Counter(name for result in broken for name in {breach.invariant for breach in result.breaches})
    print_table(("what must hold", "seeds"), names.most_common())
    worst = sorted(broken, key=lambda result: (-len(result.breaches), result.seed))[:WORST_SHOWN]
    print_table(("seed", "what broke", "when", "faults"), [_row(result) for result in worst])
    options = "" if setting.facilities == 3 else f" --facilities {setting.facilities}"
    options += "" if setting.planted is None else f" --planted {setting.planted}"
    click.echo(f"See one whole: python -m tests.simulation.run --seed {worst[0].seed}{options} --story")


def _row(result: SeedResult) -> tuple[object, ...]:
    first = result.breaches[0]
    more = len(result.breaches) - 1
    what = f"{first.invariant}: {first.what}{f' (and {more} more)' if more else ''}"
    faults = ", ".join(f"{name} x{times}" for name, times in Counter(result.struck).most_common(4))
    return result.seed, what, None if first.at is None else f"{first.at:%H:%M:%S}", faults


def _tell_story(seed: int, setting: Setting) -> None:
    from tests.simulation.report import told
    from tests.simulation.runs import storm_of

    outcome = storm_of(seed, setting)
    for line in told(outcome.evidence, outcome.story):
        click.echo(line)


if __name__ == "__main__":
    fault_storm()
