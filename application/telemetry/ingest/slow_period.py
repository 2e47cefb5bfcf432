"""Since when something has been slow, where now and then a quick answer in between does not end it."""

import math

QUICK_AGAIN_AFTER_S = 5.0
"""So long nothing may be slow before it counts as quick again."""


class SlowPeriod:
    """Seconds of a clock that only goes on."""

    __slots__ = ("_since", "_until")

    def __init__(self) -> None:
        self._since = self._until = -math.inf

    def note(self, since: float, until: float) -> None:
        """Something was slow meanwhile."""
        is_another = since > self._until + QUICK_AGAIN_AFTER_S
        self._since = since if is_another else min(self._since, since)
        self._until = max(self._until, until)

    def since(self, at: float) -> float | None:
        """None: things go quickly again."""
        return None if at > self._until + QUICK_AGAIN_AFTER_S else self._since
