"""Operators in PostgreSQL."""

from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.wire_format.text import storable
from application.ports.access.operators import Operator, OperatorNotFound

_ADD = "INSERT INTO gridproof.operators (operator_id, login) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_FIND = "SELECT operator_id FROM gridproof.operators WHERE login = %s"
_LIST = "SELECT operator_id, login FROM gridproof.operators ORDER BY login"
_FORGET = "DELETE FROM gridproof.operators WHERE operator_id = %s"


class PostgresOperators:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def id_of(self, login: str, *, drawn: str) -> str:
        login = storable(login)
        with transaction(self._pool) as connection:
            connection.execute(_ADD, (drawn, login))
            row = connection.execute(_FIND, (login,)).fetchone()
        return drawn if row is None else str(row[0])

    def listed(self) -> list[Operator]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_LIST).fetchall()
        return [Operator(operator_id=operator_id, login=login) for operator_id, login in rows]

    def forget(self, operator_id: str) -> None:
        with transaction(self._pool) as connection:
            if not connection.execute(_FORGET, (operator_id,)).rowcount:
                raise OperatorNotFound(f"no operator {operator_id}; see `gridproof keys operators`")
