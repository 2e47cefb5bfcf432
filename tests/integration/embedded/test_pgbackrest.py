"""pgBackRest as the guide configures it restores a PostgreSQL, and `gridproof restore --adopt` records that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from adapters.archive import ObjectArchive
from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers
from adapters.embedded.binaries import postgres_bindir
from adapters.embedded.postgres import DATABASE, SUPERUSER
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.schema.migrate import migrate
from adapters.signing import signer_in
from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.sealing import Sealer
from application.ledger.verification import verify_ledger
from application.ledger.witness import witness_of
from interfaces.cli import main
from tests.debian_packages import REQUIRE, debian_command_path
from tests.patience import START_S

GUIDE = Path(__file__).parents[3] / "docs/guides/backup.md"
WITHIN_S = 60.0


class PgBackRestRig:
    """A PostgreSQL that pgBackRest archives, and the ledger in it."""

    def __init__(self, folder: Path) -> None:
        # Also in CI without the package: this lane does not require it.
        environ = {name: value for name, value in os.environ.items() if name != REQUIRE}
        self._program = debian_command_path("pgbackrest", environ)
        self._folder = folder
        self.data_dir = folder / "data"
        self._conf = folder / "pgbackrest.conf"
        self._guide = re.findall(r"```ini\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
        self.servers = EmbeddedServers(
            self.data_dir, nats=False, valkey=False, postgres_settings=self._postgres_settings()
        )
        for name in ("repo", "spool", "lock", "log", "socket"):
            (folder / name).mkdir()
        self._conf.write_text(self._placed(self._guide[0]))

    def _placed(self, text: str) -> str:
        """The text of the guide with places of this test."""
        for there, here in (
            ("/var/lib/postgresql/18/main", self.data_dir / "postgres" / "pgdata"),
            ("/var/lib/pgbackrest", self._folder / "repo"),
            ("/var/spool/pgbackrest", self._folder / "spool"),
            ("/var/lock/pgbackrest", self._folder / "lock"),
            ("/var/log/pgbackrest", self._folder / "log"),
            ("/var/run/postgresql", self._folder / "socket"),
            ("/etc/pgbackrest/pgbackrest.conf", self._conf),
        ):
            text = text.replace(there, str(here))
        return text

    def _postgres_settings(self) -> dict[str, str]:
        lines = (line.partition("=") for line in self._placed(self._guide[1]).splitlines() if "=" in line)
        settings = {name.strip(): value.strip().strip("'") for name, _, value in lines}
        settings["archive_command"] = settings["archive_command"].replace(
            "pgbackrest ", f"{self._program} ", 1
        )
        return settings | {"unix_socket_directories": str(self._folder / "socket")}

    def start(self) -> None:
        self.servers.start()
        port = self.servers.postgres.ports["postgres"]
        password = self.servers.postgres.url(SUPERUSER).partition(f"{SUPERUSER}:")[2].partition("@")[0]
        (self._folder / "pgpass").write_text(f"*:*:*:{SUPERUSER}:{password}\n")
        (self._folder / "pgpass").chmod(0o600)
        text = re.sub(r"pg1-port=\d+", f"pg1-port={port}", self._conf.read_text())
        self._conf.write_text(text)
        deadline = time.monotonic() + WITHIN_S
        while self.ask("SELECT pg_is_in_recovery()") is not False:
            assert time.monotonic() < deadline, "the server does not become writable"
            time.sleep(0.1)

    def run(self, *arguments: str) -> str:
        path = f"{postgres_bindir()}:/usr/bin:/bin"
        environ = {"PATH": path, "HOME": str(self._folder), "PGPASSFILE": str(self._folder / "pgpass")}
        command = [str(self._program), f"--config={self._conf}", "--stanza=gridproof", *arguments]
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=START_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, statement: str) -> object:
        with psycopg.connect(self.servers.postgres.url(SUPERUSER, DATABASE), autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return None if row is None else row[0]

    def record_and_seal(self) -> SignedCheckpoint:
        now = datetime.now(UTC)
        with psycopg.connect(self.servers.postgres.url(SUPERUSER, DATABASE), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)"
                " VALUES (%s, 1, 'dr-event.made-up.v1', %s)",
                (uuid4(), f'{{"recorded_at":"{now.isoformat().replace("+00:00", "Z")}"}}'.encode()),
            )
            store = PostgresLedgerStore(lambda: nullcontext(connection))
            signed = Sealer(store, self.archive, signer_in(self.data_dir), SystemClock()).seal()
        assert signed is not None
        return signed

    @property
    def archive(self) -> ObjectArchive:
        return ObjectArchive((self.data_dir / "archive").as_uri())

    def findings(self, kept: SignedCheckpoint) -> list[str]:
        with psycopg.connect(self.servers.postgres.url(SUPERUSER, DATABASE), autocommit=True) as connection:
            store = PostgresLedgerStore(lambda: nullcontext(connection))
            key = signer_in(self.data_dir).public_key
            report = verify_ledger(store, self.archive, key, witness=witness_of(kept))
        return [found.kind for found in report.findings]


@pytest.mark.slow
def test_a_restore_by_pgbackrest_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = PgBackRestRig(tmp_path)
    rig.start()
    try:
        migrate(rig.servers.migration_database_url, alone=True)
        rig.run("stanza-create")
        rig.run("check")
        rig.run("--type=full", "backup")
        before = rig.record_and_seal()
        time.sleep(0.1)
        moment = str(rig.ask("SELECT clock_timestamp()"))
        time.sleep(0.1)
        lost = rig.record_and_seal()
        rig.run("--type=diff", "backup")
        rig.ask("SELECT pg_switch_wal()")
        rig.servers.stop()
        rig.run("--delta", "--type=time", f"--target={moment}", "--target-action=promote", "restore")
        rig.start()
        environ = {
            "GRIDPROOF_DATA_DIR": str(rig.data_dir),
            "GRIDPROOF_DATABASE_URL": rig.servers.database_url,
            "GRIDPROOF_MIGRATION_DATABASE_URL": rig.servers.migration_database_url,
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        to = datetime.fromisoformat(moment).isoformat()
        done = CliRunner().invoke(main, ["restore", "--adopt", "--to", to, "--yes", "--json"])
        assert done.exit_code == 0, done.output
        recorded = json.loads(done.stdout)["recorded"]
        assert recorded["lost"][0]["lost"] == 1
        assert recorded["streams"] is None
        assert rig.findings(before) == []
        assert rig.findings(lost) == ["restored"]
        assert "status: ok" in rig.run("info")
    finally:
        rig.servers.stop()
