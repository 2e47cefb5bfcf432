"""Which links `gridproof doctor` names as without TLS, or without a verified server."""

from pathlib import Path

import pytest

from interfaces.bootstrap.doctor.tls import assess_bms_links, check_links
from interfaces.settings.settings import read_settings
from tests.tls_certificates import Authority

DATABASE = "postgresql://app:secret@db-1:5432,db-2:5432/gridproof"


def named(**addresses: str) -> str:
    found = check_links(read_settings({f"GRIDPROOF_{name.upper()}": url for name, url in addresses.items()}))
    assert found.state == ("warning" if found.facts["open"] else "ok")
    assert "secret" not in found.detail
    return ", ".join(found.facts["open"])


@pytest.mark.parametrize(
    ("setting", "url", "said"),
    [
        ("database_url", DATABASE, "sslmode=prefer"),
        ("database_url", f"{DATABASE}?sslmode=require", "sslmode=require"),
        ("nats_url", "nats://app:secret@nats-1:4222", "nats: without TLS"),
        ("nats_url", "nats://app:secret@nats-1:4222,nats://app:secret@nats-2:4222", "nats: without TLS"),
        ("mqtt_url", "mqtt://broker:1883", "mqtt: without TLS"),
        ("redis_url", "redis://:secret@cache-1:6379", "redis: without TLS"),
        ("redis_url", "rediss://:secret@cache-1:6379?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("archive_s3_endpoint", "http://objects:9000", "http: without TLS"),
        ("weather_url", "http://weather:80", "http: without TLS"),
        ("http_bind", "0.0.0.0:8080", "no proxy"),
    ],
)
def test_a_link_that_leaves_the_machine_without_tls_is_named(setting: str, url: str, said: str) -> None:
    found = named(**{setting: url})
    assert f"GRIDPROOF_{setting.upper()}" in found
    assert said in found


def test_addresses_on_this_machine_are_not_named() -> None:
    assert named(
        database_url="postgresql://app@127.0.0.1:5432/gridproof",
        database_replica_url="postgresql:///gridproof?host=/run/postgresql",
        nats_url="nats://127.0.0.1:4222",
        redis_url="redis://localhost:6379",
        mqtt_url="mqtt://[::1]:1883",
    ) == ("")


def test_with_an_authority_the_addresses_of_servers_are_verified(tmp_path: Path) -> None:
    file = Authority(tmp_path).file
    assert named(
        tls_ca_file=str(file),
        database_url=DATABASE,
        nats_url="tls://app:secret@nats-1:4222",
        mqtt_url="mqtts://broker:8883",
        redis_url="rediss://:secret@cache-1:6379",
        http_bind="0.0.0.0:8080",
        http_trusted_proxies="10.0.0.5",
    ) == ("")


def test_buildings_over_http_are_named() -> None:
    found = assess_bms_links({"fac-001": "https://bms-1/soap", "fac-002": "http://bms-2/soap"})
    assert (found.state, found.detail) == ("warning", "1 of 2 buildings over http: fac-002")
    assert assess_bms_links({"fac-001": "http://127.0.0.1:9000/soap"}).state == "ok"
