"""The default parameters of every connection to PostgreSQL."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.dsn import UnreadableAddress, for_failover

PAIR = "postgresql://app:p%40ss@db-1:5432,db-2:5433/gridproof?options=-csearch_path%3Dgridproof"


def test_all_parameters_of_the_dsn_are_passed_on() -> None:
    assert conninfo_to_dict(PAIR).items() <= conninfo_to_dict(for_failover(PAIR)).items()


def test_a_writable_server_is_required_and_keepalives_are_set() -> None:
    asked = conninfo_to_dict(for_failover(PAIR))
    assert asked["target_session_attrs"] == "read-write"
    assert {"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"} <= asked.keys()


def test_parameters_of_the_dsn_override_the_defaults() -> None:
    said = for_failover(f"{PAIR}&target_session_attrs=any&tcp_user_timeout=1000")
    found = conninfo_to_dict(said)
    assert (found["target_session_attrs"], found["tcp_user_timeout"]) == ("any", "1000")


def test_an_address_without_a_search_path_gets_the_schema_and_keeps_its_options() -> None:
    plain = conninfo_to_dict(for_failover("postgresql://app@db-1/gridproof"))
    assert plain["options"] == "-c search_path=gridproof"
    others = conninfo_to_dict(for_failover("postgresql://app@db-1/gridproof?options=-cjit%3Doff"))
    assert others["options"] == "-c search_path=gridproof -cjit=off"
    own = conninfo_to_dict(for_failover("postgresql://app@db-1/gridproof?options=-csearch_path%3Dother"))
    assert own["options"] == "-csearch_path=other"


def test_adding_the_defaults_twice_changes_nothing() -> None:
    assert for_failover(for_failover(PAIR)) == for_failover(PAIR)


@pytest.mark.parametrize(
    "address", ["postgresql://app:hunter2%zz@db/g", "postgresql://app:hunter2@db/g?bogus=1"]
)
def test_the_refusal_of_an_unreadable_dsn_does_not_contain_the_password(address: str) -> None:
    with pytest.raises(UnreadableAddress) as refusal:
        for_failover(address)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None
