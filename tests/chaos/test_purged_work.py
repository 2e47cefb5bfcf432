"""The stream of BMS work is purged during a DR event on real servers: nothing is lost, or done twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from adapters.nats.bms_work import BMS_STREAM
from adapters.nats.connection import connect
from interfaces.simulators.bms.journal import COMMANDED
from tests.chaos.small_system import SmallSystem, small_system
from tests.sample_values import NOW
from tests.servers import Database

WINDOW = (NOW + timedelta(minutes=15), NOW + timedelta(minutes=35))
"""70 s of wall time until its end."""
PATIENCE_S = 360.0
DONE: dict[str, Callable[[SmallSystem], bool]] = {
    "prepare": lambda system: all(dispatch.was_prepared for dispatch in system.dispatches()),
    "commit": lambda system: all(dispatch.was_committed for dispatch in system.dispatches()),
    "restore": lambda system: system.dr_event.status == "completed",
}
"""Phase -> whether both buildings have done its commands."""


async def purge(nats_url: str) -> None:
    client = await connect(nats_url, name="purger")
    with contextlib.suppress(NotFoundError):  # no worker has made it yet
        await client.jetstream().purge_stream(BMS_STREAM)
    await client.close()


def lose(system: SmallSystem, phase: str) -> None:
    """Purge the stream until the commands of each building were lost and issued again."""

    def are_lost() -> bool:
        asyncio.run(purge(system.nats_url))
        return all(
            any(one.command.phase == phase and one.issue > 1 for one in dispatch.commands.values())
            for dispatch in system.dispatches()
        )

    with system.without("dispatch"):
        system.until(f"lost {phase}", are_lost, PATIENCE_S)


@pytest.mark.chaos
@pytest.mark.parametrize("lost", [*((phase,) for phase in DONE), tuple(DONE)], ids="+".join)
def test_work_that_is_purged_before_a_worker_takes_it_is_issued_again_and_done_once(
    database: Database, nats_url: str, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    """While a worker runs, a purge loses nothing: it takes work within milliseconds."""
    with small_system(database, nats_url, tmp_path, "", window=WINDOW) as system:
        system.until_scheduled()
        for phase, are_done in DONE.items():
            if phase in lost:
                lose(system, phase)
            system.until(f"end of {phase}", partial(are_done, system), PATIENCE_S)
        assert [dispatch.status for dispatch in system.dispatches()] == ["restored", "restored"]
        assert system.dr_event.outcome == "full"
        times = Counter(entry.command_id for entry in system.journal if entry.action in COMMANDED)
        assert max(times.values()) == 1
