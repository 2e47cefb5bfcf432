"""Functions that drop rows of a read model drop only its own, for any argument of the application's role."""

import psycopg
import pytest

from tests.servers import Database

DROPS = ("drop_old_generations", "discard_rebuild")


@pytest.mark.parametrize("function", DROPS)
@pytest.mark.parametrize(
    ("projection", "stem"),
    [
        ("dispatches", "dr_events"),
        ("dispatches", "audit_steps"),
        ("audit_trail", "dispatches"),
        ("dispatches", None),
    ],
)
def test_the_rows_of_another_read_model_are_not_dropped(
    database: Database, function: str, projection: str, stem: str | None
) -> None:
    with (
        psycopg.connect(database.app_dsn) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="holds no rows"),
    ):
        connection.execute(f"SELECT gridproof.{function}(%s, %s)", (projection, stem))


@pytest.mark.parametrize("function", DROPS)
@pytest.mark.parametrize("names", [("dispatches", "dispatches"), ("audit_trail", "audit_steps")])
def test_a_read_model_may_drop_its_own_rows(
    database: Database, function: str, names: tuple[str, str]
) -> None:
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(f"SELECT gridproof.{function}(%s, %s)", names)
