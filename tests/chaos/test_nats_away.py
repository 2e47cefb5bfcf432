"""NATS is away in a whole DR event, or the deciding process from the recorded restores on: nobody misses anything."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from adapters.embedded import EmbeddedServers
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap import Stores, meter_readings, open_stores
from interfaces.demo.document import DemoDocument
from interfaces.demo.options import OF_SERVERS, DemoOptions
from interfaces.demo.run import METER_CADENCE_S, SECRET, Demo
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.journal import read_journal
from interfaces.simulators.meters.load_model import LoadSource
from interfaces.simulators.utility import ReceivedCallback
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import read_addresses, read_portfolio
from interfaces.system.running_system import RunningSystem
from tests.chaos.small_system import small_system
from tests.sample_values import NOW
from tests.servers import Database, nats_server

pytestmark = pytest.mark.chaos
BEFORE_ACCEPTANCE, AFTERWARDS = "have a forecast from meters and weather", "the DR event is completed"
SPEED = 60.0
WINDOW = (NOW + timedelta(minutes=15), NOW + timedelta(minutes=35))
"""70 s of wall time until its end."""
PATIENCE_S = 360.0


class DemoWithoutNats(Demo):
    """A demo whose NATS ends once the last forecast is there, and starts again when the DR event is over.

    What is reported is reported before the demo goes on: nothing is asked of the system while NATS ends.
    """

    def __init__(self, nats: EmbeddedServers, folder: Path) -> None:
        self.said: list[str] = []
        self.restarts: dict[str, int] = {}
        self.measured: set[str] = set()
        self.stored: dict[str, dict[str, int]] = {}
        self.metered_kw: dict[str, float] = {}
        """The mean load in the window, by the stored readings."""
        self._nats = nats
        options = DemoOptions(
            facilities=50,
            speed=SPEED,
            data_dir=folder,
            failpoints=(),
            servers=dict.fromkeys(OF_SERVERS) | {"nats_url": nats.nats_url, "mqtt_url": nats.mqtt_url},
            meters_mqtt_url=nats.meters_mqtt_url,
        )
        super().__init__(options, self._heard)

    def _heard(self, line: str) -> None:
        self.said.append(line)
        if BEFORE_ACCEPTANCE in line:
            self._nats.nats.kill()
        elif AFTERWARDS in line:
            self._nats.nats.start()

    def _run_scenario(self, system: RunningSystem) -> DemoDocument:
        document = super()._run_scenario(system)
        self.restarts = system.restarts()
        self.measured = {one.facility_id for one in self.log if isinstance(one, Dispatch.Measured)}
        with contextlib.closing(open_stores(system.settings)) as stores:
            for facility_id in self.measured:
                self._look_up(stores, facility_id)
        return document

    def _look_up(self, stores: Stores, facility_id: str) -> None:
        meters = meter_readings(stores).meter_readings(facility_id, self.window)
        self.stored[facility_id] = {
            meter.meter_id: len(set(meter.columns.ts_us.tolist())) for meter in meters
        }
        self.metered_kw[facility_id] = float(sum(meter.columns.kw.mean() for meter in meters))

    @property
    def window(self) -> TimeWindow:
        [accepted] = [one for one in self.log if isinstance(one, DREvent.Accepted)]
        return TimeWindow(accepted.notice.starts_at, accepted.notice.ends_at)


def undisturbed_kw(source: LoadSource, entries: Sequence[JournalEntry], window: TimeWindow) -> float:
    """The mean load that the meters of a building send in the window, by its load model and its journal."""
    moments_s = np.arange(window.starts_at.timestamp(), window.ends_at.timestamp(), METER_CADENCE_S)
    shed_kw = {entry.zone_id: np.zeros(len(moments_s)) for entry in entries}
    for entry in sorted(entries, key=lambda entry: entry.at):
        shed_kw[entry.zone_id][moments_s >= entry.at.timestamp()] = entry.shed_kw
    return float(np.maximum(0.0, source.loads_kw(moments_s) - sum(shed_kw.values())).mean())


def assert_as_undisturbed(demo: DemoWithoutNats, world: Path, journal: Sequence[JournalEntry]) -> None:
    """What was delivered is a baseline minus this load. The load model of a facility is its seed."""
    sources = load_sources(read_portfolio(world / "portfolio.json"))
    furthest_kw = 0.0
    for facility_id, metered_kw in demo.metered_kw.items():
        entries = [entry for entry in journal if entry.facility_id == facility_id]
        # Of a commit at the moment of a reading, the reading may show it or not.
        earlier = [replace(entry, at=entry.at - timedelta(seconds=METER_CADENCE_S)) for entry in entries]
        loads_kw = [undisturbed_kw(sources[facility_id], one, demo.window) for one in (entries, earlier)]
        apart_kw = max(min(loads_kw) - metered_kw, metered_kw - max(loads_kw))
        furthest_kw = max(furthest_kw, apart_kw)
        assert apart_kw <= 0.1, f"{facility_id}: {metered_kw:.3f} kW metered, {loads_kw} kW undisturbed"
    print(f"of the load of the same seed undisturbed at most {furthest_kw:.4f} kW apart")  # noqa: T201 - with -s


def test_a_dr_event_of_50_buildings_runs_without_nats_and_is_settled_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "")  # the demo sets it, and the test takes it back
    with nats_server() as nats:
        demo = DemoWithoutNats(nats, tmp_path / "data")
        document = demo.run(lambda document: None)
    said = "\n".join(demo.said)
    assert document.faults == [], said
    assert set(demo.restarts.values()) == {0}, demo.restarts
    assert (document.status, document.settlement_status) == ("completed", "settled"), said
    assert document.duplicate_bms_commands == document.curtailed_after_end == 0
    assert document.facilities.restored == document.facilities.committed == len(demo.measured)
    of_a_meter = round((demo.window.ends_at - demo.window.starts_at).total_seconds() / METER_CADENCE_S)
    for facility_id, stored in demo.stored.items():
        assert set(stored.values()) == {of_a_meter}, f"the gateway of {facility_id} kept its readings"

    addresses = read_addresses(tmp_path / "data" / "world")
    assert addresses is not None
    told = [
        one for one in read_journal(Path(addresses.callback_journal), ReceivedCallback) if one.status < 300
    ]
    of_this = Counter(one.kind for one in told if one.dr_event_id == document.dr_event_id)
    assert {kind: of_this[kind] for kind in ("accepted", "started", "completed")} == {
        "accepted": 1,
        "started": 1,
        "completed": 1,
    }
    journal = list(read_journal(Path(addresses.bms_journal), JournalEntry))
    restored = Counter((entry.facility_id, entry.zone_id) for entry in journal if entry.action == "restore")
    assert set(restored.values()) == {1}
    assert_as_undisturbed(demo, tmp_path / "data" / "world", journal)


def test_recorded_restores_are_carried_out_while_the_deciding_process_is_stopped(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    with (
        small_system(database, nats_url, tmp_path, "", window=WINDOW) as system,
        contextlib.ExitStack() as stopped,
    ):
        system.until_scheduled()
        system.until("commits", lambda: all(one.was_committed for one in system.dispatches()), PATIENCE_S)
        with system.without("dispatch"):
            system.until(
                "recorded restores",
                lambda: all(
                    any(one.command.phase == "restore" for one in dispatch.commands.values())
                    for dispatch in system.dispatches()
                ),
                PATIENCE_S,
            )
            stopped.enter_context(system.without("decide"))

        def restored() -> set[str]:
            return {entry.facility_id for entry in system.journal if entry.action == "restore"}

        system.until("restores", lambda: restored() == set(system.facility_ids), PATIENCE_S)
        times = Counter(entry.command_id for entry in system.journal if entry.action == "restore")
        assert set(times.values()) == {1}
