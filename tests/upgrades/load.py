"""Load on a system while its processes are replaced, and the evidence that nothing was lost or done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

import httpx
import msgspec
import psycopg

from interfaces.simulators.bms.journal import JournalEntry, duplicate_actions
from interfaces.simulators.outside_journal import METER_JOURNAL, MeterTurn
from tests.balanced_client import BalancedClient, notifications, reads
from tests.upgrades.dr_event_of_today import FACILITIES
from tests.upgrades.releases import FOLDER, Installation
from tests.upgrades.resumed_system import METER_CADENCE_S
from tests.upgrades.side_by_side import SideBySide

FIGURES = FOLDER / "figures.txt"
"""Written at the end of a run."""
READS = ("/api/dr-events?limit=50", "/api/facilities?limit=50", "/api/portfolio", "/api/operations")
READ_EVERY_S, NOTIFY_EVERY_S = 0.2, 1.0
_OPENED = """
SELECT convert_from(state, 'UTF8')::jsonb ->> 'utility_event_id', count(*)
FROM gridproof.demand_response_events WHERE topic = 'dr-event.opened.v1' GROUP BY 1
"""
_READINGS = """
SELECT c.facility_id, r.ts, count(*)
FROM gridproof.stored_chunks c, unnest(c.meter_ids, c.ts) AS r (meter_id, ts)
WHERE r.ts BETWEEN %s AND %s GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Load:
    """People who read, and a utility that notifies, until the end of the block; meters publish by themselves."""

    began_at: datetime
    """By the system's clock. Then ingest has had its session for a while: the broker keeps readings for no other."""
    reader: BalancedClient
    utility: BalancedClient
    stopped: Event

    @property
    def failures(self) -> list[str]:
        return [*self.reader.failed, *self.utility.failed]

    @property
    def requests(self) -> int:
        return len(self.reader.answers) + len(self.utility.answers)

    def figures(self) -> str:
        """For docs/guides/upgrades.md."""
        clients = (self.reader, self.utility)
        again = sum(sum(client.passed_over.values()) for client in clients)
        return (
            f"{self.requests} requests, {len(self.failures)} failed, {again} sent again to the other web process, "
            f"the longest took {max(client.longest_s for client in clients):.1f} s; "
            f"{len(self.accepted())} DR events accepted"
        )

    def accepted(self) -> list[str]:
        """The utility's ids of what was answered 202."""
        answers = (one for one in self.utility.answers if one.status_code == 202)
        return [str(msgspec.json.decode(one.request.content)["event_id"]) for one in answers]


@contextmanager
def loaded(system: SideBySide, *releases: Installation) -> Iterator[Load]:
    """The load on the web processes of these releases, of which at least one always runs."""
    servers = [httpx.URL(system.url_of(one)) for one in releases]
    dump = system.release.dump
    utility = notifications(
        dump.key("utility"),
        facility_ids=FACILITIES,
        program_id="summer-peak",
        begin=(system.now() + timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0),
    )
    load = Load(
        system.now(),
        BalancedClient(servers, reads(dump.key("admin"), READS), READ_EVERY_S),
        BalancedClient(servers, utility, NOTIFY_EVERY_S),
        Event(),
    )
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(client.run, load.stopped) for client in (load.reader, load.utility)]
        try:
            yield load
        finally:
            load.stopped.set()
            for one in running:
                one.result()
            FIGURES.write_text(f"{load.figures()}\n")


def recorded_dr_events(system: SideBySide) -> dict[str, int]:
    """The utility's id of each DR event -> how many streams begin with it."""
    with psycopg.connect(system.release.database.admin_dsn) as connection:
        return dict(connection.execute(_OPENED).fetchall())


def topics(system: SideBySide) -> set[str]:
    with psycopg.connect(system.release.database.admin_dsn) as connection:
        rows = connection.execute("SELECT DISTINCT topic FROM gridproof.demand_response_events").fetchall()
    return {str(topic) for (topic,) in rows}


def actions_carried_out_twice(system: SideBySide) -> dict[str, int]:
    """By the buildings' own journal."""
    lines = system.journal.read_bytes().splitlines()
    entries = [msgspec.json.decode(line, type=JournalEntry) for line in lines]
    return {str(key): count for key, count in duplicate_actions(entries).items()}


def curtailed_zones(system: SideBySide) -> set[tuple[str, str]]:
    lines = system.journal.read_bytes().splitlines()
    entries = [msgspec.json.decode(line, type=JournalEntry) for line in lines]
    last = {(one.facility_id, one.zone_id): one for one in entries}
    return {zone for zone, one in last.items() if one.curtailed}


def published_readings(system: SideBySide, since: datetime, until: datetime) -> set[tuple[str, datetime]]:
    """(facility, time) of each reading that its meter published in that time."""
    turns: dict[str, list[MeterTurn]] = {}
    for line in (system.folder / METER_JOURNAL).read_bytes().splitlines():
        turn = msgspec.json.decode(line, type=MeterTurn)
        turns.setdefault(turn.facility_id, []).append(turn)
    published = set()
    step = timedelta(seconds=METER_CADENCE_S)
    for facility_id, found in turns.items():
        ends = [*(turn.at for turn in found[1:]), until + step]
        for turn, end in zip(found, ends, strict=True):
            at = turn.at
            while turn.turn == "speaks" and at < end and at <= until:
                if at >= since:
                    published.add((facility_id, at))
                at += step
    return published


def stored_readings(system: SideBySide, first: datetime, until: datetime) -> Counter[tuple[str, datetime]]:
    """(facility, time) -> how often it is stored. Each facility has one meter."""
    with psycopg.connect(system.release.database.admin_dsn) as connection:
        rows = connection.execute(_READINGS, (first, until)).fetchall()
    return Counter({(str(facility_id), at): int(count) for facility_id, at, count in rows})
