"""A recorder of the demand-response log on the test's own database."""

from collections.abc import Iterator

import pytest

from adapters.postgres.event_store.recorder import GroupCommitRecorder
from tests.integration.event_store.stored_events import TABLE, datastore
from tests.servers import Database


@pytest.fixture
def recorder(database: Database) -> Iterator[GroupCommitRecorder]:
    store = datastore(database.app_dsn)
    found = GroupCommitRecorder(store, events_table_name=TABLE)
    yield found
    found.close()
    store.close()
