"""500 stories of everything failing around the write side. What must hold holds in each."""

import pytest

from tests.simulation.runs import SeedResult, run_seeds
from tests.simulation.wiring import storm_setting
from tests.sizes import examples

SEEDS = range(examples(500))


@pytest.fixture(scope="module")
def results() -> list[SeedResult]:
    return run_seeds(SEEDS, storm_setting(), workers=2)


def test_no_storm_breaks_what_must_hold(results: list[SeedResult]) -> None:
    broken = [result for result in results if result.breaches]
    told = [
        f"python -m tests.simulation.run --seed {result.seed} --story\n  "
        + "\n  ".join(f"{breach.invariant}: {breach.what}" for breach in result.breaches[:3])
        for result in broken
    ]
    assert not broken, f"{len(broken)} seeds broke:\n" + "\n".join(told[:5])


def test_the_storms_are_storms(results: list[SeedResult]) -> None:
    """Every kind of fault strikes in some of them, and many strike in each."""
    struck = {name for result in results for name in result.struck}
    assert len(struck) > 25
    assert sum(sum(result.struck.values()) for result in results) > 20 * len(results)
