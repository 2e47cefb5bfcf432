"""The sessions that hold named locks, for a process that observes others."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class LockSessions(Protocol):
    """The holders of locks as in application.ports.coordination.locks (synchronous)."""

    def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        """Lock -> its holder, another one after each restart; without those that nobody holds.

        Raises OperationsUnavailable.
        """
        ...
