"""Snapshots that the system did not make are not believed: whoever can write to their table changes no decision."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import pytest

from application.event_store.event_mapper import encode_state
from application.event_store.snapshot_mac import SnapshotMac
from application.ledger.sealing import Sealer, follow
from domain.event_sourcing.snapshot import Snapshot
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from domain.ledger.entries import LOGS
from interfaces.bootstrap.ledger import ledger_signer, ledger_store, open_archive
from interfaces.bootstrap.snapshots import make_snapshot_key, snapshot_key, verify_snapshots
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import Settings
from tests.acceptance.cli.terminal import Terminal
from tests.sample_values import provenance
from tests.servers import Database

STREAM = facility_stream_id("fac-001")
ANOTHER = facility_stream_id("fac-002")
INSERT = """
INSERT INTO gridproof.demand_response_snapshots (originator_id, originator_version, topic, state, mac)
VALUES (%s, %s, 'snapshot.v1', %s, %s)
"""
STORED = "SELECT originator_version FROM gridproof.demand_response_snapshots ORDER BY 1"


@pytest.fixture
def settings(tmp_path: Path, database: Database) -> Settings:
    (tmp_path / "snapshot.key").write_text("0b" * 32)
    return Settings(data_dir=tmp_path, database_url=database.app_dsn)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    with closing(open_stores(settings, pool_size=2)) as opened:
        yield opened


def recorded(stores: Stores, facility_id: str = "fac-001", *, versions: int) -> Facility:
    facility = Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    while facility.version < versions:
        if facility.state.status == "active":
            facility.start_maintenance(provenance(), reason="boiler")
        else:
            facility.end_maintenance(provenance())
    stores.events.save([facility])
    return facility


def state_of(facility: Facility, *, version: int, stream: UUID = STREAM) -> bytes:
    """A stored snapshot of the facility that says that it was deactivated."""
    snapshot = Snapshot.take(facility)
    state = msgspec.structs.replace(facility.state, status="deactivated")
    return encode_state(
        msgspec.structs.replace(
            snapshot,
            originator_id=stream,
            originator_version=version,
            state=msgspec.Raw(msgspec.json.encode(state)),
        )
    )


def insert_as_application(
    database: Database, version: int, state: bytes, mac: bytes, stream: UUID = STREAM
) -> None:
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(INSERT, (stream, version, state, mac))


def loaded(settings: Settings) -> tuple[int, str]:
    """Version and status of the facility, as a process that has just started loads it."""
    with closing(open_stores(settings, pool_size=2)) as another:
        facility = another.events.load(Facility, STREAM)
        return facility.version, facility.state.status


def alerts(stores: Stores) -> list[tuple[str, str]]:
    return [(alert.name, alert.subject) for alert in stores.alerts().listed()]


FORGED = ("snapshot_forged", "demand_response_snapshots")


@pytest.mark.parametrize("mac", [b"", b"x" * 32])
def test_a_snapshot_that_is_newer_than_its_stream_is_not_read_and_raises_an_alert(
    settings: Settings, stores: Stores, database: Database, mac: bytes
) -> None:
    facility = recorded(stores, versions=3)
    insert_as_application(database, 1_000, state_of(facility, version=1_000), mac)
    assert loaded(settings) == (3, "active")
    assert alerts(stores) == [FORGED]


def test_a_snapshot_with_a_wrong_mac_is_not_read_and_raises_an_alert(
    settings: Settings, stores: Stores, database: Database
) -> None:
    facility = recorded(stores, versions=3)
    insert_as_application(database, 3, state_of(facility, version=3), secrets.token_bytes(32))
    assert loaded(settings) == (3, "active")
    assert alerts(stores) == [FORGED]
    assert f"version 3 of stream {STREAM}" in stores.alerts().listed()[0].detail


def test_the_mac_of_another_stream_or_version_does_not_count(
    settings: Settings, stores: Stores, database: Database
) -> None:
    facility = recorded(stores, versions=3)
    key = snapshot_key(settings)
    assert key is not None
    state = state_of(facility, version=3)
    mac = SnapshotMac(key)
    insert_as_application(database, 3, state, mac.of(ANOTHER, 3, "snapshot.v1", state))
    insert_as_application(database, 2, state, mac.of(STREAM, 3, "snapshot.v1", state))
    assert loaded(settings) == (3, "active")


def test_a_genuine_snapshot_of_a_log_that_lost_its_newest_domain_events_is_not_read(
    settings: Settings, stores: Stores, database: Database
) -> None:
    recorded(stores, versions=120)
    with psycopg.connect(database.admin_dsn) as connection:
        [(version,)] = connection.execute(STORED).fetchall()
        connection.execute(
            "DELETE FROM gridproof.demand_response_events WHERE originator_version >= %s", (version,)
        )
    assert loaded(settings)[0] == version - 1
    assert alerts(stores) == [FORGED]


@pytest.mark.parametrize("forged", [1, 7])
def test_behind_forged_snapshots_a_genuine_one_is_still_used(
    settings: Settings, stores: Stores, database: Database, forged: int
) -> None:
    facility = recorded(stores, versions=120)
    for version in range(1_000, 1_000 + forged):
        insert_as_application(database, version, state_of(facility, version=version), b"x" * 32)
    with psycopg.connect(database.admin_dsn) as connection:
        (version,), *_ = connection.execute(STORED).fetchall()
        # Without the genuine one the stream could not be loaded, because its first domain events are deleted.
        connection.execute(
            "DELETE FROM gridproof.demand_response_events WHERE originator_version < %s", (version,)
        )
    assert loaded(settings) == (facility.version, facility.state.status)


def test_without_the_key_no_snapshot_is_read_or_written(
    settings: Settings, stores: Stores, database: Database
) -> None:
    (settings.data_dir / "snapshot.key").unlink()
    with closing(open_stores(settings, pool_size=2)) as without_key:
        recorded(without_key, versions=120)
    with psycopg.connect(database.app_dsn) as connection:
        assert connection.execute(STORED).fetchall() == []
    assert loaded(settings)[0] == 120


def test_a_snapshot_that_differs_from_a_fold_of_its_stream_is_reported(
    settings: Settings, stores: Stores, database: Database
) -> None:
    recorded(stores, "fac-002", versions=120)
    report = verify_snapshots(settings, stores.pool, stores.clock)
    assert (report.equal, report.holds) == (1, True)
    facility = recorded(stores, versions=3)
    key = snapshot_key(settings)
    assert key is not None
    state = state_of(facility, version=3)
    insert_as_application(database, 3, state, SnapshotMac(key).of(STREAM, 3, "snapshot.v1", state))
    insert_as_application(database, 2, state_of(facility, version=2), b"x" * 32)
    insert_as_application(database, 7, state_of(facility, version=7), b"x" * 32)
    report = verify_snapshots(settings, stores.pool, stores.clock)
    assert {(finding.kind, finding.version) for finding in report.findings} == {
        ("differs", 3),
        ("wrong-mac", 2),
        ("ahead", 7),
    }
    assert report.equal == 1
    assert ("snapshot_forged", "verification") in alerts(stores)
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute(
            "DELETE FROM gridproof.demand_response_snapshots WHERE originator_id = %s", (STREAM,)
        )
    assert verify_snapshots(settings, stores.pool, stores.clock).holds
    assert alerts(stores) == []


def seal(stores: Stores) -> None:
    """Seal the log, so that the ledger holds."""
    store = ledger_store(stores)
    for log in LOGS:
        while follow(store, log, 500):
            pass
    Sealer(store, open_archive(stores.settings), ledger_signer(stores.settings), stores.clock).seal()


def test_the_command_line_verifies_snapshots_and_exits_with_3_if_one_does_not_hold(
    database: Database, tmp_path: Path
) -> None:
    terminal = Terminal(database, tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    assert terminal.run("audit", "verify", "--snapshots").exit_code == 1, "no key, nothing verified"
    make_snapshot_key(Settings(data_dir=data))
    with closing(open_stores(Settings(data_dir=data, database_url=database.app_dsn), pool_size=2)) as stores:
        facility = recorded(stores, versions=120)
        seal(stores)
    whole = terminal.run("audit", "verify", "--snapshots")
    assert (whole.exit_code, "the snapshots hold; 1 equal" in whole.output) == (0, True)

    insert_as_application(database, 1_000, state_of(facility, version=1_000), b"x" * 32)
    forged = terminal.run("audit", "verify", "--snapshots", "--json")
    assert forged.exit_code == 3
    assert "docs/runbooks/snapshot_forged.md" in forged.stderr
    assert json.loads(forged.stdout)["snapshots"]["findings"] == [
        {"kind": "ahead", "stream_id": str(STREAM), "version": 1_000}
    ]
    assert terminal.run("audit", "verify").exit_code == 0, "the log itself was not changed"


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    make_snapshot_key(settings)
    made = snapshot_key(settings)
    make_snapshot_key(settings)
    assert snapshot_key(settings) == made
    assert made is not None
    assert len(made) == 32
    assert (tmp_path / "snapshot.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.key"]
