"""Read models of a replica: they may be a moment behind, and say so."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from projections.queries.views import ReadModels, Row, View

TAnswer = TypeVar("TAnswer")


class ReadSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where reads come from now."""

    name: Literal["replica", "primary"]
    lag_s: float
    """How far that is behind the primary at most, wall seconds, by the last look; 0 for the primary itself."""


class ReplicatedReadModels(ReadModels, Protocol):
    """Reads of the primary where the replica does not answer, or is too far behind."""

    @property
    def alone(self) -> ReadModels:
        """Of the replica, however far behind it is: for the time when the primary does not answer.

        Reading it looks at nothing: `look` does.
        """
        ...

    def source(self) -> ReadSource:
        """Without asking anybody."""
        ...

    def look(self, *, at_once: bool = False) -> None:
        """Whether it answers and how far behind it is, where it is time to ask; reads do that by themselves.

        `at_once`: one that failed a moment ago is asked too, since there is nobody else to go to.
        """
        ...

    def age_s(self) -> float | None:
        """How old what it has is at most, wall seconds; None where it did not answer when it was looked at last.

        Without asking anybody: the lag that it had then, and the time since.
        """
        ...


@runtime_checkable
class OfTwoServers(Protocol[Row]):
    """A view that chooses between the replica and the primary anew for each question."""

    def at_one(self, read: Callable[[View[Row]], TAnswer]) -> TAnswer:
        """What `read` finds at one of them: all of it there, or all of it anew at the primary."""
        ...


def at_one_server(view: View[Row], read: Callable[[View[Row]], TAnswer]) -> TAnswer:
    """For questions whose answers belong together: a version of one server says nothing of the rows of another."""
    return view.at_one(read) if isinstance(view, OfTwoServers) else read(view)
