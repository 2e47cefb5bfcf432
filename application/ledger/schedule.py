"""When the ledger follows its logs, and when it seals: within so many seconds of what is recorded."""

from __future__ import annotations

from collections.abc import Callable

EARLY_SHARE = 0.1
"""A checkpoint is begun so much before it must be there: following, signing and the archive take their time."""


class LedgerKeeper:
    """One step after the other, without waiting itself.

    `follow` appends the next domain events to the ledger's tables and says how many; `seal` makes a checkpoint and
    says whether that is done with for now (a checkpoint that the archive did not take is tried again at once).
    `elapsed` is monotonic, in seconds on the wall.
    """

    def __init__(self, seal_every_s: float, elapsed: Callable[[], float]) -> None:
        self._every_s = seal_every_s * (1 - EARLY_SHARE)
        self._elapsed = elapsed
        self._begun_at = elapsed()

    @property
    def since_sealed_s(self) -> float:
        """Since the last checkpoint was begun, or found to be of no use."""
        return self._elapsed() - self._begun_at

    def step(self, follow: Callable[[], int], seal: Callable[[], bool]) -> float:
        """Seconds that may pass until the next step where nothing new is recorded; 0.0 for none."""
        appended = follow()
        due_s = self._every_s - self.since_sealed_s
        if due_s <= 0:
            self.seal(seal)
            return 0.0
        return 0.0 if appended else due_s

    def seal(self, seal: Callable[[], bool]) -> None:
        """Now, whenever it is due."""
        begun_at = self._elapsed()
        if seal():
            self._begun_at = begun_at
