"""`gridproof doctor` counts commands that have neither an outcome nor a row of open work."""

from types import SimpleNamespace
from typing import Any

from application.commands.dr_event import StartPreparation
from interfaces.bootstrap.doctor.open_work import check_open_work
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID


def stores_of(world: InProcessSystem) -> Any:
    store = world.scenario.store
    models = FakeReadModels(store.read_after(0, 100_000))
    return SimpleNamespace(events=store, open_work=lambda: store.open_work, read_models=lambda: models)


def test_commands_whose_rows_were_deleted_are_counted() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002").until("scheduled")
    world.scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    world.relay_all()
    waiting = check_open_work(stores_of(world))
    assert (waiting.state, waiting.facts["bms"], waiting.facts["lost"]) == ("ok", 2, [])

    rows = world.scenario.store.open_work.rows
    [number] = [row.number for row in rows.values() if row.queue == "fac-001"]
    del rows[number]
    found = check_open_work(stores_of(world))
    assert (found.state, found.facts["lost"]) == ("wrong", [f"fac-001 in {DR_EVENT_ID}"])
    assert "dr-events restored" in found.advice

    world.settle()
    assert check_open_work(stores_of(world)).facts["lost"] == [f"fac-001 in {DR_EVENT_ID}"]
    assert world.dispatch("fac-002").status == "prepared"
