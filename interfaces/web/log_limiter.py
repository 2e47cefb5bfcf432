"""LogLimiter: bounds the log lines that anybody can cause without a key."""

MOST_LINES = 30
WINDOW_S = 60.0


class LogLimiter:
    """Lets the first `most` lines of each window pass. For one event loop."""

    def __init__(self, most: int = MOST_LINES, *, window_s: float = WINDOW_S) -> None:
        self._most = most
        self._window_s = window_s
        self._since = float("-inf")
        self._lines = 0

    def may_log(self, now_s: float) -> bool:
        """Count a line; whether it is within the bound. `now_s`: monotonic wall seconds."""
        if now_s >= self._since + self._window_s:
            self._since, self._lines = now_s, 0
        self._lines += 1
        return self._lines <= self._most
