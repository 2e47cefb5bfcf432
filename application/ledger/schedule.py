"""The schedule of the ledger: when to follow the logs and when to seal, within the configured interval."""

from __future__ import annotations

from collections.abc import Callable

EARLY_SHARE = 0.1
"""The share of the interval by which a checkpoint begins early, for following, signing and archiving."""


class LedgerScheduler:
    """Decides the next step, and never waits itself.

    `follow` appends the next domain events to the ledger's tables and returns their number. `seal` makes a
    checkpoint and returns whether it is done (if the archive did not accept it, it is retried at once).
    `elapsed` is monotonic wall time in seconds.
    """

    def __init__(self, seal_every_s: float, elapsed: Callable[[], float]) -> None:
        self._every_s = seal_every_s * (1 - EARLY_SHARE)
        self._elapsed = elapsed
        self._begun_at = elapsed()

    @property
    def since_sealed_s(self) -> float:
        """Seconds since the last checkpoint was begun, or found to be unnecessary."""
        return self._elapsed() - self._begun_at

    def step(self, follow: Callable[[], int], seal: Callable[[], bool]) -> float:
        """Do the next step. Returns the seconds until the following one if nothing is recorded; 0.0 for at
        once."""
        appended = follow()
        due_s = self._every_s - self.since_sealed_s
        if due_s <= 0:
            self.seal(seal)
            return 0.0
        return 0.0 if appended else due_s

    def seal(self, seal: Callable[[], bool]) -> None:
        """Seal now, even before it is due."""
        begun_at = self._elapsed()
        if seal():
            self._begun_at = begun_at
