"""Who acts from a terminal: an id for the log, and the login name beside it, which can be forgotten."""

from typing import Protocol

import msgspec


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    operator_id: str
    """12 hex digits. The actor of what the person does is `operator:cli/<operator_id>`."""
    login: str


class OperatorNotFound(LookupError):
    """No operator has that id."""


class Operators(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def id_of(self, login: str, *, drawn: str) -> str:
        """The id of that login name; a new one gets `drawn` (12 hex digits)."""
        ...

    def listed(self) -> list[Operator]:
        """Everybody who is not forgotten, by login name."""
        ...

    def forget(self, operator_id: str) -> None:
        """Delete the login name of that id; the same login gets another id later. Raises OperatorNotFound."""
        ...
