"""Each known bug, put into the seams of the real code, is found; docs/simulation.md names the seed."""

import pytest

from tests.property.simulation.planted_bug_table import Caught, table
from tests.simulation.planted.bugs import PLANTED
from tests.simulation.runs import run_seed
from tests.simulation.wiring import storm_setting


def test_the_page_lists_every_bug_that_can_be_planted() -> None:
    assert [caught.bug for caught in table()] == list(PLANTED)


@pytest.mark.parametrize("caught", table(), ids=lambda caught: caught.bug)
def test_the_simulation_finds_a_planted_bug(caught: Caught) -> None:
    """By the seed named; a change of the code moves stories, and then another seed has to find it."""
    setting = storm_setting(planted=caught.bug)
    found = {breach.invariant for breach in run_seed(caught.seed, setting).breaches}
    assert caught.broke in found or any(run_seed(seed, setting).breaches for seed in range(300))


def test_without_its_bug_a_named_seed_is_quiet() -> None:
    for seed in sorted({caught.seed for caught in table()}):
        assert run_seed(seed, storm_setting()).breaches == ()
