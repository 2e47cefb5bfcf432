"""The logins of facilities' meters at the embedded broker."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class DrawnPassword(NamedTuple):
    """The password of a new login. The password is shown once, and only its hash is stored."""

    password: str
    password_hash: str
    """bcrypt, as the broker reads it."""


class MeterLoginRefused(ValueError):
    """The facility cannot have a login, already has one, or has none to revoke; the text says which."""


class MeterLoginUsers(Protocol):
    """Synchronous. They count at once, also while the broker runs."""

    def facility_ids(self) -> Sequence[str]:
        """The facilities whose meters may log in."""
        ...

    def add(self, facility_id: str, password_hash: str) -> None:
        """Repeating it changes nothing. Raises MeterLoginRefused."""
        ...

    def revoke(self, facility_id: str) -> None:
        """Whoever is connected with the login is disconnected. Raises MeterLoginRefused."""
        ...

    def mqtt_port(self) -> int | None:
        """None: the broker has never run."""
        ...
