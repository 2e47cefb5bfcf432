"""What the parts of `Dispatch` share: they are mixed into it, and use its state and `record`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from domain.dispatch.decisions import Fact
from domain.dispatch.state import DispatchState
from domain.event_sourcing.aggregate import Provenance

if TYPE_CHECKING:
    from domain.event_sourcing.aggregate import Aggregate

    _OfADispatch = Aggregate[DispatchState]
else:
    _OfADispatch = object  # the library takes every subclass of its aggregate for one of its own


class Part(_OfADispatch):
    def _record_all(self, provenance: Provenance, facts: Iterable[Fact]) -> None:
        """Decided on the state as it was before the first of them."""
        for kind, stated in list(facts):
            self.record(kind, provenance, **stated)
