"""`gridproof migrate`: which migrations it applies and holds back, and what `--check` reports before."""

from pathlib import Path

import psycopg
import pytest

from adapters.postgres.schema import migrate as migrations
from tests.acceptance.cli.terminal import Terminal
from tests.servers import Database

NUMBER = len(migrations.migration_files())
EXPANDING = (f"{NUMBER + 1:04}_more.sql", "-- expand\nCREATE TABLE gridproof.more (id int);")
CONTRACTING = (f"{NUMBER + 2:04}_less.sql", "-- contract: needs release 1.2\nDROP TABLE gridproof.more;")
NEXT = (f"{NUMBER + 3:04}_next.sql", "-- expand\nCREATE TABLE gridproof.next (id int);")


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


def shipped(monkeypatch: pytest.MonkeyPatch, *more: tuple[str, str]) -> None:
    files = [*migrations.migration_files(), *more]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)


def test_migrate_applies_pending_migrations_and_check_reports_them(
    empty_database: Database, tmp_path: Path
) -> None:
    terminal = Terminal(empty_database, tmp_path)

    pending = terminal.document("migrate", "--check", exit_code=3)["pending"]
    applied = terminal.document("migrate")["applied"]

    assert pending == applied
    assert applied[0] == "0001_event_store.sql"
    assert terminal.document("migrate", "--check") == {
        "pending": [], "kinds": {}, "problems": [], "needs": {}, "ahead": [], "older_processes": [], "is_empty": False,
    }  # fmt: skip
    as_the_application = {"GRIDPROOF_MIGRATION_DATABASE_URL": empty_database.app_dsn}
    assert terminal.run("migrate", "--check", environ=as_the_application).exit_code == 0
    assert terminal.document("migrate") == {"applied": [], "held_back": {}}


def test_a_contracting_migration_is_applied_only_once_older_releases_are_declared_gone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped(monkeypatch, EXPANDING, CONTRACTING)

    checked = terminal.run("migrate", "--check")
    assert checked.exit_code == 3
    assert f"pending {EXPANDING[0]}: expand\n" in checked.stdout
    assert (
        f"pending {CONTRACTING[0]}: contract, needs release 1.2 everywhere: --contract 1.2\n"
        in checked.stdout
    )

    first = terminal.run("migrate")
    assert (first.exit_code, first.stdout) == (0, f"applied {EXPANDING[0]}\n")
    assert f"held back {CONTRACTING[0]}" in first.stderr
    assert "gridproof migrate --contract 1.2" in first.stderr
    assert terminal.document("migrate", "--contract", "1.1")["held_back"] == {CONTRACTING[0]: "1.2"}
    [migrations_check] = [
        check
        for check in terminal.document("doctor", exit_code=3 if _wrong(terminal) else 0)["checks"]
        if check["check"] == "migrations"
    ]
    assert migrations_check["state"] == "ok", "a migration that is held back is normal during an upgrade"
    assert f"{CONTRACTING[0]} until release 1.2" in migrations_check["detail"]

    assert terminal.document("migrate", "--contract", "1.2") == {
        "applied": [CONTRACTING[0]],
        "held_back": {},
    }
    assert terminal.run("migrate", "--check").exit_code == 0


def _wrong(terminal: Terminal) -> bool:
    """Whether another check fails, such as a full disk of the machine."""
    return terminal.run("doctor").exit_code != 0


def test_a_migration_that_needs_a_contracting_one_first_is_refused_with_a_hint(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped(monkeypatch, EXPANDING, CONTRACTING, NEXT)
    refused = terminal.run("migrate")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "nothing was applied" in refused.stderr
    assert "gridproof migrate --contract 1.2" in refused.stderr
    assert len(terminal.document("migrate", "--check", exit_code=3)["pending"]) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--contract", "soon"], "'soon' is no release"), (["--check", "--contract", "1.2"], "--check")],
)
def test_an_invalid_release_option_is_a_usage_error(
    terminal: Terminal, arguments: list[str], text: str
) -> None:
    refused = terminal.run("migrate", *arguments)
    assert refused.exit_code == 2
    assert text in refused.stderr


def test_a_loaded_dump_is_refused_until_its_cluster_is_accepted(terminal: Terminal) -> None:
    with psycopg.connect(terminal.database.owner_dsn) as owner:
        owner.execute(
            "INSERT INTO gridproof.log_timelines (log, cluster, timeline, after_position)"
            " VALUES ('demand_response_events', 1, 3, 0)"
        )
        [(cluster,)] = owner.execute("SELECT system_identifier FROM pg_control_system()").fetchall()

    refused = terminal.run("migrate")
    assert refused.exit_code == 1
    assert f"--accept-cluster {cluster}" in refused.stderr
    accepted = terminal.run("migrate", "--accept-cluster", str(cluster))
    assert (accepted.exit_code, accepted.stderr) == (0, f"accepted the cluster {cluster} for 1 logs\n")
    assert terminal.run("migrate").exit_code == 0
    assert terminal.run("migrate", "--check", "--accept-cluster", str(cluster)).exit_code == 2
