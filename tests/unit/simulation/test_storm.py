"""A seed gives the same scenario in every process, a complete trace, and a result."""

import os
import subprocess
import sys

import pytest

from tests.architecture.source_tree import ROOT
from tests.patience import START_S
from tests.simulation.invariants.table import breaches
from tests.simulation.report import trace_lines
from tests.simulation.runs import SIMULATION_ERROR, SeedResult, Setting, run_seed, run_seeds, storm_of
from tests.sizes import examples

SETTING = Setting()
SEEDS = range(20, 20 + max(2, examples(6)))
DIGESTS = f"""
from tests.simulation.runs import Setting
from tests.simulation.runs import run_seed
setting = Setting()
print(*(run_seed(seed, setting).digest for seed in {SEEDS!r}))
"""


def digests_of_another_process(hash_seed: str) -> list[str]:
    outcome = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )
    return outcome.stdout.split()


@pytest.fixture(scope="module")
def results() -> list[SeedResult]:
    return run_seeds(SEEDS, SETTING)


def test_a_seed_gives_the_same_log_for_any_hash_seed(results: list[SeedResult]) -> None:
    here = [result.digest for result in results]
    assert len(set(here)) == len(SEEDS)
    assert [digests_of_another_process(hash_seed) for hash_seed in ("1", "77")] == [here, here]


def test_earlier_runs_do_not_change_the_result() -> None:
    single = run_seed(25, SETTING)
    assert [run_seed(24, SETTING), run_seed(25, SETTING)][1] == single


def test_several_processes_give_the_results_of_one_in_order(results: list[SeedResult]) -> None:
    done: list[int] = []
    assert run_seeds(SEEDS, SETTING, workers=2, progress=done.append) == results
    assert done[-1] == len(SEEDS)


def test_the_trace_has_the_log_the_buildings_and_the_faults() -> None:
    outcome = storm_of(21, SETTING)
    lines = list(trace_lines(outcome.evidence, outcome.trace))
    assert lines[0].startswith("seed 21")
    assert any("fac-001" in line for line in lines)
    assert sum("  log  " in line for line in lines) == len(outcome.evidence.entries)


def test_an_error_of_the_simulation_is_reported_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no world today")

    monkeypatch.setattr("tests.simulation.runs.run_storm", fails)
    [broke] = run_seed(7, SETTING).breaches
    assert (broke.invariant, "no world today" in broke.what) == (SIMULATION_ERROR, True)


def test_the_number_of_buildings_can_be_chosen() -> None:
    evidence = storm_of(3, Setting(facilities=12)).evidence
    assert len(evidence.plan.facilities) == 12
    assert breaches(evidence) == []
