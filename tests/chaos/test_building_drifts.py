"""Manual override of a curtailed building: detected, recorded, corrected by a new round, and restored at the end."""

import json
import urllib.request
from pathlib import Path

from domain.dispatch import Dispatch
from domain.identifiers import dispatch_id
from interfaces.simulators.bms.journal import curtailed_zones, duplicate_actions
from tests.chaos.small_system import SmallSystem, small_system
from tests.servers import Database


def turn_up(system: SmallSystem, facility_id: str) -> None:
    """Override a zone, as a person in the building does."""
    address = next(d.bms.address for d in system.dispatches() if d.facility_id == facility_id)
    request = urllib.request.Request(  # noqa: S310 - the simulator's own address
        address.removesuffix("/bms") + "/zones/hall/setpoint",
        data=json.dumps({"setpoint": 20.5}).encode(),
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - likewise
        assert answer.status == 204


def commits_of(system: SmallSystem, facility_id: str) -> list[int]:
    """The rounds in which the building was curtailed, from its own journal."""
    return [e.round for e in system.journal if e.facility_id == facility_id and e.action == "commit"]


def test_drift_is_corrected_by_a_new_round_while_the_other_building_is_unaffected(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    with small_system(database, nats_url, tmp_path, "") as system:
        drifting, steady = system.facility_ids
        system.until_scheduled()
        system.prepare()
        system.start()

        turn_up(system, drifting)
        system.until("a second round", lambda: len(commits_of(system, drifting)) == 2)

        found = system.events.load(Dispatch, dispatch_id(system.dr_event_id, drifting))
        assert found.state.latest("commit")["hall"].command.round == commits_of(system, drifting)[1]
        assert len(commits_of(system, steady)) == 1

        system.end()
        assert [dispatch.status for dispatch in system.dispatches()] == ["restored", "restored"]
        assert duplicate_actions(system.journal) == {}
        assert curtailed_zones(system.journal, system.clock.now()) == set()
        assert {e.setpoint for e in system.journal if e.action == "restore"} == {22.0}
