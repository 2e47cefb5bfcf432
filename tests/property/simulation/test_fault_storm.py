"""500 simulated runs with faults around the write side; every invariant holds in each."""

import pytest

from tests.simulation.runs import SeedResult, run_seeds
from tests.simulation.wiring import storm_setting
from tests.sizes import IN_SMALL

SEEDS = 500


@pytest.fixture(scope="module")
def results() -> list[SeedResult]:
    return run_seeds(range(20 if IN_SMALL else SEEDS), storm_setting(), workers=2)


def test_no_storm_breaks_an_invariant(results: list[SeedResult]) -> None:
    broken = [result for result in results if result.breaches]
    commands = [
        f"python -m tests.simulation.run --seed {result.seed} --story\n  "
        + "\n  ".join(f"{breach.invariant}: {breach.what}" for breach in result.breaches[:3])
        for result in broken
    ]
    assert not broken, f"{len(broken)} seeds broke:\n" + "\n".join(commands[:5])


def test_every_kind_of_fault_occurs(results: list[SeedResult]) -> None:
    """Every kind of fault occurs in some of the runs, and many occur in each."""
    struck = {name for result in results for name in result.struck}
    assert len(struck) > 25
    assert sum(sum(result.struck.values()) for result in results) > 20 * len(results)
