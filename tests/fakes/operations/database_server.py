"""DatabaseServer in memory."""

from application.ports.operations.database_server import ServerIdentity, Standbys
from application.ports.operations.unavailable import OperationsUnavailable


class FakeDatabaseServer:
    def __init__(self) -> None:
        self.is_away = False
        self.attached = Standbys(attached=0, synchronous=False)
        self.old_primaries: list[ServerIdentity] = []
        self._place = ServerIdentity(address="10.0.0.1:5432", timeline=1)

    def place(self) -> ServerIdentity:
        if self.is_away:
            raise OperationsUnavailable("the fake database is away")
        return self._place

    def standbys(self) -> Standbys:
        if self.is_away:
            raise OperationsUnavailable("the fake database is away")
        return self.attached

    def replaced(self) -> list[ServerIdentity]:
        return list(self.old_primaries)

    def fail_over(self) -> None:
        """A standby on another host was promoted."""
        timeline = self._place.timeline + 1
        self._place = ServerIdentity(address=f"10.0.0.{timeline}:5432", timeline=timeline)
