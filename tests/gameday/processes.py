"""Cases of processes and callers."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import httpx

from domain.telemetry.intervals import interval_start
from domain.telemetry.meter_reading import partition_of
from interfaces.settings.settings import Settings
from tests.gameday.drill import BY_HAND, QUARTER, Drill
from tests.gameday.registry import case
from tests.patience import ANSWER_S

WRONG_KEYS = 70
"""Over 60 in a minute are reported."""
CLEAR = "gridproof alerts clear ID --reason ..."
PAUSE_S = 0.2
WAITS = """
INSERT INTO gridproof.unsettled_quarters (partition, facility_id, starts_at, noted_at)
VALUES (%s, %s, %s, clock_timestamp() - interval '11 minutes')
"""
FLOODED, FAR = "fac-001", timedelta(hours=20)
"""Their windows begin after the game day."""
QUEUE_DEPTH = Settings().queue_depth


@case("kill_worker", "worker_restarted")
def kill_worker(drill: Drill) -> None:
    drill.demo.kill("compute")
    restarted = drill.fires("worker_restarted", "compute")
    drill.look_at("worker_restarted")
    drill.undo()
    drill.do("worker_restarted", CLEAR, ID=str(restarted.alert_id))
    drill.ends(restarted, how=BY_HAND)


@case("freeze_worker", "worker_silent", "turn_held_by_dead", round=2)
def freeze_worker(drill: Drill) -> None:
    """Its sessions of the database stay open, and hold its turn."""
    with drill.demo.held("archive"):
        silent = drill.fires("worker_silent", "archive")
        held = drill.fires("turn_held_by_dead", "archive")
        drill.look_at("worker_silent")
        drill.look_at("turn_held_by_dead")
    drill.undo()
    drill.ends(silent)
    drill.ends(held)


@case("send_wrong_keys", "authentication_failures", round=3)
def send_wrong_keys(drill: Drill) -> None:
    with httpx.Client(base_url=drill.demo.url, timeout=ANSWER_S) as caller:
        for _ in range(WRONG_KEYS):
            key = f"Bearer gp_{secrets.token_hex(20)}"
            assert caller.get("/api/facilities", headers={"Authorization": key}).status_code in {401, 429}
    failures = drill.fires("authentication_failures")
    drill.look_at("authentication_failures")
    # A new web process has counted no failure; otherwise the address is reported for ten minutes.
    drill.undo(lambda: drill.demo.kill("web"))
    drill.ends(failures)


@case("freeze_relay", "relay_stalled", "queue_full", round=3)
def freeze_relay(drill: Drill) -> None:
    """Meanwhile the utility sends as many DR events as may wait, of which none is planned."""
    with drill.demo.held("decide"):
        for number in range(QUEUE_DEPTH):
            drill.request(FLOODED, ahead=FAR + number * QUARTER)
        stalled = drill.fires("relay_stalled")
        full = drill.fires("queue_full", "door")
        drill.look_at("relay_stalled", ID=drill.demo.dr_event)
        drill.look_at("queue_full")
    drill.undo()
    drill.ends(stalled)
    drill.ends(full)


@case("freeze_projections", "projection_lag", round=3)
def freeze_projections(drill: Drill) -> None:
    with drill.demo.held("project"):
        _grow_log(drill, "fac-004")
        lagging = drill.fires("projection_lag")
        drill.look_at("projection_lag")
    drill.undo()
    drill.ends(lagging)


@case(
    "stop_aggregate",
    "telemetry_lag",
    "telemetry_lag_rising",
    "telemetry_lag_high",
    "telemetry_lag_severe",
    "settling_behind",
    round=3,
)
def stop_aggregate(drill: Drill) -> None:
    """A quarter-hour of two days ago waits as well, since eleven minutes as its row says."""
    with drill.demo.held("aggregate"):
        long_ago = interval_start(drill.demo.clock.now() - timedelta(days=2))
        drill.as_owner(WAITS, partition_of("fac-002"), "fac-002", long_ago)
        raised = [drill.fires(level) for level in drill.case.alerts]
        for level in drill.case.alerts:
            drill.look_at(level)
    drill.undo()
    for alert in raised:
        drill.ends(alert)


@case("kill_relay_repeatedly", "relay_stopped", round=4)
def kill_relay_repeatedly(drill: Drill) -> None:
    with _killed_repeatedly(drill, "decide"):
        _grow_log(drill, "fac-003")
        stopped = drill.fires("relay_stopped", "relay process")
        drill.look_at("relay_stopped", ID=drill.demo.dr_event)
    drill.undo()
    drill.ends(stopped)


@case("kill_projections_repeatedly", "projection_stopped", round=4)
def kill_projections_repeatedly(drill: Drill) -> None:
    with _killed_repeatedly(drill, "project"):
        _grow_log(drill, "fac-004")
        stopped = drill.fires("projection_stopped")
        drill.look_at("projection_stopped", ID=drill.demo.dr_event)
    drill.undo()
    drill.ends(stopped)


@contextmanager
def _killed_repeatedly(drill: Drill, worker: str) -> Iterator[None]:
    """The worker is killed whenever the supervisor has started it again."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(PAUSE_S):
            with suppress(ProcessLookupError):
                drill.demo.kill(worker)

    thread = threading.Thread(target=kill, name=f"kills {worker}")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _grow_log(drill: Drill, facility: str) -> None:
    drill.gridproof("facilities", "opt-out", facility, "--reason", "a game day")
    drill.gridproof("facilities", "opt-in", facility, "--reason", "a game day")
