"""600 simulated runs with faults around the write side; every invariant holds in each."""

from functools import cache

import pytest

from tests.simulation.runs import SeedResult, Setting, run_seed, run_seeds
from tests.sizes import IN_SMALL

SEEDS = 600
LARGE_SEED = 7
"""A seed in which many answers about open work are lost."""
BATCH = 20
"""Seeds of one test: a file of many tests starts early, so that these runs use the processor while others wait."""
BATCHES = range(0, BATCH if IN_SMALL else SEEDS, BATCH)


@cache
def results_from(first: int) -> list[SeedResult]:
    return run_seeds(range(first, first + BATCH), Setting())


@pytest.mark.parametrize("first", BATCHES)
def test_no_storm_breaks_an_invariant(first: int) -> None:
    broken = [result for result in results_from(first) if result.breaches]
    commands = [
        f"python -m tests.simulation.run --seed {result.seed} --story\n  "
        + "\n  ".join(f"{breach.invariant}: {breach.what}" for breach in result.breaches[:3])
        for result in broken
    ]
    assert not broken, f"{len(broken)} seeds broke:\n" + "\n".join(commands[:5])


def test_no_storm_over_a_hundred_facilities_breaks_an_invariant() -> None:
    result = run_seed(LARGE_SEED, Setting(facilities=100))
    assert list(result.breaches) == []
    assert result.struck["open_work.loses_answer"] > 50


def test_every_kind_of_fault_occurs() -> None:
    """Every kind of fault occurs in some of the runs, and many occur in each."""
    results = [result for first in BATCHES for result in results_from(first)]
    struck = {name for result in results for name in result.struck}
    assert len(struck) > 25
    assert sum(sum(result.struck.values()) for result in results) > 20 * len(results)
