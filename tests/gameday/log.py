"""Cases of the log, its snapshots and its ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from tests.gameday.drill import Drill
from tests.gameday.extra_process import in_place_of
from tests.gameday.registry import case

LOG, SNAPSHOTS = "gridproof.demand_response_events", "gridproof.demand_response_snapshots"
FORGED = f"""
INSERT INTO {SNAPSHOTS} (originator_id, originator_version, topic, state, mac)
SELECT originator_id, 1000000, 'snapshot.v1', '{{}}', sha256('a game day') FROM {LOG} WHERE notification_id = 1
RETURNING originator_id
"""
WITHOUT_TRIGGERS = f"ALTER TABLE {LOG} DISABLE TRIGGER USER; %s; ALTER TABLE {LOG} ENABLE TRIGGER USER"
CHANGED = f"UPDATE {LOG} SET state = state || '\\x20'::bytea WHERE notification_id = 1"
AS_BEFORE = f"UPDATE {LOG} SET state = substr(state, 1, length(state) - 1) WHERE notification_id = 1"


@case("change_snapshot", "snapshot_forged")
def change_snapshot(drill: Drill) -> None:
    [(stream,)] = drill.as_owner(FORGED)
    try:
        drill.look_at("snapshot_forged")
        forged = drill.fires("snapshot_forged", "verification")
    finally:
        drill.as_owner(f"DELETE FROM {SNAPSHOTS} WHERE originator_id = %s", stream)
    drill.undo()
    drill.look_at("snapshot_forged")
    drill.ends(forged)


@case("change_log", "ledger_mismatch", round=3)
def change_log(drill: Drill) -> None:
    drill.as_owner(WITHOUT_TRIGGERS % CHANGED)
    try:
        drill.look_at("ledger_mismatch")
        mismatch = drill.fires("ledger_mismatch", "verification")
    finally:
        drill.as_owner(WITHOUT_TRIGGERS % AS_BEFORE)
    drill.undo()
    drill.look_at("ledger_mismatch")
    drill.ends(mismatch)


@case("lock_archive", "ledger_unsealed", round=2)
def lock_archive(drill: Drill) -> None:
    with _unusable(drill.demo.folder / "archive" / "ledger"):
        drill.gridproof("facilities", "opt-out", "fac-003", "--reason", "a game day")
        unsealed = drill.fires("ledger_unsealed")
    drill.undo()
    drill.gridproof("facilities", "opt-in", "fac-003", "--reason", "a game day")
    drill.ends(unsealed)
    drill.look_at("ledger_unsealed")


@case("lock_raw_archive", "raw_archive_behind")
def lock_raw_archive(drill: Drill) -> None:
    """A period of the telemetry log lasts a minute here, and may be late for another one."""
    with _unusable(drill.demo.folder / "archive" / "telemetry"):
        behind = drill.fires("raw_archive_behind")
    drill.undo()
    drill.look_at("raw_archive_behind")  # `verify` needs an archive that answers
    drill.ends(behind)


@case("hold_back_retention", "retention_held_back", round=2)
def hold_back_retention(drill: Drill) -> None:
    """Readings of four days ago are due under another setting, and the archive's progress is from before them."""
    old_day = drill.demo.clock.now() - timedelta(days=4)
    drill.as_owner("SELECT gridproof.prepare_readings_day(%s)", old_day.date())

    def set_progress_back() -> None:
        before = old_day - timedelta(days=1)
        drill.as_owner("UPDATE gridproof.raw_archive_progress SET archived_through = %s", before)

    kept = {"TELEMETRY_RAW_DAYS": "2", "TELEMETRY_RESTORED_DAYS": "0"}
    with ExitStack() as archive_away:
        archive_away.enter_context(_unusable(drill.demo.folder / "archive" / "telemetry"))
        set_progress_back()
        with in_place_of(drill, "aggregate", kept):
            held_back = drill.fires("retention_held_back", meanwhile=set_progress_back)
            drill.look_at("retention_held_back")
            archive_away.close()
            drill.undo()
            drill.ends(held_back)


@contextmanager
def _unusable(folder: Path) -> Iterator[None]:
    """During the block a file is where the folder was: root may write to one that is read-only."""
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)
    try:
        folder.touch()
        yield
    finally:
        folder.unlink()
        away.rename(folder)
