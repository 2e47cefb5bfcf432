"""LogFollower: keeps one consumer of the logs up to date. The consumer is a projection or the ledger.

One database session does everything. It holds the lock that makes this process the only follower of its name, it hears
of new domain events, and the consumer writes in it. When the session is lost, the right to write is lost with it.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

import structlog

from application.command_bus.retry import Stopped

LEAVE_S = 1.0
"""Wall seconds for which a lock that was given back is left to the processes that wait for it."""
RECONNECT_S = 0.5
"""Wall seconds until a session that was lost is replaced."""
log = structlog.get_logger("project")


class LogSession(Protocol):
    """Holds the lock of its follower until it ends."""

    def wait(self, timeout_s: float) -> None:
        """Return when domain events are recorded, at the latest after `timeout_s` wall seconds."""
        ...


TSession = TypeVar("TSession", bound=LogSession)
TPosition = TypeVar("TPosition")


class LogConsumer(Protocol[TSession, TPosition]):
    """Where a log is followed from, and what is done with it; synchronous."""

    @property
    def name(self) -> str: ...

    @property
    def unavailable(self) -> tuple[type[Exception], ...]:
        """Errors of a server that is away: the follower opens another session."""
        ...

    def fence(self, stop: threading.Event) -> AbstractContextManager[TSession]:
        """A session that holds the lock. Waits for the lock; raises Stopped if `stop` is set first."""
        ...

    def position(self, session: TSession, stop: threading.Event) -> TPosition:
        """Where to continue. What is stored in an older form is brought up to date first. Raises Stopped."""
        ...

    def apply(self, session: TSession, position: TPosition) -> tuple[TPosition, float]:
        """Apply what follows `position`. Returns the position reached, and the wall seconds to wait for more; 0.0 to
        continue at once."""
        ...

    def gives_back(self, session: TSession) -> bool:
        """Whether another process shall follow instead. Asked when nothing more is to be applied."""
        ...

    def finish(self, session: TSession, position: TPosition) -> None:
        """Called when the follower is told to stop or gives its lock back, before the session ends."""
        ...

    def failed(self, error: Exception) -> float:
        """Report an error other than `unavailable`. Returns the wall seconds until the follower tries again; raises
        `error` to end it."""
        ...


class LogFollower(Generic[TSession, TPosition]):
    """Follows for one consumer. Of several processes one does; the others wait for the lock."""

    def __init__(self, consumer: LogConsumer[TSession, TPosition]) -> None:
        self._consumer = consumer

    @property
    def name(self) -> str:
        return self._consumer.name

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. Waits while a store is away."""
        while not stop.is_set():
            try:
                with self._consumer.fence(stop) as session:
                    self._follow(session, stop)
                stop.wait(LEAVE_S)
            except Stopped:
                return
            except self._consumer.unavailable as error:
                log.warning("cannot reach a store, retrying", follower=self.name, error=str(error))
                stop.wait(RECONNECT_S)
            except Exception as error:  # noqa: BLE001 - reported by the consumer, which skips nothing
                stop.wait(self._consumer.failed(error))

    def _follow(self, session: TSession, stop: threading.Event) -> None:
        position = self._consumer.position(session, stop)
        while not stop.is_set():
            position, pause_s = self._consumer.apply(session, position)
            if pause_s > 0.0:
                if self._consumer.gives_back(session):
                    log.info("given back to another process", follower=self.name)
                    break
                session.wait(pause_s)
        self._consumer.finish(session, position)
