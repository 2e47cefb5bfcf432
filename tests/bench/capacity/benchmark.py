"""Benchmark capacity-run: the whole system at twice the review's load, measured against `gridproof capacity`.

SCALE 1 are 200 facilities with 2,000 meters that send alone every 15 s, 20 users of the dashboard and a DR event of a
quarter-hour over all facilities; SCALE 50 are 10,000 facilities. All processes are those of `gridproof up`. Processor
seconds are compared, not wall seconds, so that other programs on the machine matter little. It takes 30 to 45 minutes:
a DR event begins at a quarter-hour.

At more than 1,000 facilities only so many have forecasts, since training the others takes one processor a quarter of an
hour for each 10,000, and a DR event asks these. CAPACITY_READINGS_PER_S lowers the rate of the readings where the
machine cannot carry all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from domain.telemetry.intervals import INTERVAL, interval_start
from interfaces.bootstrap.backup.backups import take_backup
from interfaces.demo.api import ApiClient
from interfaces.simulators.sample_portfolio import PROGRAM_ID
from tests.bench.capacity.comparison import compared, measured_rows
from tests.bench.capacity.run import Phase, Run
from tests.bench.capacity.setup import LEAD_S, MOST_IN_DR_EVENT, CapacitySetup, capacity_setup
from tests.bench.capacity.telemetry_log import archive_log
from tests.bench.capacity.usage import Usage, opened, sampling, usage_of
from tests.bench.capacity.users import Users
from tests.bench.environment import MIN_MEASUREMENT_SCALE, BenchEnvironment
from tests.bench.figures import Figure
from tests.bench.ingest.load import CADENCE_S, Shape, new_name, sent

FACILITIES, METERS_EACH, USERS = 200, 10, 20
PHASE_S, TRIAL_PHASE_S = float(os.environ.get("CAPACITY_PHASE_S") or 120.0), 5.0
"""Of each phase before the DR event: nothing but the system, then the meters, then the users as well."""
AFTER_S = 120.0
"""After the window's end: restoring, and measuring."""
BEFORE_LEAD_S = 30.0
MOST_WITH_HISTORY = 1_000
FORECASTS_WITHIN_S = 1_200.0
RESULT = Path("build/capacity-run.json")


def capacity_run(env: BenchEnvironment) -> Iterator[Figure]:
    """Each figure is the measured one, and its floor the predicted one."""
    run = measured(env, is_trial=env.scale < MIN_MEASUREMENT_SCALE)
    run.write(RESULT)
    env.report(f"capacity-run: written to {RESULT}; load average {run.load_average}; for docs/benchmarks.md:")
    for row in measured_rows(run):
        env.report(row)
    yield from compared(run)


def measured(env: BenchEnvironment, *, is_trial: bool) -> Run:
    facilities = env.sized(FACILITIES, least=3)
    meters = facilities * METERS_EACH
    rate = float(os.environ.get("CAPACITY_READINGS_PER_S") or meters / CADENCE_S)
    shape, name = Shape("capacity", rate, cadence_s=meters / rate), new_name()
    plan = shape.plan(name)
    run = Run(facilities, plan.meters, USERS, min(facilities, MOST_WITH_HISTORY))
    env.report(f"capacity-run: {facilities} facilities, {plan.meters} meters; starting")
    with (
        capacity_setup(plan, users=USERS, with_history=run.with_history) as setup,
        opened(setup) as connection,
        sampling(setup) as run.peaks,
    ):
        _wait_for_cycle(setup, env)
        users = Users(setup.system.url, setup.dashboard_keys, setup.facility_ids)
        stages = _Stages(env, setup, run, users, connection, TRIAL_PHASE_S if is_trial else PHASE_S)
        stages.wait(stages.phase_s)
        stages.end("nothing")
        lasts_s = 2 * stages.phase_s if is_trial else stages.plan_dr_event()
        load = sent(shape, setup.system.meters_mqtt_url, lasts_s, run=name, beside=lambda _: stages.beside())
        stages.end("DR event" if run.is_whole else "rest")
        run.sent_readings = load.report.readings
        run.statuses = users.statuses
        run.p99_ms = max((one.p99_ms for one in users.reports), default=0.0)
        run.archived = archive_log(str(setup.system.settings.nats_url))
        taken = take_backup(setup.system.settings, full=True, progress=lambda *_: None)
        run.backup_bytes, run.backup_s = taken.backup.stored_bytes, taken.seconds
        run.load_average = os.getloadavg()
    return run


