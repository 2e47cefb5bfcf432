"""Used signatures in memory, with a clock that the test sets."""

from application.ports.access.used_signatures import KEPT_S
from application.ports.operations.unavailable import OperationsUnavailable


class FakeUsedSignatures:
    def __init__(self) -> None:
        self._used: dict[tuple[str, bytes], tuple[bytes, float]] = {}
        self.now_s = 0.0
        self.is_down = False

    def claim(self, utility_id: str, signature: bytes, request: bytes) -> bool:
        if self.is_down:
            raise OperationsUnavailable("ordered to be down")
        self._used = {name: used for name, used in self._used.items() if used[1] > self.now_s - KEPT_S}
        return self._used.setdefault((utility_id, signature), (request, self.now_s))[0] == request
