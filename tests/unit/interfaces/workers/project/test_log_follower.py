"""The loop over one consumer: lost sessions are replaced, other errors are reported, the rest is done at the stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from application.command_bus.retry import Stopped
from interfaces.workers.project import log_follower
from interfaces.workers.project.log_follower import LogFollower


class Away(Exception):
    """The server is away."""


class Session:
    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer

    def wait(self, timeout_s: float) -> None:
        self._consumer.seen.append(f"wait {timeout_s:g}")


class Consumer:
    """Applies one entry of its log at a time; an error in the log is raised once."""

    name = "a consumer"
    unavailable: tuple[type[Exception], ...] = (Away,)

    def __init__(self, log: list[str | Exception], stop: threading.Event) -> None:
        self.log, self.stop = log, stop
        self.is_over = False
        self.seen: list[str] = []

    @contextmanager
    def fence(self, stop: threading.Event) -> Iterator[Session]:
        if stop.is_set():
            raise Stopped
        self.seen.append("lock")
        yield Session(self)

    def position(self, session: Session, stop: threading.Event) -> int:
        return len(self.seen)

    def apply(self, session: Session, position: int) -> tuple[int, float]:
        if not self.log:
            self.stop.set()
            return position, 2.0
        entry = self.log.pop(0)
        if isinstance(entry, Exception):
            raise entry
        self.seen.append(entry)
        return position + 1, 0.0

    def gives_back(self, session: Session) -> bool:
        return self.is_over and not self.log

    def finish(self, session: Session, position: int) -> None:
        self.seen.append("finish")

    def failed(self, error: Exception) -> float:
        self.seen.append(f"failed: {error}")
        return 0.0


def seen(log: list[str | Exception], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(log_follower, "RECONNECT_S", 0.0)
    stop = threading.Event()
    consumer = Consumer(log, stop)
    LogFollower(consumer).run(stop)
    return consumer.seen


def test_entries_are_applied_until_the_stop_and_then_the_rest_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert seen(["a", "b"], monkeypatch) == ["lock", "a", "b", "wait 2", "finish"]


def test_a_lost_session_is_replaced_and_another_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str | Exception] = ["a", Away("gone"), "b", ValueError("a defect"), "c"]
    told = seen(log, monkeypatch)
    assert told == ["lock", "a", "lock", "b", "failed: a defect", "lock", "c", "wait 2", "finish"]


def test_a_follower_that_waits_for_its_lock_can_be_stopped() -> None:
    stop = threading.Event()
    consumer = Consumer([], stop)
    stop.set()
    LogFollower(consumer).run(stop)
    assert consumer.seen == []


def test_a_lock_that_is_given_back_is_left_to_others_and_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_follower, "LEAVE_S", 0.0)
    stop = threading.Event()

    class Twice(Consumer):
        def gives_back(self, session: Session) -> bool:
            self.stop.clear()
            if self.seen.count("lock") == 3:
                self.stop.set()
                return False
            return True

    consumer = Twice(["a"], stop)
    LogFollower(consumer).run(stop)
    assert consumer.seen == ["lock", "a", "finish", "lock", "finish", "lock", "wait 2", "finish"]