@dataclass
class _Stages:
    """Runs the phases one after the other."""

    env: BenchEnvironment
    setup: CapacitySetup
    run: Run
    users: Users
    connection: psycopg.Connection[tuple[object, ...]]
    phase_s: float
    starts_at: datetime | None = None
    """Of the DR event; None: there is none."""
    dispatches: int = 0

    def __post_init__(self) -> None:
        self._began: Usage = usage_of(self.setup, self.connection)
        self._began_at = self._now()
        self._requests = 0

    def wait(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def plan_dr_event(self) -> float:
        """Choose the first quarter-hour that leaves time for the phases; returns how long the meters have to send."""
        earliest = self._now() + timedelta(seconds=2 * self.phase_s + LEAD_S + 2 * BEFORE_LEAD_S)
        self.starts_at = interval_start(earliest) + INTERVAL
        self.run.is_whole = True
        return (self.starts_at + INTERVAL - self._now()).total_seconds() + AFTER_S

    def beside(self) -> ExitStack:
        """The phases while the meters send; what it returns ends with them."""
        stack = ExitStack()
        self.wait(self.phase_s)
        self.end("meters")
        stack.enter_context(self.users.running())
        self.wait(self.phase_s)
        self.end("users")
        if self.starts_at is not None:
            lead = timedelta(seconds=LEAD_S + BEFORE_LEAD_S)
            self.wait((self.starts_at - lead - self._now()).total_seconds())
            self.end("quarter-hour")
            self.dispatches = post_dr_event(self.setup, self.starts_at)
        return stack

    def end(self, name: str) -> None:
        """The phase that began with the end of the last one."""
        ended, now = usage_of(self.setup, self.connection), self._now()
        requests = sum(self.users.statuses.values())
        cycles = (interval_start(now) - interval_start(self._began_at)) // INTERVAL
        self.run.phases[name] = Phase(
            began=self._began,
            ended=ended,
            requests=requests - self._requests,
            dispatches=self.dispatches,
            forecasts=cycles * self.run.with_history,
        )
        self.run.write(RESULT)  # so that a run that is stopped loses nothing
        self.env.report(f"capacity-run: {name} measured, {ended.at_s - self._began.at_s:.0f} s")
        self._began, self._began_at, self._requests = ended, now, requests

    def _now(self) -> datetime:
        return self.setup.stores.clock.now()


def _wait_for_cycle(setup: CapacitySetup, env: BenchEnvironment) -> None:
    """Until the first cycle has made the forecasts of the facilities with history: training is no part of the run."""
    wanted = setup.facility_ids[: setup.with_history]
    deadline = time.monotonic() + FORECASTS_WITHIN_S
    while True:
        found = setup.stores.forecasts.newest_of(wanted, at=setup.stores.clock.now())
        if len(found) == len(wanted):
            return
        if time.monotonic() > deadline:
            env.report(f"capacity-run: only {len(found)} of {len(wanted)} facilities have a forecast")
            return
        time.sleep(2.0)


def post_dr_event(setup: CapacitySetup, starts_at: datetime) -> int:
    """Post the DR event; returns the number of its facilities."""
    asked = setup.facility_ids[: min(MOST_IN_DR_EVENT, setup.with_history)]  # the others have no forecast
    share = len(asked) / len(setup.facility_ids)
    response = ApiClient(setup.system.url, setup.utility_key).post(
        "/webhooks/utility/dr-notification",
        {
            "notification_id": "n-1",
            "event_id": "CAPACITY-1",
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + INTERVAL).isoformat(),
            "target_reduction_kw": round(setup.declared_kw * share * 0.5, 1),
            "facility_ids": list(asked),
            "priority": 1,
            "callback_url": setup.world.callback_url,
        },
    )
    if response.status != 202:
        raise RuntimeError(f"the DR event was not accepted: {response.status} {response.body}")
    return len(asked)
