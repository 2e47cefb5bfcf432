"""Restarts an embedded server that ended unexpectedly, on the same ports, so that every URL stays valid."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from adapters.embedded.errors import EmbeddedServerError, ServerExited
from adapters.embedded.launcher import EmbeddedServer

OnRestart = Callable[[str, int], None]
"""Called with the server's name and the return code it had ended with, once it is ready again."""
OnFailure = Callable[[EmbeddedServerError], None]
"""Called with the reason why a server could not be restarted. It is not restarted any more."""

_log = logging.getLogger(__name__)
_CHECK_EVERY_S, _TEND_EVERY_S = 0.2, 2.0
_MAX_RESTARTS = 5
_WITHIN_S = 60.0


def _call(callback: Callable[[], None]) -> None:
    """Run a callback of a thread that must not end with it. What it raises is logged."""
    try:
        callback()
    except Exception:  # noqa: BLE001 - a mistake of a callback must not end the thread
        _log.exception("a callback failed; the servers are watched on")


class ServerMonitor:
    """A thread that monitors the servers until `stop`."""

    def __init__(
        self, servers: Sequence[EmbeddedServer], on_restart: OnRestart, on_failure: OnFailure
    ) -> None:
        self._servers = list(servers)
        self._on_restart = on_restart
        self._on_failure = on_failure
        self._restarts: dict[str, deque[float]] = {server.name: deque() for server in servers}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches-embedded-servers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent. Waits for a restart under way, which has its own deadline."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        tended_at = time.monotonic()
        while not self._stopping.wait(_CHECK_EVERY_S):
            is_due = time.monotonic() - tended_at >= _TEND_EVERY_S
            for server in list(self._servers):
                returncode = server.ended_by_itself()
                if returncode is not None:
                    self._restart(server, returncode)
                elif is_due:
                    _call(server.tend)
            if is_due:
                tended_at = time.monotonic()

    def _restart(self, server: EmbeddedServer, returncode: int) -> None:
        try:
            self._count(server, returncode)
            server.start()
        except EmbeddedServerError as failure:
            self._servers.remove(server)
            _call(partial(self._on_failure, failure))
        except Exception:  # noqa: BLE001 - the next round tries again, as often as `_count` allows
            _log.exception("%s could not be restarted", server.name)
        else:
            _call(partial(self._on_restart, server.name, returncode))

    def _count(self, server: EmbeddedServer, returncode: int) -> None:
        """Raises `ServerExited` after too many restarts."""
        recent, now = self._restarts[server.name], time.monotonic()
        while recent and recent[0] < now - _WITHIN_S:
            recent.popleft()
        if len(recent) >= _MAX_RESTARTS:
            raise ServerExited(
                server.name,
                f"it ended {_MAX_RESTARTS + 1} times within {_WITHIN_S:g} s, lastly with status {returncode}",
                advice=f"It is not started again; find the cause in its log ({server.log}).",
                log_tail=server.log_tail(),
            )
        recent.append(now)
