"""Whatever fails in a projection stops that projection alone, with an alert; nothing of it is skipped."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from interfaces.workers.project import project
from projections.deadlines import DeadlinesProjection
from projections.dr_event.projection import DREventsProjection
from tests.integration.projections.conftest import ReadSide, eventually, running
from tests.integration.projections.stored_log import StoppedClock, event_log, pool
from tests.patience import ANSWER_S
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import Database


class Defective(DREventsProjection):
    """Fails outside `fold`, where an error could end the process and with it all projections."""

    is_mended = False

    def wanted(self, domain_event: Any) -> Iterable[str]:
        if not self.is_mended:
            raise TypeError("a defect")
        return super().wanted(domain_event)


def test_an_error_outside_the_fold_stops_only_its_projection(database: Database) -> None:
    walk, defective = PortfolioWalk(), Defective()
    walk.happy()
    log, connections = event_log(database.app_dsn), pool(database.app_dsn)
    maintenance = PostgresProjectionMaintenance(database.app_dsn, StoppedClock())
    read_side = ReadSide(database, log, PostgresReadModels(connections), maintenance)
    read_side.store(walk.entries)
    with (
        capture_logs(),
        running(*(read_side.projector(one) for one in (defective, DeadlinesProjection()))),
    ):
        eventually(lambda: read_side.position("deadlines").lag == 0, "the other projection at the head")
        eventually(lambda: read_side.position("dr_events").stopped_at is not None, "dr_events stopped")
        stopped = read_side.position("dr_events")
        assert stopped.lag > 0, "its reads are stale"
        assert "TypeError: a defect" in str(stopped.stopped_reason)
        eventually(
            lambda: (
                [(a.name, a.subject) for a in read_side.alerts.listed()]
                == [("projection_stopped", "dr_events")]
            ),
            "its alert",
        )
        defective.is_mended = True
        eventually(lambda: read_side.position("dr_events").lag == 0, "the mended one at the head")
        eventually(lambda: not read_side.alerts.listed(), "the alert cleared")
    assert read_side.differences(DREventsProjection()) == {}
    log.close()
    connections.close()


class Loop:
    def __init__(self, name: str, error: Exception | None) -> None:
        self.name, self._error, self.starts = name, error, 0

    def run(self, stop: threading.Event) -> None:
        self.starts += 1
        if self._error is not None and self.starts < 3:
            raise self._error
        stop.wait()


@pytest.mark.parametrize("error", [TypeError("a defect"), KeyError("x"), MemoryError()])
def test_a_loop_that_ends_with_an_error_starts_again_and_the_others_go_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "RESTART_S", 0.0)
    broken, healthy = Loop("broken", error), Loop("healthy", None)

    async def scenario() -> None:
        stop = asyncio.Event()
        running_loops = asyncio.create_task(project.run(loops=[broken, healthy], stop=stop))
        async with asyncio.timeout(ANSWER_S):
            while broken.starts < 3:  # noqa: ASYNC110 - another thread changes it
                await asyncio.sleep(0.005)
        stop.set()
        await running_loops

    with capture_logs():
        asyncio.run(scenario())
    assert healthy.starts == 1
