"""ThreadBatcher, as the telemetry store uses it: waiting writes are combined, and each gets its own outcome."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from adapters.postgres.thread_batcher import ThreadBatcher
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from tests.patience import ANSWER_S


class Store:
    """Its first write blocks until it is released."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.began, self.go_on = Event(), Event()
        self.is_away = False

    def write(self, asked: Sequence[str]) -> list[str]:
        self.groups.append(sorted(asked))
        if len(self.groups) == 1:
            self.began.set()
            assert self.go_on.wait(ANSWER_S)
        elif self.is_away:
            raise TelemetryStoreUnavailable("away")
        if "poison" in asked:
            raise ReadingsRefused("poison")
        if "broken" in asked:
            raise ArithmeticError("broken")
        return [one.upper() for one in asked]


def behind_a_first(store: Store, *asked: str) -> tuple[Future[str], list[Future[str]]]:
    """Writes `first`, and the others while it is in progress."""
    grouped: ThreadBatcher[str, str] = ThreadBatcher(
        store.write, unavailable=(TelemetryStoreUnavailable,), repeats=True
    )
    threads = ThreadPoolExecutor(len(asked) + 1)
    first = threads.submit(grouped.get, "first")
    assert store.began.wait(ANSWER_S)
    others = [threads.submit(grouped.get, one) for one in asked]
    while len(grouped._waiting) < len(asked):
        store.began.wait(0.01)
    store.go_on.set()
    threads.shutdown()
    return first, others


def test_writes_that_arrive_during_a_write_are_grouped() -> None:
    store = Store()
    first, others = behind_a_first(store, "a", "b", "c")
    assert [one.result() for one in (first, *others)] == ["FIRST", "A", "B", "C"]
    assert store.groups == [["first"], ["a", "b", "c"]]


def test_a_refused_group_is_retried_one_by_one() -> None:
    store = Store()
    _, (a, poison, b) = behind_a_first(store, "a", "poison", "b")
    assert (a.result(), b.result()) == ("A", "B")
    with pytest.raises(ReadingsRefused, match="poison"):
        poison.result()
    assert sorted(store.groups[2:]) == [["a"], ["b"], ["poison"]]


def test_an_unexpected_error_reaches_only_its_own_caller() -> None:
    store = Store()
    _, (a, broken) = behind_a_first(store, "a", "broken")
    assert a.result() == "A"
    with pytest.raises(ArithmeticError):
        broken.result()


def test_an_unavailable_store_is_the_outcome_of_each_write() -> None:
    store = Store()
    store.is_away = True
    first, others = behind_a_first(store, "a", "b")
    assert first.result() == "FIRST"
    for one in others:
        with pytest.raises(TelemetryStoreUnavailable):
            one.result()
