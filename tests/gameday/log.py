"""Cases of the log, its snapshots and its ledger."""

from __future__ import annotations

from tests.gameday.drill import Drill
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
    """A file is where the folder of the ledger's archive was."""
    place = drill.demo.folder / "archive" / "ledger"
    away = place.with_name("ledger.away")
    place.rename(away)
    try:
        place.touch()
        drill.gridproof("facilities", "opt-out", "fac-003", "--reason", "a game day")
        unsealed = drill.fires("ledger_unsealed")
    finally:
        place.unlink()
        away.rename(place)
    drill.undo()
    drill.gridproof("facilities", "opt-in", "fac-003", "--reason", "a game day")
    drill.ends(unsealed)
    drill.look_at("ledger_unsealed")
