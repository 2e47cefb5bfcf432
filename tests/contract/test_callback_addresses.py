"""The contract of CallbackAddresses: PostgreSQL's and the fake's."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.callback_addresses import PostgresCallbackAddresses
from application.ports.callback import CallbackAddresses
from domain.administration import AdministrativeAct
from projections.audit.administration import read_acts
from tests.fakes.callback import FakeCallbackAddresses
from tests.sample_values import provenance
from tests.servers import Database

URL, LONGEST = "https://utility.example/cb?token=t0ps3cret", "https://utility.example/" + "x" * 1_976
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


@pytest.fixture(params=["fake", "postgres"])
def addresses(request: pytest.FixtureRequest) -> Iterator[CallbackAddresses]:
    if request.param == "fake":
        yield FakeCallbackAddresses()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresCallbackAddresses(pool)


def act(count: int) -> AdministrativeAct:
    return AdministrativeAct.forget_personal_data(
        provenance(), kind="callback_addresses", subject_id="util-1", count=count
    )


def test_an_address_of_a_utility_has_one_id(addresses: CallbackAddresses) -> None:
    assert addresses.id_of("util-1", URL) is None
    assert addresses.add("util-1", URL, drawn=FIRST) == FIRST
    assert addresses.add("util-1", URL, drawn=SECOND) == FIRST
    assert addresses.add("util-1", LONGEST, drawn=SECOND) == SECOND
    assert addresses.add("util-2", URL, drawn=THIRD) == THIRD
    assert [addresses.id_of("util-1", URL), addresses.id_of("util-2", URL)] == [FIRST, THIRD]
    assert [addresses.url_of(one) for one in (FIRST, SECOND, THIRD)] == [URL, LONGEST, URL]


def test_a_utility_is_forgotten_with_all_its_addresses(addresses: CallbackAddresses) -> None:
    addresses.add("util-1", URL, drawn=FIRST)
    addresses.add("util-1", LONGEST, drawn=SECOND)
    addresses.add("util-2", URL, drawn=THIRD)
    assert addresses.forget("util-1", act) == 2
    assert addresses.forget("util-1", act) == 0
    assert [addresses.url_of(one) for one in (FIRST, SECOND, THIRD)] == [None, None, URL]
    assert addresses.add("util-1", URL, drawn=SECOND) == SECOND


def test_forgetting_is_recorded_as_an_act(database: Database) -> None:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        addresses = PostgresCallbackAddresses(pool)
        addresses.add("util-1", URL, drawn=FIRST)
        addresses.forget("util-1", act)
        [recorded] = read_acts(PostgresStreamLog(pool), before=None, limit=10).acts
    assert recorded.what == "1 callback address of utility util-1 forgotten"
