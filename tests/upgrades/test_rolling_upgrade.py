"""The last release and this tree side by side, in each phase of expand and contract, under load (`make upgrades`).

The tests run in the order of an upgrade; each phase is rolled back where a roll back is possible. While processes are
replaced, a DR event is requested, carried out and measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.nats.work_queue import IDLE_CONSUMER_S
from application.event_store.newer_topics import NEWER_TOPICS
from interfaces.cli.worker import WORKERS
from tests.servers import PostgresServer
from tests.upgrades.dr_event_of_today import (
    FACILITIES,
    import_what_meters_missed,
    is_forecast_fully,
    is_over,
    requested_dr_event,
)
from tests.upgrades.load import (
    Load,
    actions_carried_out_twice,
    curtailed_zones,
    loaded,
    published_readings,
    recorded_dr_events,
    stored_readings,
    topics,
)
from tests.upgrades.releases import RELEASE_0_1, THIS_TREE, Installation, installed, last_release
from tests.upgrades.restored_release import Dump, restored
from tests.upgrades.resumed_system import WITHIN_S, until
from tests.upgrades.side_by_side import SideBySide, side_by_side

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).resolve().parent / "release_4cd57d2"
CONTRACTING = {"0037_release_0_2.sql": "0.2"}
CALLBACKS_WITHIN_S = IDLE_CONSUMER_S + WITHIN_S
"""Release 0.1 reads callbacks again once the consumers of this one are gone."""
ACTS_OF_THE_IMPORT = {"administration.portfolio-import-begun.v1"}
"""What the import of the terms records first; what the load has under way may come before it."""
HALTED = {"projection_stopped", "relay_stopped"}
BEHIND = timedelta(minutes=10)
"""Readings younger than this may still be on their way; twenty wall seconds."""


@pytest.fixture(scope="module")
def old() -> Installation:
    return installed(last_release())


@pytest.fixture(scope="module")
def system(
    old: Installation, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SideBySide]:
    """All processes are of the last release, and its forecasts are good enough for DR events."""
    folder = tmp_path_factory.mktemp("world")
    with (
        restored(postgres_server, Dump(FOLDER), folder / "data") as release,
        side_by_side(release, folder, old) as running,
    ):
        running.start(old, *WORKERS)
        ended = running.request("operator", "POST", "/api/facilities/fac-005/maintenance", {"action": "end"})
        assert ended.status_code == 200, ended.text
        import_what_meters_missed(running, folder / "missed.csv", since=release.dump.clock_at)
        until(lambda: all(map(partial(is_forecast_fully, running), FACILITIES)), "forecasts of full quality")
        yield running


@pytest.fixture(scope="module")
def load(system: SideBySide, old: Installation) -> Iterator[Load]:
    with loaded(system, old, THIS_TREE) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_failed(system: SideBySide, load: Load) -> Iterator[None]:
    before = load.requests
    yield
    assert load.failures == []
    assert system.ended() == {}
    assert load.requests > before or load.stopped.is_set()


@contextmanager
def carried_out(system: SideBySide, event_id: str, *, within_s: float = WITHIN_S) -> Iterator[None]:
    """A DR event that is requested before the block, and over after it."""
    path = requested_dr_event(system, event_id)
    yield
    until(lambda: is_over(system, path), f"{event_id} is completed, measured, reported", within_s=within_s)
    dispatches = system.get(f"{path}/dispatches")["items"]
    assert {one["facility_id"]: one["status"] for one in dispatches} == dict.fromkeys(FACILITIES, "restored")
    assert {one["state"] for one in system.get(f"{path}/callbacks")["items"]} == {"delivered"}


def refused_contraction(system: SideBySide) -> str:
    refused = system.run("migrate", "--contract", "0.2", by=THIS_TREE)
    assert refused.returncode == 1, refused.stdout
    assert "takes away what releases before 0.2 use" in refused.stderr
    return refused.stderr


def test_the_last_release_goes_on_with_an_expanded_schema(system: SideBySide, old: Installation) -> None:
    """To roll back, nothing is done: processes of the last release also start with it."""
    with carried_out(system, "UTIL-2026-0101"):
        assert system.document("migrate", by=THIS_TREE)["held_back"] == CONTRACTING
        for worker in ("project", "relay", "ingest", "aggregate", "forecast"):
            system.stop(old, worker)
            system.start(old, worker)


def test_each_process_is_replaced_by_one_of_this_release(system: SideBySide, old: Installation) -> None:
    with carried_out(system, "UTIL-2026-0102"):
        system.replace(old, THIS_TREE)


def test_each_process_is_rolled_back_to_the_last_release(system: SideBySide, old: Installation) -> None:
    with carried_out(system, "UTIL-2026-0103", within_s=CALLBACKS_WITHIN_S):
        system.roll_back(THIS_TREE, old)
    assert not topics(system) & NEWER_TOPICS
    refused_contraction(system)


def test_the_upgrade_is_repeated_and_one_older_process_prevents_the_contraction(
    system: SideBySide, old: Installation
) -> None:
    with carried_out(system, "UTIL-2026-0104"):
        system.replace(old, THIS_TREE)
        system.start(old, "relay")
        assert "of gridproof_app (says no release" in refused_contraction(system)
        system.stop(old, "relay")
    assert not topics(system) & NEWER_TOPICS


def test_the_contraction_is_applied_under_load(system: SideBySide) -> None:
    system.cli = THIS_TREE
    with carried_out(system, "UTIL-2026-0105"):
        assert system.document("migrate", "--contract", "0.2") == {"applied": [*CONTRACTING], "held_back": {}}
    until(lambda: bool(topics(system) & NEWER_TOPICS), "newer topics are written")


def test_release_0_1_halts_at_the_first_newer_topic_and_this_one_goes_on(
    system: SideBySide, tmp_path: Path
) -> None:
    """A roll back after the contraction is refused by the old processes themselves: they halt, and give way. The relay
    halts at a topic, the projections at rows of a newer version."""
    release_0_1 = installed(RELEASE_0_1)
    system.stop(THIS_TREE, "project", "relay")
    system.start(release_0_1, "project", "relay")
    agree_on_settlement(system, tmp_path / "settled.json")
    path = requested_dr_event(system, "UTIL-2026-0106")
    until(lambda: open_alerts(system).keys() >= HALTED, "both halt")
    alerts = open_alerts(system)
    assert any(topic in alerts["relay_stopped"] for topic in NEWER_TOPICS | ACTS_OF_THE_IMPORT)
    assert all("newer" in detail for detail in alerts.values())
    system.start(THIS_TREE, "project", "relay")
    until(lambda: is_over(system, path), "the DR event that waited is over")
    until(lambda: not open_alerts(system), "the alerts end")
    assert system.ended() == {}  # those of release 0.1 still wait
    system.stop(release_0_1, "project", "relay")


def test_nothing_was_lost_and_nothing_was_done_twice(system: SideBySide, load: Load) -> None:
    accepted, recorded = load.accepted(), recorded_dr_events(system)
    assert accepted
    assert {event_id: recorded.get(event_id, 0) for event_id in accepted} == dict.fromkeys(accepted, 1)
    assert actions_carried_out_twice(system) == {}
    assert curtailed_zones(system) == set()
    up_to = system.now() - BEHIND
    published = published_readings(system, load.began_at, up_to)
    stored = stored_readings(system, load.began_at, up_to)
    assert published
    assert published - stored.keys() == set()
    assert {reading: count for reading, count in stored.items() if count > 1} == {}

    def is_sealed() -> bool:
        verified = system.document("audit", "verify")
        assert verified["verified"], verified["findings"]
        return not any(log["unsealed"] for log in verified["logs"])

    load.stopped.set()
    until(is_sealed, "everything is sealed")
    assert all(one["equal"] for one in system.document("projections", "verify", "--all")["verified"])


def agree_on_settlement(system: SideBySide, file: Path) -> None:
    """Terms that only topics of this release express."""
    portfolio = json.loads((system.folder / "portfolio.json").read_text())
    portfolio["programs"][0]["settlement"] = {"currency": "USD", "energy": {"rate": "0.35"}}
    file.write_text(json.dumps(portfolio))
    system.document("facilities", "import", file)


def open_alerts(system: SideBySide) -> dict[str, str]:
    """Name -> detail of the alerts of followers that halted."""
    found: list[dict[str, Any]] = system.get("/api/alerts")["items"]
    return {one["name"]: one["detail"] for one in found if one["name"] in HALTED}
