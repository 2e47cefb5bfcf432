"""The contract of DeadLetters: PostgreSQL's and the fake's."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from application.operations.dead_letter_decisions import decision_act
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterCursor,
    DeadLetterDecided,
    DeadLetterNotFound,
    DeadLetters,
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.servers import Database

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
LATER = T0 + timedelta(minutes=5)


@pytest.fixture(params=["fake", "postgres"])
def letters(request: pytest.FixtureRequest) -> Iterator[DeadLetters]:
    if request.param == "fake":
        yield FakeDeadLetters()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresDeadLetters(pool)


def letter(number: int = 1, **fields: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "dead_letter_id": UUID(int=number),
        "queue": "callback",
        "subject": "callback 7",
        "reason": "HTTP 404",
        "body": b"\x00\xff{}",
        "parked_at": T0,
    }
    return DeadLetter(**(given | fields))


def test_a_parked_letter_is_stored_in_full(letters: DeadLetters) -> None:
    letters.park(letter())

    assert letters.get(UUID(int=1)) == letter()
    assert letters.listed() == [letter()]


def test_parking_the_same_id_again_changes_nothing(letters: DeadLetters) -> None:
    letters.park(letter())
    letters.park(letter(reason="another", parked_at=LATER))

    assert letters.listed() == [letter()]


def test_parking_many_letters_equals_parking_each_and_existing_ones_stay(letters: DeadLetters) -> None:
    letters.park(letter(2, reason="before"))
    many = [letter(number, queue="meter_message", subject=f"a\0{number}") for number in (3, 1, 2, 3)]

    letters.park_all(many)
    letters.park_all([])

    found = {one.dead_letter_id.int: (one.queue, one.reason) for one in letters.listed()}
    new = ("meter_message", "HTTP 404")
    assert found == {1: new, 2: ("callback", "before"), 3: new}


def test_a_parked_letter_is_open_whatever_its_status_field_contains(letters: DeadLetters) -> None:
    letters.park(letter(status="discarded", decided_at=T0, decided_by="x", decision_reason="x"))

    assert letters.get(UUID(int=1)) == letter()


def test_the_newest_are_listed_first_up_to_the_limit(letters: DeadLetters) -> None:
    for number in (2, 1, 3):
        letters.park(letter(number, parked_at=T0 + timedelta(seconds=number)))

    assert [found.dead_letter_id.int for found in letters.listed()] == [3, 2, 1]
    assert [found.dead_letter_id.int for found in letters.listed(limit=2)] == [3, 2]


def test_paging_is_stable_while_letters_are_parked_or_decided(
    letters: DeadLetters,
) -> None:
    for number in range(1, 8):  # several have the same time: they are ordered by id
        letters.park(letter(number, parked_at=T0 + timedelta(seconds=number // 3)))
    seen: list[int] = []
    after = None
    while page := letters.listed(limit=2, after=after):
        seen += [found.dead_letter_id.int for found in page]
        last = page[-1]
        after = DeadLetterCursor(last.parked_at, last.dead_letter_id)
        letters.park(letter(100 + len(seen), parked_at=LATER))
        letters.decide(last.dead_letter_id, status="discarded", by="operator:1", reason="done", at=LATER)
    assert seen == [6, 7, 3, 4, 5, 1, 2]


def test_letters_are_listed_by_queue_and_status(letters: DeadLetters) -> None:
    letters.park(letter(1))
    letters.park(letter(2, queue="bms_command"))
    letters.decide(UUID(int=2), status="discarded", by="operator:1", reason="tried by hand", at=LATER)

    assert [found.dead_letter_id.int for found in letters.listed()] == [1]
    assert [found.dead_letter_id.int for found in letters.listed(status=None)] == [1, 2]
    assert [found.dead_letter_id.int for found in letters.listed(status="discarded")] == [2]
    assert [found.dead_letter_id.int for found in letters.listed(queue="bms_command", status=None)] == [2]
    assert letters.listed(queue="bms_command") == []


def test_a_decision_is_recorded_with_its_actor_reason_and_time(letters: DeadLetters) -> None:
    letters.park(letter())

    decided = letters.decide(UUID(int=1), status="replayed", by="operator:1", reason="fixed", at=LATER)

    assert decided == replace(
        letter(), status="replayed", decided_at=LATER, decided_by="operator:1", decision_reason="fixed"
    )
    assert letters.get(UUID(int=1)) == decided


def test_a_letter_is_decided_once(letters: DeadLetters) -> None:
    letters.park(letter())
    letters.decide(UUID(int=1), status="discarded", by="operator:1", reason="obsolete", at=T0)

    with pytest.raises(DeadLetterDecided, match="already discarded"):
        letters.decide(UUID(int=1), status="replayed", by="operator:2", reason="", at=LATER)
    letters.park(letter())
    assert letters.get(UUID(int=1)).decided_by == "operator:1"


def test_one_decision_on_many_letters_leaves_out_those_that_are_decided(letters: DeadLetters) -> None:
    for number in (1, 2, 3):
        letters.park(letter(number))
    letters.decide(UUID(int=2), status="discarded", by="operator:1", reason="obsolete", at=T0)
    acts: list[list[UUID]] = []

    def act_of(ids: Sequence[UUID]) -> AdministrativeAct:
        acts.append(list(ids))
        return decision_act(ids, "replayed", by="operator:2", at=LATER)

    ids = [UUID(int=number) for number in (1, 2, 3, 9)]
    for expected in ([UUID(int=1), UUID(int=3)], []):
        decided = letters.decide_all(
            ids, status="replayed", by="operator:2", reason="listed", at=LATER, act_of=act_of
        )
        assert decided == expected
    assert acts == [[UUID(int=1), UUID(int=3)]]
    assert letters.get(UUID(int=3)).decided_by == "operator:2"
    assert letters.get(UUID(int=2)).decided_by == "operator:1"


def test_discarding_needs_a_reason(letters: DeadLetters) -> None:
    letters.park(letter())

    with pytest.raises(ReasonRequired):
        letters.decide(UUID(int=1), status="discarded", by="operator:1", reason="  ", at=LATER)

    assert letters.get(UUID(int=1)).status == "open"


def test_an_unknown_letter_is_reported(letters: DeadLetters) -> None:
    with pytest.raises(DeadLetterNotFound, match=str(UUID(int=9))):
        letters.get(UUID(int=9))
    with pytest.raises(DeadLetterNotFound):
        letters.decide(UUID(int=9), status="replayed", by="x", reason="x", at=T0)


def test_text_that_a_database_cannot_store_is_stored_in_escaped_form(letters: DeadLetters) -> None:
    letters.park(letter(subject="a\0b", reason="c\0d"))

    found = letters.get(UUID(int=1))
    assert (found.subject, found.reason) == ("a\\0b", "c\\0d")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM gridproof.dead_letters",
        "UPDATE gridproof.dead_letters SET body = ''",
        "UPDATE gridproof.dead_letters SET reason = 'nicer'",
        "TRUNCATE gridproof.dead_letters",
    ],
)
def test_the_application_cannot_change_a_parked_letter(database: Database, change: str) -> None:
    with psycopg.connect(database.app_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(change.encode())


def test_the_longest_waiting_letters_are_read_by_queue(letters: DeadLetters) -> None:
    for number, queue in ((1, "callback"), (2, "bms_command"), (3, "meter_message"), (4, "callback")):
        letters.park(letter(number, queue=queue, parked_at=T0 + timedelta(seconds=number)))
    letters.park(letter(5))
    letters.decide(UUID(int=5), status="replayed", by="operator:1", reason="back", at=LATER)

    found = letters.open_before(T0 + timedelta(seconds=3), queues=("callback", "bms_command"))
    assert [one.dead_letter_id.int for one in found] == [1, 2]
    everything = letters.open_before(LATER, queues=("callback", "bms_command"), limit=2)
    assert [one.dead_letter_id.int for one in everything] == [1, 2]
    assert letters.open_before(T0, queues=("callback",)) == []


def test_letters_open_for_long_are_read_page_by_page(letters: DeadLetters) -> None:
    for number in range(1, 8):  # several have the same time: they are ordered by id
        letters.park(letter(number, queue="callback", parked_at=T0 + timedelta(seconds=number // 3)))
    seen: list[int] = []
    after = None
    while page := letters.open_before(LATER, queues=("callback",), after=after, limit=2):
        seen += [one.dead_letter_id.int for one in page]
        after = page[-1]
        letters.decide(after.dead_letter_id, status="discarded", by="operator:1", reason="done", at=LATER)
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_open_letters_are_counted_by_queue_with_the_oldest(letters: DeadLetters) -> None:
    assert letters.open_by_queue() == []
    letters.park(letter(1, parked_at=LATER))
    letters.park(letter(2))
    letters.park(letter(3, queue="bms_command", parked_at=LATER))
    letters.park(letter(4, queue="meter_message"))
    letters.decide(UUID(int=4), status="discarded", by="operator:1", reason="noise", at=LATER)

    found = [(one.queue, one.open, one.oldest_at) for one in letters.open_by_queue()]
    assert found == [("bms_command", 1, LATER), ("callback", 2, T0)]


def test_the_open_letters_of_a_subject_are_returned_the_oldest_first(letters: DeadLetters) -> None:
    for number in (3, 1, 2, 4):
        letters.park(letter(number, subject="fac\0-1", parked_at=T0 + timedelta(seconds=number)))
    letters.park(letter(5, subject="fac-2"))
    letters.park(letter(6, subject="fac\0-1", queue="bms_command"))
    letters.decide(UUID(int=2), status="discarded", by="operator:1", reason="done", at=LATER)

    found = letters.open_about("fac\0-1", queue="callback")
    assert [one.dead_letter_id.int for one in found] == [1, 3, 4]
    assert [one.dead_letter_id.int for one in letters.open_about("fac\0-1", queue="callback", limit=1)] == [1]
    assert letters.open_about("fac-3", queue="callback") == []


def test_the_subjects_with_open_letters_are_returned(letters: DeadLetters) -> None:
    for number, subject in enumerate(("a", "b", "a", "c"), start=1):
        letters.park(letter(number, subject=subject))
    letters.park(letter(9, subject="z", queue="bms_command"))
    letters.decide(UUID(int=4), status="discarded", by="operator:1", reason="done", at=LATER)

    assert letters.open_subjects("callback") == {"a", "b"}
    assert letters.open_subjects("saga_command") == set()
