"""Rebuilds that are killed with SIGKILL after each stage are resumed by the next rebuild."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
from typing import Any

import psycopg
import pytest

from adapters.postgres.read_model.rebuild.fold import FoldLimits
from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from application.ports.event_store.event_log import LogEntry
from projections.dispatch.projection import DispatchesProjection
from projections.engine.projection import AnyProjection
from projections.facility import FacilitiesProjection
from projections.registry import PROJECTIONS, projection_named
from tests.integration.projections.conftest import ReadSide
from tests.integration.projections.stored_log import StoppedClock, stem_of, stored_rows
from tests.patience import START_S
from tests.property.projections.projected_logs import PortfolioWalk

STRETCH, MOST_ROWS = 7, 3
each_projection = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda item: item.name)

REBUILD_PROCESS = textwrap.dedent("""
    import sys
    sys.path[:0] = sys.argv[2].split(":")
    from adapters.clock import SystemClock
    from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
    from adapters.postgres.read_model.rebuild.fold import FoldLimits
    from interfaces.failpoints import failpoint
    from projections.registry import projection_named

    if __name__ == "__main__":
        strike = failpoint(sys.argv[4], None)
        maintenance = PostgresProjectionMaintenance(
            sys.argv[1],
            SystemClock(),
            bounds=FoldLimits(int(sys.argv[5]), int(sys.argv[6])),
            reached=lambda stage: strike(stage, ""),
        )
        maintenance.rebuild(projection_named(sys.argv[3]), workers=int(sys.argv[7]))
""")


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    """A complete DR event with random other events."""
    numbers, walk = random.Random(17), PortfolioWalk()
    walk.happy()
    for _ in range(250):
        walk.step(numbers.randrange(10_000_000))
    return walk.entries


def _killed_after(read_side: ReadSide, name: str, stage: str, *, workers: int = 1) -> None:
    parameters = [name, stage, str(STRETCH), str(MOST_ROWS), str(workers)]
    process = subprocess.run(
        [sys.executable, "-c", REBUILD_PROCESS, read_side.database.app_dsn, ":".join(sys.path), *parameters],
        check=False,
        timeout=START_S,
    )
    assert process.returncode == -signal.SIGKILL


def _rebuilt(read_side: ReadSide, projection: AnyProjection, *, workers: int = 1) -> list[str]:
    """Rebuild; returns the stages that this rebuild executed itself."""
    reached: list[str] = []
    PostgresProjectionMaintenance(
        read_side.database.app_dsn,
        StoppedClock(),
        bounds=FoldLimits(STRETCH, MOST_ROWS),
        reached=reached.append,
    ).rebuild(projection, workers=workers)
    return reached


def _tables(read_side: ReadSide, name: str) -> list[str]:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s", (f"^rm_{stem_of(name)}_g",)
        )
        return [row[0] for row in found]


def _stored(read_side: ReadSide, name: str) -> list[tuple[Any, ...]]:
    return stored_rows(read_side.database.admin_dsn, name)


@each_projection
def test_a_fold_in_many_stages_with_few_rows_in_memory_gives_the_same_rows(
    read_side: ReadSide, entries: list[LogEntry], projection: AnyProjection
) -> None:
    read_side.store(entries)
    read_side.catch_up(projection)
    live = _stored(read_side, projection.name)
    assert _rebuilt(read_side, projection).count("stretch") > 2
    assert _stored(read_side, projection.name) == live
    assert read_side.differences(projection) == {}


@pytest.mark.parametrize("name", ["audit_trail", "facilities"])
@pytest.mark.parametrize("stage", ["begun", "stretch", "attached", "awaited", "swapped"])
def test_a_rebuild_killed_after_a_stage_is_resumed_from_that_stage(
    read_side: ReadSide, entries: list[LogEntry], name: str, stage: str
) -> None:
    projection = projection_named(name)
    read_side.store(entries[:-50])
    read_side.catch_up(projection)
    whole = _rebuilt(read_side, projection)
    _killed_after(read_side, name, stage)
    assert read_side.differences(projection) == {}
    read_side.store(entries[-50:])
    done = _rebuilt(read_side, projection)
    if stage == "swapped":
        assert done[0] == "begun"
    else:
        stages = ["batch" if left == "awaited" else left for left in whole[whole.index(stage) + 1 :]]
        assert [item for item in done if item not in {"batch", "awaited"}] == [
            item for item in stages if item != "batch"
        ]
        assert "batch" in done
    assert read_side.differences(projection) == {}
    assert len(_tables(read_side, name)) == 1


def test_a_rebuild_killed_during_catch_up_is_resumed_at_its_position(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries[:-80])
    read_side.catch_up(FacilitiesProjection())
    _killed_after(read_side, "facilities", "attached")
    read_side.store(entries[-80:-40])
    _killed_after(read_side, "facilities", "batch")
    read_side.store(entries[-40:])
    assert _rebuilt(read_side, FacilitiesProjection()) == ["awaited", "batch", "swapped"]
    assert read_side.position("facilities").position == entries[-1].position
    assert read_side.differences(FacilitiesProjection()) == {}


@pytest.mark.parametrize("name", ["dispatches", "facilities", "portfolio"])
def test_a_killed_rebuild_of_several_processes_is_resumed_by_as_many(
    read_side: ReadSide, entries: list[LogEntry], name: str
) -> None:
    projection = projection_named(name)
    read_side.store(entries)
    _killed_after(read_side, projection.name, "begun", workers=3)
    assert _rebuilt(read_side, projection, workers=1) == ["attached", "awaited", "swapped"]
    assert read_side.differences(projection) == {}


def test_a_rebuild_of_another_version_starts_anew_and_removes_the_earlier_rows(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    class Next(DispatchesProjection):
        version = DispatchesProjection.version + 1

    read_side.store(entries)
    read_side.catch_up(DispatchesProjection())
    for stage in ("stretch", "attached"):
        _killed_after(read_side, "dispatches", stage)
        assert read_side.differences(DispatchesProjection()) == {}
    assert len(_tables(read_side, "dispatches")) == 2
    assert _rebuilt(read_side, Next())[0] == "begun"
    assert len(_tables(read_side, "dispatches")) == 1
    assert read_side.differences(Next()) == {}
