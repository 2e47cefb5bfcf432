"""Each planted bug in the real code is detected by the simulation; docs/simulation.md names the seed."""

import pytest

from tests.property.simulation.planted_bug_table import Caught, table
from tests.property.simulation.test_fault_storm import SEEDS
from tests.simulation.planted.bugs import PLANTED
from tests.simulation.runs import Setting, run_seed


def test_the_page_lists_every_bug_that_can_be_planted() -> None:
    assert [caught.bug for caught in table()] == list(PLANTED)


@pytest.mark.parametrize("caught", table(), ids=lambda caught: caught.bug)
def test_the_simulation_finds_a_planted_bug(caught: Caught) -> None:
    """Detected by the named seed. If a change of the code changes the runs, another seed must detect it."""
    setting = Setting(planted=caught.bug)
    found = {breach.invariant for breach in run_seed(caught.seed, setting).breaches}
    assert caught.broke in found or any(run_seed(seed, setting).breaches for seed in range(300))


def test_every_seed_of_the_table_also_runs_without_the_bug() -> None:
    """`test_fault_storm` runs these seeds without a planted bug and checks every invariant."""
    assert {caught.seed for caught in table()} <= set(range(SEEDS))
