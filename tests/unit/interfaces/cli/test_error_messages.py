"""Errors as a person is told them."""

import psycopg
import pytest

from application.ports.event_store.event_store import EventStoreUnavailable
from domain.errors import NotAllowedNow
from interfaces.cli.console.error_messages import told
from interfaces.settings.settings import SettingsError


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (NotAllowedNow("not now; allowed when active"), 1),
        (EventStoreUnavailable("the event store did not answer"), 1),
        (SettingsError(["GRIDPROOF_X: use a number"]), 2),
        (psycopg.OperationalError("connection refused"), 1),
    ],
)
def test_named_errors_are_told_in_their_own_words(error: Exception, exit_code: int) -> None:
    failure = told(error)

    assert failure is not None
    assert failure.exit_code == exit_code
    assert str(error) in failure.message


def test_a_store_without_its_schema_is_told_what_to_run() -> None:
    failure = told(psycopg.errors.UndefinedTable('relation "gridproof.alerts" does not exist'))

    assert failure is not None
    assert "gridproof migrate" in failure.message


def test_a_defect_is_not_told_nicely() -> None:
    assert told(KeyError("x")) is None
