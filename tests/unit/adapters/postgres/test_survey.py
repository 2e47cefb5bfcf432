"""The hosts of an address, each by itself."""

from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.connection.survey import hosts_of


def hosts(url: str) -> list[tuple[str, str, str]]:
    found = map(conninfo_to_dict, hosts_of(for_failover(url)))
    return [(str(one["host"]), str(one.get("port")), str(one["target_session_attrs"])) for one in found]


def test_each_host_is_looked_at_with_its_own_port_whether_it_accepts_writes_or_not() -> None:
    assert hosts("postgresql://app@db-1:5432,db-2:5433/gridproof") == [
        ("db-1", "5432", "any"),
        ("db-2", "5433", "any"),
    ]


def test_hosts_may_share_a_port() -> None:
    shared = [("db-1", "5439", "any"), ("db-2", "5439", "any")]
    assert hosts("host=db-1,db-2 port=5439 user=app dbname=gridproof") == shared


def test_an_address_of_one_host_is_one_host() -> None:
    assert hosts("postgresql://app@db-1/gridproof") == [("db-1", "None", "any")]


def test_hosts_may_be_named_by_their_addresses() -> None:
    """A host with the addresses of all would be refused, and one that is not looked at is not known to be newer."""
    url = "postgresql://app@/gridproof?hostaddr=192.0.2.7,192.0.2.8&port=5432,5433"
    found = [conninfo_to_dict(one) for one in hosts_of(for_failover(url))]
    assert [(one["hostaddr"], one["port"]) for one in found] == [("192.0.2.7", "5432"), ("192.0.2.8", "5433")]
    url = "postgresql://app@db-1,db-2/gridproof?hostaddr=192.0.2.7,192.0.2.8"
    found = [conninfo_to_dict(one) for one in hosts_of(for_failover(url))]
    assert [(one["host"], one["hostaddr"]) for one in found] == [("db-1", "192.0.2.7"), ("db-2", "192.0.2.8")]
