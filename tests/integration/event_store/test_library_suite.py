"""The eventsourcing library's own recorder tests, with our recorder on PostgreSQL."""

from collections.abc import Iterator
from typing import Any
from unittest import TestCase
from uuid import UUID, uuid4

import pytest

from adapters.postgres.event_store.library_factory import StoreDatastore
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from application.ports.event_store.event_store import ONE_DECISION
from tests.servers import Database

pytest.importorskip("Crypto", reason="the library's tests need pycryptodome")

from eventsourcing.tests.persistence import (
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)


class OnPostgres(TestCase):
    """Gives a library test case a recorder on its own database, in a schema that the library creates."""

    database: Database
    recorders: list[GroupCommitRecorder]

    @pytest.fixture(autouse=True)
    def _own_database(self, database: Database) -> Iterator[None]:
        self.database, self.recorders = database, []
        yield
        for recorder in self.recorders:
            recorder.close()
            recorder.datastore.close()

    def new_originator_id(self) -> UUID:
        return uuid4()

    def create_recorder(self) -> Any:
        recorder = GroupCommitRecorder(
            StoreDatastore(self.database.admin_dsn, schema="public", max_overflow=16)
        )
        recorder.create_table()
        self.recorders.append(recorder)
        return recorder


class TestApplicationRecorder(OnPostgres, ApplicationRecorderTestCase[Any]):
    INITIAL_VERSION = 1

    def test_insert_subscribe(self) -> None:
        """This test is optional in the library, because not every database has notifications."""
        self.optional_test_insert_subscribe()


class TestNonInterleaving(OnPostgres, NonInterleavingNotificationIDsBaseCase):
    insert_num = ONE_DECISION.domain_events  # the library uses 1,000; our saves are limited


# Abstract base classes, which pytest would also collect from this module.
del OnPostgres, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
