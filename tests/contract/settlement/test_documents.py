"""The contract of SettlementDocuments: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.settlement_documents import PostgresSettlementDocuments
from application.ports.settlement.documents import SettlementDocumentDamaged, SettlementDocuments
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.sample_values import DR_EVENT_ID
from tests.servers import Database

FIRST, SECOND = b'{"total":"193.00"}' * 1_000, b'{"total":"170.00"}'


class Subject(NamedTuple):
    documents: SettlementDocuments
    plant: Callable[[bytes], None]
    """Replaces every stored document, as somebody with access to the table would."""


@pytest.fixture(params=["fake", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeSettlementDocuments()
        yield Subject(fake, lambda planted: fake.stored.update(dict.fromkeys(fake.stored, planted)))
        return
    database: Database = request.getfixturevalue("database")

    def plant(planted: bytes) -> None:
        with psycopg.connect(database.owner_dsn) as connection:
            connection.execute("UPDATE gridproof.settlements SET document = %s", (planted,))

    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield Subject(PostgresSettlementDocuments(pool), plant)


def test_a_document_is_read_by_its_digest(subject: Subject) -> None:
    documents = subject.documents
    first = documents.add(DR_EVENT_ID, FIRST, revision=0)
    second = documents.add(DR_EVENT_ID, SECOND, revision=1)
    assert first == sha256(FIRST).hexdigest()
    assert documents.add(DR_EVENT_ID, FIRST, revision=0) == first
    assert [documents.find(DR_EVENT_ID, digest) for digest in (first, second)] == [FIRST, SECOND]
    assert documents.find(DR_EVENT_ID, "00" * 32) is None


def test_a_document_that_was_changed_is_not_returned(subject: Subject) -> None:
    digest = subject.documents.add(DR_EVENT_ID, FIRST, revision=0)
    subject.plant(SECOND)
    with pytest.raises(SettlementDocumentDamaged, match="was changed after it was stored"):
        subject.documents.find(DR_EVENT_ID, digest)


def test_the_application_may_not_change_a_document(database: Database) -> None:
    with psycopg.connect(database.app_dsn) as connection:
        for change in ("UPDATE gridproof.settlements SET revision = 1", "DELETE FROM gridproof.settlements"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change)
            connection.rollback()
