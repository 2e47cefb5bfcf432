"""IdempotencyRetention in memory: keys with their age, and the position of the relay."""

from datetime import timedelta

LEAST_KEPT = timedelta(days=1)
TICK = timedelta(microseconds=1)
"""Between two calls."""


class FakeIdempotencyRetention:
    def __init__(self) -> None:
        self.head = self.carried_out = 0
        self._ages: dict[str, timedelta] = {}
        self._samples: list[tuple[timedelta, int]] = []
        """(age, head of the log then)."""

    def store(self, key: str) -> None:
        """A domain event and the key of the command that recorded it."""
        self._pass(TICK)
        self.head += 1
        self._ages[key] = timedelta(0)

    def age(self, days: int) -> None:
        self._pass(timedelta(days=days))

    def _pass(self, by: timedelta) -> None:
        self._ages = {key: age + by for key, age in self._ages.items()}
        self._samples = [(age + by, head) for age, head in self._samples]

    def keys(self) -> list[str]:
        return sorted(self._ages)

    def drop(self, kept: timedelta, *, most: int) -> int:
        self._pass(TICK)
        passed = [age for age, head in self._samples if head <= self.carried_out]
        self._samples.append((timedelta(0), self.head))
        if not passed:
            return 0
        least = max(min(passed), kept, LEAST_KEPT)
        old = sorted(
            (key for key, age in self._ages.items() if age > least), key=lambda key: -self._ages[key]
        )
        for key in old[:most]:
            del self._ages[key]
        return len(old[:most])
