"""The pool for a list of cache addresses."""

from redis.asyncio import ConnectionPool

from adapters.redis.connections import cache_pool


def test_options_of_the_first_address_hold_for_all_of_a_list() -> None:
    pool = cache_pool(
        "rediss://:a@c1:6380/2?ssl_ca_certs=/etc/cache-ca.pem,rediss://:b@c2:6380/2", ConnectionPool
    )
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    assert connection.ssl_context.ca_certs == "/etc/cache-ca.pem"
    assert connection.password is None, "that of an address is chosen with the address"
