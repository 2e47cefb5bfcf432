"""DatabaseServer in memory."""

from application.ports.operations.database_server import ServerIdentity
from application.ports.operations.unavailable import OperationsUnavailable


class FakeDatabaseServer:
    def __init__(self) -> None:
        self.is_away = False
        self._place = ServerIdentity(address="10.0.0.1:5432", timeline=1)

    def place(self) -> ServerIdentity:
        if self.is_away:
            raise OperationsUnavailable("the fake database is away")
        return self._place

    def fail_over(self) -> None:
        """A standby on another host was promoted."""
        timeline = self._place.timeline + 1
        self._place = ServerIdentity(address=f"10.0.0.{timeline}:5432", timeline=timeline)
