"""The pool for a list of cache addresses."""

from pathlib import Path

from redis.asyncio import ConnectionPool

from adapters.redis.connections import cache_pool
from tests.tls_certificates import Authority


def test_options_of_the_first_address_hold_for_all_of_a_list(tmp_path: Path) -> None:
    file = Authority(tmp_path).file
    pool = cache_pool(f"rediss://:a@c1:6380/2?ssl_ca_certs={file},rediss://:b@c2:6380/2", ConnectionPool)
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    assert connection.ssl_context.ca_certs == str(file)
    assert connection.password is None, "that of an address is chosen with the address"
