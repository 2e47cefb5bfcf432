"""Telemetry while ingest, aggregate, NATS, PostgreSQL and the cache are killed in turn: none lost, none twice.

The long one is set by the environment: SOAK_MINUTES (30), SOAK_RATE (6700 readings/s), SOAK_EVERY_S (30, from kill to
kill), SOAK_STORE_STOP_S (600), and SOAK_CALM_MINUTES (10) in which nothing is killed, since a process that is killed
all the time leaks nothing.
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
    told = "\n".join(running.delays.told())
    assert [(one.lost, one.duplicated, one.foreign) for one in audits] == [(0, 0, 0)] * len(audits), told
    assert [report.unacknowledged_messages for report in running.reports] == [0] * len(audits)
    for report in running.reports:
        counted, sent = running.rolled_up(report, facilities=facilities)
        assert counted == sent, told


def test_each_of_them_killed_once_and_the_store_stopped_lose_nothing_and_count_nothing_twice() -> None:
    with soak(rate=200.0, chunk_s=5.0) as running:
        with running.meters():
            for victim in VICTIMS:
                running.kill(victim)
            running.stop_store(5.0)
        assert_every_reading_is_there_once(running, facilities=3)
        assert sum(report.readings for report in running.reports) > 1_000


@pytest.mark.chaos
def test_half_an_hour_of_kills_at_full_rate_and_a_long_stop_of_the_store() -> None:
    faulthandler.cancel_dump_traceback_later()  # it is meant to take longer
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
            # Before the stop: quarter-hours that end in it are settled after it, and what came twice is written anew.
            time.sleep(SEEN_AFTER_S)
            running.delays.look(nothing_followed=True)
            running.stop_store(stop_s)
            calm_ends = time.monotonic() + calm_minutes * 60
            while time.monotonic() < calm_ends:
                running.note_memory()
                time.sleep(2.0)
        assert_every_reading_is_there_once(running, facilities=20)
        memory = str(usual_mb(running))
        print(memory)  # noqa: T201 - for who runs it with -s
        told = "\n".join([*running.delays.told(), memory])
        *kills, (stop, longest_after_stop_s) = running.delays.longest()
        late = [f"{outage.victim}: {s:.1f} s" for outage, s in kills if s > outage.seconds + 2.0]
        assert late == [], told
        assert longest_after_stop_s <= stop.seconds + 0.1 * stop_s + 5.0, told
        for name, (early_mb, late_mb) in usual_mb(running).items():
            assert late_mb <= 1.1 * early_mb + 5.0, (name, early_mb, late_mb)


def usual_mb(running: Soak) -> dict[str, tuple[float, float]]:
    """By process, the median in the second third of the calm and in the last: what is collected goes up and down."""
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
