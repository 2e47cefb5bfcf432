"""Error messages of the command line."""

import psycopg
import pytest

from application.ports.event_store.event_store import EventStoreUnavailable
from domain.errors import NotAllowedNow
from interfaces.cli.console.lazy_group import to_click_exception
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
def test_errors_of_our_packages_become_messages(error: Exception, exit_code: int) -> None:
    failure = to_click_exception(error)

    assert failure is not None
    assert failure.exit_code == exit_code
    assert str(error) in failure.message


def test_a_missing_schema_names_the_command_to_run() -> None:
    failure = to_click_exception(psycopg.errors.UndefinedTable('relation "gridproof.alerts" does not exist'))

    assert failure is not None
    assert "gridproof migrate" in failure.message


def test_an_unexpected_error_has_no_message() -> None:
    assert to_click_exception(KeyError("x")) is None
