"""The whole demo over TLS alone: PostgreSQL, NATS, MQTT and the cache, with certificates of a private authority."""

from pathlib import Path

import httpx

from tests.chaos.phases import keeps_its_promises
from tests.demo_runs import SMALL, run_demo
from tests.integration.tls.links import PASSWORD, cache, nats_server
from tests.servers import Database
from tests.tls_certificates import Authority
from tests.tls_front import postgresql_tls_front, tls_behind


def test_the_demo_has_its_usual_outcome_on_servers_that_speak_nothing_but_tls(
    database: Database, tmp_path: Path
) -> None:
    """The embedded PostgreSQL is built without TLS, so a proxy in front of it ends TLS."""
    authority, port = Authority(tmp_path / "certificates"), int(httpx.URL(database.app_dsn).port or 0)
    with (
        postgresql_tls_front(port, authority.server()) as front,
        nats_server(tmp_path, authority) as (nats, mqtt),
        cache(tmp_path, authority) as valkey,
        tls_behind(mqtt, authority) as meters,
    ):
        login = f"{PASSWORD}@127.0.0.1"
        run = run_demo(
            *(*SMALL, "--servers-of-settings", "--data-dir", str(tmp_path / "data")),
            *("--meters-mqtt-url", f"mqtt://app:{login}:{meters}"),
            settings={
                "GRIDPROOF_TLS_CA_FILE": str(authority.file),
                "GRIDPROOF_DATABASE_URL": at(database.app_dsn, front),
                "GRIDPROOF_MIGRATION_DATABASE_URL": at(database.owner_dsn, front),
                "GRIDPROOF_NATS_URL": f"tls://app:{login}:{nats}",
                "GRIDPROOF_MQTT_URL": f"mqtts://app:{login}:{mqtt}",
                "GRIDPROOF_REDIS_URL": f"rediss://:{login}:{valkey}/0",
            },
        )
    keeps_its_promises(run)
    assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}


def at(dsn: str, port: int) -> str:
    """Without the `sslmode=disable` of the embedded server."""
    return str(httpx.URL(dsn).copy_with(port=port).copy_remove_param("sslmode"))
