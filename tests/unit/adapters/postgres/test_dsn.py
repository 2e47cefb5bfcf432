"""The default parameters of every connection to PostgreSQL."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.dsn import UnreadableAddress, for_failover

PAIR = "postgresql://app:p%40ss@db-1:5432,db-2:5433/gridproof?options=-csearch_path%3Dgridproof"


def test_the_complete_address_is_passed_on() -> None:
    assert conninfo_to_dict(PAIR).items() <= conninfo_to_dict(for_failover(PAIR)).items()


def test_a_writable_server_is_required_and_keepalives_are_set() -> None:
    asked = conninfo_to_dict(for_failover(PAIR))
    assert asked["target_session_attrs"] == "read-write"
    assert {"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"} <= asked.keys()


def test_what_an_address_says_itself_stands() -> None:
    said = for_failover(f"{PAIR}&target_session_attrs=any&tcp_user_timeout=1000")
    found = conninfo_to_dict(said)
    assert (found["target_session_attrs"], found["tcp_user_timeout"]) == ("any", "1000")


def test_it_is_an_address_like_any_other() -> None:
    assert for_failover(for_failover(PAIR)) == for_failover(PAIR)


@pytest.mark.parametrize(
    "address", ["postgresql://app:hunter2%zz@db/g", "postgresql://app:hunter2@db/g?bogus=1"]
)
def test_one_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(UnreadableAddress) as refusal:
        for_failover(address)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None
