"""Runs many seeds in several processes. The results are small, to pass between processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import msgspec

from tests.simulation.invariants.table import Breach, breaches
from tests.simulation.planted.bugs import PLANTED
from tests.simulation.scenario.plan import draw_plan
from tests.simulation.storm import StormOutcome, run_storm

BATCH = 10
"""Seeds in one task of a process."""
SIMULATION_ERROR = "the simulation runs without an error"


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    breaches: tuple[Breach, ...]
    struck: dict[str, int]
    """Fault -> how often it struck."""
    domain_events: int
    digest: str
    """SHA-256 (hex) of the log, the journals and the callbacks."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that all seeds of a run share."""

    facilities: int = 3
    planted: str | None = None
    """The name of a planted bug: a key of PLANTED."""


def storm_of(seed: int, setting: Setting) -> StormOutcome:
    """Run one seed."""
    bug = None if setting.planted is None else PLANTED[setting.planted]()
    return run_storm(draw_plan(seed, setting.facilities), bug)


def run_seed(seed: int, setting: Setting) -> SeedResult:
    """Run one seed and check the invariants. An error of the simulation counts as a breach."""
    try:
        outcome = storm_of(seed, setting)
        found = breaches(outcome.evidence)
    except Exception as error:  # noqa: BLE001 - the result must name the seed
        broke = Breach(SIMULATION_ERROR, repr(error))
        return SeedResult(seed=seed, breaches=(broke,), struck={}, domain_events=0, digest="")
    return SeedResult(
        seed=seed,
        breaches=tuple(found),
        struck=outcome.struck,
        domain_events=len(outcome.evidence.entries),
        digest=outcome.evidence.digest(),
    )


def run_seeds(
    seeds: range,
    setting: Setting,
    *,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
    report: Callable[[SeedResult], None] = lambda broken: None,
) -> list[SeedResult]:
    """Run every seed; the results in order of the seeds.

    `progress` gets the number of seeds done, `report` each broken seed as soon as its batch is done.
    """
    results: list[SeedResult] = []
    for batch in _results(seeds, setting, workers):
        results += batch
        progress(len(results))
        for result in batch:
            if result.breaches:
                report(result)
    return sorted(results, key=lambda result: result.seed)


def _results(seeds: range, setting: Setting, workers: int) -> Iterator[Sequence[SeedResult]]:
    if workers == 1:
        for seed in seeds:
            yield [run_seed(seed, setting)]
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: set[Future[list[SeedResult]]] = {
            pool.submit(_batch, seeds[start : start + BATCH], setting)
            for start in range(0, len(seeds), BATCH)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _batch(seeds: range, setting: Setting) -> list[SeedResult]:
    return [run_seed(seed, setting) for seed in seeds]
