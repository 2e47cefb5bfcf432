"""The contract of Operators."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.operators import PostgresOperators
from application.ports.access.operators import OperatorNotFound, Operators
from tests.fakes.access.operators import FakeOperators
from tests.servers import Database


@pytest.fixture(params=["fake", "postgres"])
def operators(request: pytest.FixtureRequest) -> Iterator[Operators]:
    if request.param == "fake":
        yield FakeOperators()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresOperators(pool)


def test_a_login_keeps_its_first_id(operators: Operators) -> None:
    assert operators.id_of("anna", drawn="0" * 12) == "0" * 12
    assert operators.id_of("anna", drawn="1" * 12) == "0" * 12
    assert operators.id_of("bela", drawn="2" * 12) == "2" * 12
    assert [one.login for one in operators.listed()] == ["anna", "bela"]


def test_a_forgotten_login_gets_another_id(operators: Operators) -> None:
    operators.id_of("anna", drawn="0" * 12)
    operators.forget("0" * 12)
    assert operators.listed() == []
    assert operators.id_of("anna", drawn="1" * 12) == "1" * 12
    with pytest.raises(OperatorNotFound):
        operators.forget("0" * 12)
