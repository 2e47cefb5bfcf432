"""Telemetry while ingest, aggregate, NATS, PostgreSQL and the cache are killed in turn: no loss, no duplicates.

The environment configures the long test: SOAK_MINUTES (30), SOAK_RATE (6700 readings/s), SOAK_EVERY_S (30, from kill
to kill), SOAK_STORE_STOP_S (600), and SOAK_CALM_MINUTES (10) without kills, since a leak cannot show in a process that
is restarted all the time.
"""

import faulthandler
import os
import time
from statistics import median

import pytest

from tests.chaos.telemetry.telemetry_delays import SEEN_AFTER_S
from tests.chaos.telemetry.telemetry_soak import SERVERS, WORKERS, Soak, soak

VICTIMS = (*WORKERS, *SERVERS)


def assert_every_reading_is_there_once(running: Soak, *, facilities: int) -> None:
    audits = running.audits()
    summary = "\n".join(running.delays.summary())
    assert [(one.lost, one.duplicated, one.foreign) for one in audits] == [(0, 0, 0)] * len(audits), summary
    assert [report.unacknowledged_messages for report in running.reports] == [0] * len(audits)
    for report in running.reports:
        counted, sent = running.rolled_up(report, facilities=facilities)
        assert counted == sent, summary


def test_one_kill_of_each_process_and_a_store_outage_lose_and_duplicate_no_reading() -> None:
    with soak(rate=200.0, chunk_s=5.0) as running:
        with running.meters():
            for victim in VICTIMS:
                running.kill(victim)
            running.stop_store(5.0)
        assert_every_reading_is_there_once(running, facilities=3)
        assert sum(report.readings for report in running.reports) > 1_000


@pytest.mark.chaos
def test_half_an_hour_of_kills_and_a_long_store_outage_lose_and_duplicate_no_reading() -> None:
    faulthandler.cancel_dump_traceback_later()  # this test takes longer than the limit
    minutes = float(os.environ.get("SOAK_MINUTES", "30"))
    every_s = float(os.environ.get("SOAK_EVERY_S", "30"))
    stop_s = float(os.environ.get("SOAK_STORE_STOP_S", "600"))
    rate = float(os.environ.get("SOAK_RATE", "6700"))
    calm_minutes = float(os.environ.get("SOAK_CALM_MINUTES", "10"))
    with soak(rate=rate, chunk_s=min(300.0, 15.0 * minutes), patience_s=180.0 + 3 * stop_s) as running:
        with running.meters():
            ends = time.monotonic() + minutes * 60
            turn = 0
            while time.monotonic() < ends:
                next_at = time.monotonic() + every_s
                running.kill(VICTIMS[turn % len(VICTIMS)])
                turn += 1
                while time.monotonic() < next_at:
                    running.delays.look()
                    time.sleep(1.0)
            # Measured before the stop: quarter-hours that end in it are finalized after it, which rewrites duplicates.
            time.sleep(SEEN_AFTER_S)
            running.delays.look(nothing_followed=True)
            running.stop_store(stop_s)
            calm_ends = time.monotonic() + calm_minutes * 60
            while time.monotonic() < calm_ends:
                running.note_memory()
                time.sleep(2.0)
        assert_every_reading_is_there_once(running, facilities=20)
        memory = str(usual_mb(running))
        print(memory)  # noqa: T201 - output with -s
        summary = "\n".join([*running.delays.summary(), memory])
        *kills, (stop, longest_after_stop_s) = running.delays.longest()
        late = [f"{outage.victim}: {s:.1f} s" for outage, s in kills if s > outage.seconds + 2.0]
        assert late == [], summary
        assert longest_after_stop_s <= stop.seconds + 0.1 * stop_s + 5.0, summary
        for name, (early_mb, late_mb) in usual_mb(running).items():
            assert late_mb <= 1.1 * early_mb + 5.0, (name, early_mb, late_mb)


def usual_mb(running: Soak) -> dict[str, tuple[float, float]]:
    """Process -> median memory in the second and the last third of the calm time. Single values vary."""
    third = len(running.held_mb) // 3
    parts = running.held_mb[third : 2 * third], running.held_mb[2 * third :]
    names = sorted({name for noted in running.held_mb for name in noted})
    return {
        name: (
            median(noted.get(name, 0.0) for noted in parts[0]),
            median(noted.get(name, 0.0) for noted in parts[1]),
        )
        for name in names
    }
