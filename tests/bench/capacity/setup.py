"""Setup of the capacity run: the whole system as `gridproof up` runs it, its portfolio, history and keys."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from adapters.embedded.loopback import free_port
from application.facility.portfolio_entries import MeterEntry, Portfolio
from interfaces.bootstrap import Stores, open_stores
from interfaces.demo.setup import PROGRAM, import_history, issue_key, register, written
from interfaces.settings.settings import Settings
from interfaces.simulators.meters.load_model import LoadModel
from interfaces.simulators.meters.load_plan import LoadPlan
from interfaces.simulators.sample_portfolio import (
    DEMO_CELL,
    DEMO_TZ,
    UTILITY_ID,
    SampleFacility,
    make_portfolio,
)
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import WorldAddresses, WorldSpec, read_addresses
from interfaces.system.private_files import make_private_folder
from interfaces.system.running_system import NotReady, RunningSystem

SECRET = "GRIDPROOF_SECRET_CALLBACK_CAPACITY"
STARTED_WITHIN_S = 600.0
"""Long enough for a busy machine."""
MOST_IN_DR_EVENT = 2_000
"""A notification names no more; only so many buildings are simulated."""
LEAD_S = 60
"""Of the program: from the notification to the start at least, and from the preparation to the start."""


@dataclass(frozen=True)
class CapacitySetup:
    """A running system with its facilities. The URLs and keys are not for logs."""

    system: RunningSystem
    stores: Stores
    folder: Path
    facility_ids: tuple[str, ...]
    declared_kw: float
    with_history: int
    """Facilities whose load history was imported: those that get forecasts."""
    world: WorldAddresses
    utility_key: str
    admin_key: str
    dashboard_keys: tuple[str, ...]

    @property
    def backup_dir(self) -> Path:
        return self.folder.parent / "backup"

    def cpu_s(self) -> dict[str, float]:
        """Process or server -> processor time so far, without the simulated world."""
        from tests.bench.capacity.process_use import cpu_s

        return {name: cpu_s(pid) for name, pid in self._ours()}

    def held_mb(self) -> dict[str, float]:
        from tests.bench.capacity.process_use import held_mb

        return {name: held_mb(pid) for name, pid in self._ours()}

    def _ours(self) -> list[tuple[str, int]]:
        return [(name, pid) for name, pid in self.system.pids.items() if name != "world"]


@contextmanager
def capacity_setup(plan: LoadPlan, *, users: int, with_history: int) -> Iterator[CapacitySetup]:
    """Start the system with the facilities and meters of `plan`, and load history for the first `with_history`."""
    os.environ[SECRET] = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="gridproof-bench-") as name:
        folder = Path(name) / "data"
        settings = Settings(
            data_dir=folder,
            http_bind=f"127.0.0.1:{free_port()}",
            allow_private_callbacks=True,
            bms_networks="127.0.0.0/8",
            log_level="warning",
            stream_clients_per_key=users + 5,
            backup_dir=Path(name) / "backup",
        )
        with RunningSystem(settings) as system:
            system.start_servers()
            bms_bind = f"127.0.0.1:{free_port()}"
            portfolio = portfolio_of(plan, f"http://{bms_bind}")
            with contextlib.closing(open_stores(system.settings)) as stores:
                register(stores, portfolio)
                some = msgspec.structs.replace(portfolio, facilities=portfolio.facilities[:with_history])
                import_history(stores, some, load_sources(some), until=stores.clock.now())
                utility_key = issue_key(stores, role="utility", utility_id=UTILITY_ID)
                admin_key = issue_key(stores, role="admin", utility_id=None)
                keys = [issue_key(stores, role="dashboard", utility_id=None) for _ in range(users)]
            world = _start_processes(system, portfolio, bms_bind)
            with contextlib.closing(open_stores(system.settings)) as stores:
                yield CapacitySetup(
                    system=system,
                    stores=stores,
                    folder=folder,
                    facility_ids=tuple(entry.facility_id for entry in portfolio.facilities),
                    declared_kw=sum(z.curtailable_kw for f in portfolio.facilities for z in f.zones),
                    with_history=with_history,
                    world=world,
                    utility_key=utility_key,
                    admin_key=admin_key,
                    dashboard_keys=tuple(keys),
                )


def portfolio_of(plan: LoadPlan, bms_url: str) -> Portfolio:
    """The facilities and meters of `plan`, in a program with a short notification lead."""
    listed = plan.listed_meters()
    samples = [
        SampleFacility(
            facility_id=facility_id,
            tz=DEMO_TZ,
            weather_cell=DEMO_CELL,
            typical_kw=LoadModel(facility_id, tz=DEMO_TZ, weather_cell=DEMO_CELL).plateau_kw,
        )
        for facility_id in sorted(listed)
    ]
    program = msgspec.structs.replace(
        PROGRAM, notification_lead_s=LEAD_S, prepare_lead_s=LEAD_S, forecast_guardrail="warn"
    )
    portfolio = make_portfolio(samples, bms_url=bms_url, callback_secret_ref=f"env:{SECRET}", program=program)
    return msgspec.structs.replace(
        portfolio,
        facilities=tuple(
            msgspec.structs.replace(
                entry, meters=tuple(MeterEntry(meter_id=meter) for meter in listed[entry.facility_id])
            )
            for entry in portfolio.facilities
        ),
    )


def _is_ready(system: RunningSystem) -> bool:
    try:
        system.wait_until_ready()
    except NotReady:
        return False
    return True


def _start_processes(system: RunningSystem, portfolio: Portfolio, bms_bind: str) -> WorldAddresses:
    directory = system.settings.data_dir / "world"
    make_private_folder(directory)
    weather_bind = f"127.0.0.1:{free_port()}"
    served = msgspec.structs.replace(portfolio, facilities=portfolio.facilities[:MOST_IN_DR_EVENT])
    spec = WorldSpec(
        portfolio=str(written(directory / "portfolio.json", served)),
        directory=str(directory),
        bms_bind=bms_bind,
        weather_bind=weather_bind,
    )
    spec_file = written(directory / "spec.json", spec)
    system.start_workers(replace(system.settings, weather_url=f"http://{weather_bind}"), without=("compute",))
    system.start_process("world", ["simulate", "world", "--spec", str(spec_file)])
    deadline = time.monotonic() + STARTED_WITHIN_S
    while not _is_ready(system):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the system did not start; read {system.settings.data_dir}/logs")
    while (addresses := read_addresses(directory)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the simulated world did not start; read {system.settings.data_dir}/logs")
        time.sleep(0.1)
    # Last, so that the weather service answers its first cycle.
    system.start_process("compute", ["worker", "compute"])
    return addresses
