"""A backup, a DR event after it, a restore to the moment before: recorded, said to who kept a checkpoint, and gone on
with.

The buildings are curtailed by commands that the restored log knows nothing of. The utility sends its DR event again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.administration import AdministrativeAct
from interfaces.simulators.bms.journal import COMMANDED
from tests.chaos.small_system import served_buildings
from tests.restored_system import LOST_WINDOW, WINDOW, RestoredSystem, restored_system


@pytest.fixture
def system(tmp_path: Path) -> Iterator[RestoredSystem]:
    with restored_system(tmp_path, RestoredSystem) as there:
        yield there


def test_what_was_lost_is_recorded_and_the_dr_event_is_done_once(system: RestoredSystem) -> None:
    with served_buildings(system) as bms_url:
        system.register(bms_url)
        system.start_processes()
        system.send_readings()
        backup = system.command("backup", running=False)
        assert backup["backup"]["kind"] == "full"
        system.send_readings()
        before = system.newest_checkpoint()
        moment = datetime.now(UTC)
        assert_tried_beside_the_running_system(system)

        system.send_readings()
        system.ask(LOST_WINDOW)
        system.until("plan", lambda: bool(system.dr_event.targets))
        system.until_committed()
        lost_checkpoint = system.newest_checkpoint()
        lost = system.positions()
        system.stop_processes()
        system.events.close()
        system.servers.stop()

        restored = system.command("restore", "--to", moment.isoformat(), "--yes", running=False)
        (of_log, _) = restored["recorded"]["lost"]
        assert of_log["lost"] > 0
        assert restored["recorded"]["readings"] > 0
        assert restored["recorded"]["buildings"] == 2

        system.servers.start()
        system.open_events()
        system.start_processes()
        system.until("readings once more", lambda: system.stored_readings() == system.first_read)
        assert_said_to_witnesses(system, before, lost_checkpoint, of_log)
        buildings = {("curtailed_without_record", facility_id) for facility_id in system.facility_ids}
        system.until("alerts", lambda: {(one.name, one.subject) for one in system.alerts()} == buildings)
        assert all("the log knows nothing of it" in one.detail for one in system.alerts())

        system.ask(WINDOW)
        system.until("completed", lambda: system.dr_event.status == "completed")
        assert [dispatch.status for dispatch in system.dispatches()] == ["restored", "restored"]
        times = Counter(entry.command_id for entry in system.journal if entry.action in COMMANDED)
        assert max(times.values()) == 1, "also by the BMS that does a repeated command again"
        assert system.dead_letters() == []
        assert_no_position_twice(system, lost, of_log["restored_position"])
        assert system.stored_readings() == system.first_read
        system.newest_checkpoint()
        assert system.command("audit", "verify")["verified"]


def assert_tried_beside_the_running_system(system: RestoredSystem) -> None:
    drill = system.command("backup", "drill", running=False)
    assert drill["ledger"]["verified"]
    assert sum(log["domain_events"] for log in drill["ledger"]["logs"]) > 0
    assert (
        drill["recovered"]["backup"] == system.command("backup", "list", running=False)["backups"][0]["name"]
    )


def assert_said_to_witnesses(system: RestoredSystem, before: str, lost: str, of_log: dict[str, Any]) -> None:
    assert system.command("audit", "verify", "--since", before)["findings"] == []
    report = system.command("audit", "verify", "--since", lost, expect=3)
    (found,) = report["findings"]
    assert (found["kind"], report["verified"]) == ("restored", True)
    assert (found["position"], found["through"]) == (
        of_log["restored_position"] + 1,
        of_log["archived_position"],
    )
    (restore,) = report["restores"]
    assert restore["by"].startswith("operator:cli/")


def assert_no_position_twice(system: RestoredSystem, lost: dict[int, str], restored_position: int) -> None:
    now = system.positions()
    assert all(
        now.get(position) == stream for position, stream in lost.items() if position <= restored_position
    )
    new = {position for position in now if position > restored_position}
    assert min(new) > max(lost)
    (act,) = [
        entry.domain_event
        for entry in system.events.read_after(restored_position, 1)
        if isinstance(entry.domain_event, AdministrativeAct.DatabaseRestored)
    ]
    assert act.lost[0].restored_position == restored_position
