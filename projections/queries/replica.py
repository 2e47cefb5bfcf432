"""Read models of a replica: they may lag behind the primary, and report by how much."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from projections.queries.views import ReadModels, Row, View

TAnswer = TypeVar("TAnswer")


class ReadSource(msgspec.Struct, frozen=True, kw_only=True):
    """The server that reads come from now."""

    name: Literal["replica", "primary"]
    lag_s: float
    """Its maximum lag behind the primary in wall seconds, by the last check; 0 for the primary itself."""


class ReplicatedReadModels(ReadModels, Protocol):
    """Reads the replica, and the primary if the replica does not answer or lags too far behind."""

    @property
    def replica_only(self) -> ReadModels:
        """The replica, whatever its lag: for the time when the primary does not answer.

        Reading from it checks nothing; `check_replica` does.
        """
        ...

    def source(self) -> ReadSource:
        """The current source, without a request to a server."""
        ...

    def check_replica(self, *, at_once: bool = False) -> None:
        """Check, if it is due, whether the replica answers and how far it lags; reads do that themselves.

        `at_once`: check even a replica that failed a moment ago, because there is no other server.
        """
        ...

    def age_s(self) -> float | None:
        """The maximum age of the replica's data in wall seconds; None if the last check failed.

        Computed from the lag at the last check and the time since, without a request to a server.
        """
        ...


@runtime_checkable
class ReplicaAwareView(Protocol[Row]):
    """A view that chooses between the replica and the primary for each query."""

    def read_consistently(self, read: Callable[[View[Row]], TAnswer]) -> TAnswer:
        """The result of `read` on one server: all of it there, or all of it again on the primary."""
        ...


def read_consistently(view: View[Row], read: Callable[[View[Row]], TAnswer]) -> TAnswer:
    """Run queries whose results belong together on one server: a version of one does not match rows of
    another.
    """
    return view.read_consistently(read) if isinstance(view, ReplicaAwareView) else read(view)
